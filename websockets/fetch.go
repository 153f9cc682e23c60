package websockets

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/websockets/engineio"
)

// A member that has just started, or has not kept what a client wants, asks the
// others what they have kept of the user.

// OpHistory is the question; its answer is AnswerHistory.
const OpHistory = "sockets.history"

// maxFetched bounds the messages of one answer in bytes, well below what the link
// carries; the newest are in it.
const maxFetched = 384 << 10

// historyQuestion names a client.
type historyQuestion struct {
	Context uint32 `json:"c"`
	User    uint32 `json:"u"`
	Session string `json:"s"`
}

// historyAnswer is what a member has of the user. Ages are in ms.
type historyAnswer struct {
	Whole      int64           `json:"w"` // since then everything is in it
	Departures []toldDeparture `json:"d,omitempty"`
	Messages   []toldMessage   `json:"m,omitempty"` // oldest first
}

type toldMessage struct {
	Origin string `json:"o"`
	Number uint64 `json:"n,omitempty"`
	Place  uint64 `json:"p,omitempty"`
	Filter string `json:"f,omitempty"`
	Token  string `json:"t,omitempty"`
	Topic  string `json:"y,omitempty"`
	Key    string `json:"k,omitempty"`
	Age    int64  `json:"a"`
	Packet string `json:"e"`
}

