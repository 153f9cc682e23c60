package websockets

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// HistoryState is what is kept of a user, with times since Frozen.Since.
type HistoryState struct {
	Context, User int32
	Messages      []KeptState // oldest first, of consecutive indices up to Last
	Last          uint64
	Whole, Lost   int64
	Off           bool
	Departures    []DepartureState
	Until         int64
	Window        time.Duration
}

// KeptState is a message that is kept.
type KeptState struct {
	Data       []byte
	Born       int64
	Topic, Key string
	Origin     string
	Number     uint64
	Place      uint64
	Filter     string
	Token      string
	At         int64
}

// DepartureState is how far a client had got.
type DepartureState struct {
	Session, Connection, PID, SID string
	At, From                      int64
	Positions                     Positions
	Tail, Had                     []string
	Doubt                         int
	Gap                           bool
	Member                        string
}

// historyStates are those of all users. Nothing is kept any more.
func (s *Server) historyStates() (states []HistoryState) {
	for i := range s.hub.shards {
		sh := &s.hub.shards[i]
		sh.mu.RLock()
		for k, h := range sh.histories.of {
			states = append(states, h.state(k))
		}
		sh.mu.RUnlock()
	}
	return states
}

func (h *history) state(k subject) HistoryState {
	h.mu.Lock()
	defer h.mu.Unlock()
	state := HistoryState{
		Context: k.context, User: k.user, Last: h.last, Whole: h.whole, Lost: h.lost, Off: h.off, Until: h.until, Window: h.window,
		Messages: make([]KeptState, 0, len(h.list)),
	}
	for _, m := range h.list {
		x := KeptState{
			Data: m.data, Born: m.born, Topic: m.topic, Key: m.key,
			Origin: m.stamp.origin, Number: m.stamp.number, Place: m.stamp.place.Load(), At: m.at,
		}
		if m.to != nil {
			x.Filter, x.Token = m.to.PathFilter, m.to.SourceToken
		}
		state.Messages = append(state.Messages, x)
	}
	for _, d := range h.departures {
		state.Departures = append(state.Departures, DepartureState{
			d.session, d.connection, d.pid, d.sid, d.at, d.from, d.pos, d.tail, d.had, d.doubt, d.gap, d.member,
		})
	}
	return state
}

// thawHistories takes histories up. No socket is here yet, but what is too old is swept
// already.
func (s *Server) thawHistories(states []HistoryState) error {
	for i := range states {
		x := &states[i]
		k := subject{x.Context, x.User}
		if k.context <= 0 || k.user <= 0 || uint64(len(x.Messages)) > x.Last {
			return errors.New("what is kept of a user is out of bounds")
		}
		sh := s.hub.shard(k)
		sh.mu.Lock()
		h := sh.historyLocked(k, x.Whole, &s.histories)
		h.mu.Lock()
		h.thaw(x)
		order, bytes := make([]ordered, len(h.list)), h.bytes
		for i, m := range h.list {
			order[i] = ordered{h, m.at}
		}
		h.mu.Unlock()
		sh.mu.Unlock()
		l := &sh.histories
		l.mu.Lock()
		l.order = append(l.order, order...)
		l.bytes += bytes
		l.mu.Unlock()
	}
	for i := range s.hub.shards {
		l := &s.hub.shards[i].histories
		l.mu.Lock()
		slices.SortFunc(l.order[l.head:], func(a, b ordered) int { return cmp.Compare(a.at, b.at) })
		l.mu.Unlock()
	}
	return nil
}

// thaw fills a history that is empty.
func (h *history) thaw(x *HistoryState) {
	h.last, h.whole, h.lost, h.off, h.until, h.window = x.Last, x.Whole, x.Lost, x.Off, x.Until, x.Window
	index := x.Last - uint64(len(x.Messages))
	for i := range x.Messages {
		m := &x.Messages[i]
		index++
		k := &kept{
			outgoing: outgoing{data: m.Data, born: m.Born, topic: m.Topic, key: m.Key, index: index},
			stamp:    &stamp{origin: m.Origin, number: m.Number}, at: m.At,
		}
		k.stamp.place.Store(m.Place)
		if m.Filter != "" || m.Token != "" {
			k.to = &Target{m.Filter, m.Token}
		}
		h.list = append(h.list, k)
		h.bytes += k.size()
	}
	for _, d := range x.Departures {
		h.departures = append(h.departures, &departure{
			session: d.Session, connection: d.Connection, pid: d.PID, sid: d.SID, at: d.At, from: d.From,
			pos: d.Positions.clone(), tail: d.Tail, had: d.Had, doubt: d.Doubt, gap: d.Gap, member: d.Member,
		})
	}
}
