package websockets

import (
	"errors"
	"time"
)

// HistoryState is what is kept of a user, with times since Frozen.Since.
type HistoryState struct {
	Context, User int32    // as gob has them since 0.9.0, which tells them from unsigned numbers
	Places        []uint32 // of messages in Frozen.Kept, oldest first, of consecutive indices up to Last
	Gone          int64    // as Lost, where there are Places
	// Messages are in the place of Places with 0.9.0. It knows no Places: to it, what is
	// in them is lost.
	Messages    []KeptState
	Last        uint64
	Whole, Lost int64
	Off         bool
	Departures  []DepartureState
	Until       int64
	Window      time.Duration
}

// KeptState is a message that is kept, for all users that have it.
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

// historyStates are those of all users, and the messages that they have. Nothing is
// kept any more.
func (s *Server) historyStates() (messages []KeptState, states []HistoryState) {
	places := map[*kept]uint32{} // in messages
	for i := range s.hub.shards {
		sh := &s.hub.shards[i]
		sh.mu.RLock()
		for k, h := range sh.histories.of {
			state := h.state(k)
			for m := range h.allLocked() { // nobody else is here any more
				at, known := places[m.kept]
				if !known {
					at = uint32(len(messages))
					places[m.kept] = at
					messages = append(messages, m.state())
				}
				state.Places, state.Lost = append(state.Places, at), m.at
			}
			states = append(states, state)
		}
		sh.mu.RUnlock()
	}
	return messages, states
}

func (m keptOf) state() KeptState {
	x := KeptState{
		Data: m.frame.data, Born: m.frame.born, Topic: m.frame.topic, Key: m.frame.key,
		Origin: m.stamp.origin, Number: m.stamp.number, Place: m.stamp.place.Load(), At: m.at,
	}
	if m.to != nil {
		x.Filter, x.Token = m.to.PathFilter, m.to.SourceToken
	}
	return x
}

// state is that of a history without its messages.
func (h *history) state(k subject) HistoryState {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetLocked(ever)
	state := HistoryState{
		Context: int32(k.context), User: int32(k.user), Last: h.last, Whole: h.whole, Lost: h.lost, Gone: h.lost, Off: h.off, Until: h.until, Window: h.window,
		Places: make([]uint32, 0, h.n),
	}
	for _, d := range h.departures {
		state.Departures = append(state.Departures, DepartureState{
			d.session, d.connection, d.pid, d.sid, d.at, d.from, d.pos, d.tail, d.had, d.doubt, d.gap, d.member,
		})
	}
	return state
}

// thawHistories takes histories up, and their messages. No socket is here yet, but what
// is too old is swept already.
func (s *Server) thawHistories(messages []KeptState, states []HistoryState) error {
	all := make([]*kept, len(messages))
	for i := range messages {
		all[i] = messages[i].thaw()
	}
	users := make(map[*kept]int, len(all))
	for i := range states {
		x := &states[i]
		k := subject{uint32(x.Context), uint32(x.User)}
		n := len(x.Places) + len(x.Messages)
		if !k.valid() || uint64(n) > x.Last || n > maxKept {
			return errors.New("what is kept of a user is out of bounds")
		}
		list := make([]*kept, 0, n)
		for j := range x.Messages {
			list = append(list, x.Messages[j].thaw())
		}
		for _, at := range x.Places {
			if int(at) >= len(all) {
				return errors.New("a message that is kept of a user is not there")
			}
			list = append(list, all[at])
		}
		for _, m := range list {
			users[m]++
		}
		sh := s.hub.shard(k)
		sh.mu.Lock()
		h := sh.historyLocked(k, s.clock(), s)
		h.mu.Lock()
		h.thaw(x, list)
		h.mu.Unlock()
		sh.mu.Unlock()
	}
	s.kept.addAll(users, s.clock())
	return nil
}

func (m *KeptState) thaw() *kept {
	var to *Target
	if m.Filter != "" || m.Token != "" {
		to = &Target{PathFilter: m.Filter, SourceToken: m.Token}
	}
	k := newKept(outgoing{data: m.Data, born: m.Born, topic: m.Topic, key: m.Key}, to, m.At)
	k.stamp.origin, k.stamp.number = m.Origin, m.Number
	k.stamp.place.Store(m.Place)
	return k
}

// thaw fills a history that is empty.
func (h *history) thaw(x *HistoryState, list []*kept) {
	h.last, h.whole, h.lost, h.off, h.until, h.window = x.Last, x.Whole, x.Lost, x.Off, x.Until, x.Window
	if len(x.Places) > 0 {
		h.lost = x.Gone
	}
	h.fillLocked(list)
	for _, d := range x.Departures {
		h.departures = append(h.departures, &departure{
			session: d.Session, connection: d.Connection, pid: d.PID, sid: d.SID, at: d.At, from: d.From,
			pos: d.Positions.clone(), tail: d.Tail, had: d.Had, doubt: d.Doubt, gap: d.Gap, member: d.Member,
		})
	}
}
