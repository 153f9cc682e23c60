package websockets

import "slices"

// conflatedShare is the part of a queue, as a divisor, that messages which may be
// given up take at most, of all topics and keys: the rest is for what may not.
const conflatedShare = 2

// conflateLocked gives up messages that wait for f: where limit messages of its
// topic wait already, the newest of each key stays, and none of f's own key, so
// that a flood of one kind costs nobody the socket. What the writer has taken is
// on its way and does not count.
func (s *socket) conflateLocked(f *outgoing, limit int) {
	list := s.queueing()
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
	*list = slices.DeleteFunc(*list, func(w queued) bool {
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

// queueing is where the next message of the socket waits.
func (s *socket) queueing() *[]queued {
	if s.admit == admitHold {
		return &s.held
	}
	return &s.queue
}

// crowdedLocked gives up the oldest messages that may be given up, of any topic and
// key, where they and f would take more than their share of the queue: a flood in
// many folders costs nobody the socket either, and leaves room for the rest.
func (s *socket) crowdedLocked(f *outgoing, cfg *Config) {
	most := load{cfg.QueueMessages / conflatedShare, cfg.QueueBytes / conflatedShare}
	// What waits in all is the least that has to be counted for it.
	if s.waiting.frames < most.frames && s.waiting.bytes+len(f.data) <= most.bytes {
		return
	}
	list := s.queueing()
	all := load{1, len(f.data)}
	for _, w := range *list {
		if w.topic != "" {
			all.add(w.outgoing)
		}
	}
	before := len(*list)
	*list = slices.DeleteFunc(*list, func(w queued) bool {
		if w.topic == "" || all.frames <= most.frames && all.bytes <= most.bytes {
			return false
		}
		gone := load{1, len(w.data)}
		all.sub(gone)
		s.waiting.sub(gone)
		w.trace.Conflated()
		return true
	})
	s.server.totals.conflated.Add(int64(before - len(*list)))
}
