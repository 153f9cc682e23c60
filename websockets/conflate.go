package websockets

import "slices"

// conflateLocked gives up messages that wait for f: where limit messages of its
// topic wait already, the newest of each key stays, and none of f's own key, so
// that a flood of one kind costs nobody the socket. What the writer has taken is
// on its way and does not count.
func (s *socket) conflateLocked(f *outgoing, limit int) {
	list := &s.queue
	if s.admit == admitHold {
		list = &s.held
	}
	if len(*list) < limit {
		return
	}
	waiting := 0
	for _, w := range *list {
		if w.topic == f.topic {
			waiting++
		}
	}
	if waiting < limit {
		return
	}
	newer := map[string]bool{f.key: true}
	before := len(*list)
	// From the newest on: the first of each key stays.
	slices.Reverse(*list)
	*list = slices.DeleteFunc(*list, func(w *outgoing) bool {
		switch {
		case w.topic != f.topic:
			return false
		case newer[w.key]:
			s.waiting.sub(load{1, len(w.data)})
			w.trace.Conflated()
			return true
		}
		newer[w.key] = true
		return false
	})
	slices.Reverse(*list)
	s.server.totals.conflated.Add(int64(before - len(*list)))
}