// AnswerHistory answers OpHistory.
func (s *Server) AnswerHistory(body []byte) ([]byte, error) {
	var q historyQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	who, window := subject{q.Context, q.User}, s.window(q.Context, q.User)
	if !who.valid() || window == 0 {
		return json.Marshal(historyAnswer{})
	}
	now := s.clock()
	h := s.foreignHistory(who, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == 0 { // it has just begun, for this client
		h.window, h.until = window, now+int64(window)
	}
	a := historyAnswer{Whole: ms(now - h.lackLocked())}
	for _, d := range h.departures {
		if d.session == q.Session {
			a.Departures = append(a.Departures, told(who, d, now))
		}
	}
	size := 0
	for _, k := range slices.Backward(slices.Collect(h.allLocked())) {
		if size += len(k.frame.data); size > maxFetched {
			a.Whole = ms(now - k.at)
			break
		}
		m := toldMessage{
			Origin: k.stamp.origin, Number: k.stamp.number, Place: k.stamp.place.Load(), Topic: k.frame.topic, Key: k.frame.key,
			Age: ms(now - k.at), Packet: string(payloadOf(k.frame.data)),
		}
		if k.to != nil {
			m.Filter, m.Token = k.to.PathFilter, k.to.SourceToken
		}
		a.Messages = append(a.Messages, m)
	}
	slices.Reverse(a.Messages)
	return json.Marshal(a)
}

func ms(d int64) int64 { return d / int64(time.Millisecond) }

// fetch asks the other members for what is kept of the socket's user, where this
// one may lack something.
func (s *socket) fetch(ctx context.Context) {
	r, server := s.rec, s.server
	h := r.history
	h.mu.Lock()
	lacks := server.clock() < int64(unknownFor)
	for _, d := range h.departures {
		lacks = lacks || d.session == r.session && d.connection == s.connection && d.from < h.lackLocked()
	}
	h.mu.Unlock()
	if !lacks {
		return
	}
	body, err := json.Marshal(historyQuestion{s.subject.context, s.subject.user, r.session})
	if err != nil {
		panic(err) // numbers and texts always encode
	}
	for _, answer := range server.opts.Peers.AskAll(ctx, OpHistory, body) {
		var a historyAnswer
		if err := json.Unmarshal(answer, &a); err != nil {
			continue // of a version that says it otherwise
		}
		// What this member has not taken yet comes by itself.
		taken := Positions{}
		server.raiseTaken(taken)
		h.merge(&a, r, taken, server.opts.Origin, server.clock())
	}
}

// merge takes up what another member has kept of what this one, me, has taken or
// will not take.
func (h *history) merge(a *historyAnswer, r *recovery, taken Positions, me string, now int64) {
	for _, k := range h.mergeOlder(a, r, taken, me, now) {
		h.counted.add(k, 1, now)
	}
}

// mergeOlder is merge but for counting the messages that it returns.
func (h *history) mergeOlder(a *historyAnswer, r *recovery, taken Positions, me string, now int64) (before []*kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range a.Departures {
		d, err := a.Departures[i].departure(now)
		if err == nil && !slices.ContainsFunc(h.departures, func(o *departure) bool {
			return o.session == d.session && o.connection == d.connection && o.at >= d.at
		}) {
			h.departLocked(d, r.window)
		}
	}
	if a.Whole <= 0 || h.off {
		return nil
	}
	h.forgetLocked(ever)
	list := slices.Collect(h.allLocked())
	for i := range a.Messages {
		m := &a.Messages[i]
		at := now - m.Age*int64(time.Millisecond)
		if h.lost != 0 && at <= h.lost || !strings.HasPrefix(m.Packet, string(rune(engineio.Message))+`2["`) || len(m.Packet) > MaxMessageBytes+64 {
			continue
		}
		// What is still to come by itself is left out: by places, not by times, which
		// say nothing of messages that came about when this history began.
		pos, known := taken[m.Origin]
		switch {
		case m.Origin == me:
		case known && (m.Place == 0 || m.Place > pos.Place):
			continue
		case !known && at >= h.whole: // of a member that is new
			continue
		}
		var to *Target
		if m.Filter != "" || m.Token != "" {
			to = &Target{PathFilter: m.Filter, SourceToken: m.Token}
		}
		k := newKept(outgoing{data: textFrame([]byte(m.Packet)), topic: m.Topic, key: m.Key}, to, at)
		k.stamp.origin, k.stamp.number = m.Origin, m.Number
		k.stamp.place.Store(m.Place)
		if !slices.ContainsFunc(list, func(o keptOf) bool { return o.stamp.same(&k.stamp) }) {
			before = append(before, k)
		}
	}
	if room := maxKept - int(h.n); len(before) > room {
		before = before[len(before)-max(room, 0):]
	}
	all := slices.Clone(before)
	for i := range h.n {
		all = append(all, h.at(i))
	}
	h.fillLocked(all)
	if since := now - a.Whole*int64(time.Millisecond); since < h.whole {
		h.whole = since
	}
	return before
}

// same reports whether two stamps are of one message.
func (m *stamp) same(o *stamp) bool {
	if m.origin != o.origin {
		return false
	}
	p := m.place.Load()
	return m.number != 0 && m.number == o.number || p != 0 && p == o.place.Load()
}

// departure reads what another member tells of a client.
func (t *toldDeparture) departure(now int64) (*departure, error) {
	if !(subject{t.Context, t.User}).valid() || len(t.Session) > maxOffset || len(t.Connection) > maxConnectionID || len(t.PID) > maxOffset ||
		len(t.SID) > maxOffset || len(t.Member) > maxOffset || t.Age < 0 || t.Ago < 0 || t.Age+t.Ago > 2*MaxRecovery.Milliseconds() || len(t.Tail) > maxTail || len(t.Had) > maxTail {
		return nil, errors.New("a departure out of bounds")
	}
	d := &departure{
		member: t.Member, session: t.Session, connection: t.Connection, pid: t.PID, sid: t.SID,
		at: now - t.Ago*int64(time.Millisecond), pos: make(Positions, len(t.Positions)), tail: t.Tail, had: t.Had, doubt: t.Doubt, gap: t.Gap,
	}
	d.from = d.at - t.Age*int64(time.Millisecond)
	for origin, p := range t.Positions {
		d.pos[origin] = Position{p[0], p[1]}
	}
	return d, nil
}

// told is what other members are told of how far a client has got.
func told(k subject, d *departure, now int64) toldDeparture {
	t := toldDeparture{
		Context: k.context, User: k.user, Member: d.member, Session: d.session, Connection: d.connection, PID: d.pid, SID: d.sid,
		Age: max(0, ms(d.at-d.from)), Ago: max(0, ms(now-d.at)), Positions: make(map[string][2]uint64, len(d.pos)), Doubt: d.doubt, Gap: d.gap, Had: d.had,
	}
	for origin, p := range d.pos {
		t.Positions[origin] = [2]uint64{p.Place, p.Number}
	}
	if d.pid != "" { // else nobody names an offset
		t.Tail = d.tail
	}
	return t
}
