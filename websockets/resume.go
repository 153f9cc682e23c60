package websockets

import (
	"encoding/json"
	"time"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

const (
	// eventPosition follows the CONNECT of a client that uses Socket.IO's own
	// recovery: it has an offset and nothing else, so that the client has one before
	// the first message.
	eventPosition = "sluice:position"
	// eventGap says that messages between two times are not kept any more.
	eventGap = "sluice:gap"
)

// resume has the client get what it has missed, and from now on what comes. pid
// and offset are what it has sent of Socket.IO's own recovery; resume reports
// whether that was good. Nothing is done twice.
func (s *socket) resume(pid, offset string) (recovered bool) {
	r := s.rec
	if r == nil {
		return false
	}
	cfg, server, h := s.server.opts.Config(), s.server, s.rec.history
	h.mu.Lock()
	s.mu.Lock()
	if !r.waits {
		s.mu.Unlock()
		h.mu.Unlock()
		return false
	}
	r.waits = false
	now := server.clock()
	d, foreign := h.findLocked(r, s.connection, pid, now)
	outcome, passed := recoveredAll, 0
	switch {
	case foreign:
		outcome = recoveryForeign
	case d == nil && pid == "":
		outcome = -1 // a new client
	case d == nil:
		outcome = recoveryUnknown
	case pid != "":
		recovered = d.pid == pid && validOffset(offset)
		if recovered && offset != startOf(d.member) {
			r.seen, recovered = d.passed(offset)
			passed = len(r.seen)
			recovered = recovered || h.arrivedLocked(d, offset)
		}
		if !recovered {
			outcome = recoveryUnknown
		}
	}
	var gap []byte
	from := r.start
	if d != nil {
		from, r.base = 0, d.pos
		for _, offset := range d.had {
			if r.seen == nil {
				r.seen = make(map[string]bool, len(d.had))
			}
			r.seen[offset] = true
		}
		if lost := h.lackLocked(); d.gap || d.from < lost {
			if d.gap {
				lost = d.at
			}
			// Behind a gap the message that the client names may be gone as well.
			if outcome == recoveredAll || outcome == recoveryUnknown && d.pid == pid {
				outcome = recoveredGap
			}
			gap = gapEvent(server.wall(d.from), server.wall(lost))
		}
	}
	r.confirmed = from
	if outcome >= 0 {
		server.totals.recoveries[outcome].Add(1)
	}
	if recovered {
		r.sid, r.pid = d.sid, d.pid
	}
	if recovered {
		r.offset = offset
	}
	if r.offsets && !recovered {
		s.noteLocked(socketio.AppendEvent([]byte{byte(engineio.Message)}, eventPosition, json.RawMessage("[]")))
	}
	if gap != nil {
		s.noteLocked(gap)
	}
	sent := 0
	for k := range h.allLocked() {
		if k.index <= from || !k.matches(s) || r.has(&k.stamp) || d != nil && k.at < now-int64(r.window) {
			continue
		}
		if s.pushLocked(queued{s.frameAgain(k), k.index}, cfg, true) != pushRefused {
			r.offset = k.stamp.offset()
			if k.index <= r.start {
				sent++
			}
		}
	}
	if d != nil {
		server.totals.resent.Add(int64(sent))
		server.totals.doubtful.Add(int64(max(0, min(sent, d.doubt-passed))))
	}
	s.mu.Unlock()
	h.mu.Unlock()
	return recovered
}

// resumeNow is resume for a client that has sent nothing for it.
func (s *socket) resumeNow() {
	s.resume("", "")
	s.mu.Lock()
	mine := s.claimLocked()
	s.mu.Unlock()
	s.see(mine, false)
	s.askMore(time.Now()) // of what came while nothing was to be asked
}

// connect is what the Socket.IO session calls for a CONNECT of a client that asks
// for Socket.IO's own recovery: it answers with the id and the pid that the client
// has from now on. The caller holds talk.
func (s *socket) connect(auth json.RawMessage) (sid, pid string) {
	var sent struct{ PID, Offset any }
	_ = json.Unmarshal(auth, &sent) // what has other types is of no use, like nothing
	had, _ := sent.PID.(string)
	offset, _ := sent.Offset.(string)
	if len(had) > maxOffset {
		had = had[:maxOffset] // no pid of ours
	}
	recovered := s.resume(had, offset)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !recovered {
		s.rec.sid, s.rec.pid = randomHex(), randomHex()
	}
	return s.rec.sid, s.rec.pid
}

// start is the offset of a client of this member that has got no message yet.
func (s *Server) start() string { return startOf(s.opts.Origin) }

func startOf(member string) string { return offsetPrefix + member + "-0" }

// arrivedLocked reports whether an offset is of a message that is kept and had
// arrived for sure.
func (h *history) arrivedLocked(d *departure, offset string) bool {
	for k := range h.allLocked() {
		if d.pos.has(&k.stamp) && k.stamp.offset() == offset {
			return true
		}
	}
	return false
}

// wall is a moment of Server.clock by the system's clock.
func (s *Server) wall(at int64) time.Time {
	return time.Now().Add(time.Duration(at - s.clock())).UTC().Truncate(time.Millisecond)
}

func gapEvent(from, to time.Time) []byte {
	args, err := json.Marshal([]any{struct {
		From time.Time `json:"from"`
		To   time.Time `json:"to"`
	}{from, to}})
	if err != nil {
		panic(err) // two times always encode
	}
	return socketio.AppendEvent([]byte{byte(engineio.Message)}, eventGap, args)
}

// noteLocked queues an event of the server's own, in the form of the socket. It
// takes no place that messages have.
func (s *socket) noteLocked(packet []byte) {
	f := &outgoing{data: textFrame(s.noticePacket(packet))}
	s.waiting.add(f)
	s.rec.grace.add(f)
	if s.admit == admitHold {
		s.held = append(s.held, queued{outgoing: f})
	} else {
		s.queue = append(s.queue, queued{outgoing: f})
	}
}

// noticePacket is the text of an event of the server's own for this socket. The
// last text of an event is what a client of Socket.IO's own recovery sends back.
func (s *socket) noticePacket(packet []byte) []byte {
	switch {
	case s.asText:
		return textOf(packet, "")
	case s.rec != nil && s.rec.offsets:
		return withOffset(packet, s.rec.offset)
	}
	return packet
}

// frameAgain is a kept message as this socket gets it.
func (s *socket) frameAgain(k keptOf) *outgoing {
	var data []byte
	switch {
	case s.asText && s.rec.ids:
		data = textFrame(textOf(payloadOf(k.frame.data), k.stamp.offset()))
	case s.asText:
		data = textFrame(textOf(payloadOf(k.frame.data), ""))
	case s.rec.offsets:
		data = textFrame(withOffset(payloadOf(k.frame.data), k.stamp.offset()))
	default:
		return k.frame
	}
	return &outgoing{data: data, born: k.frame.born, topic: k.frame.topic, key: k.frame.key}
}

// frameNow is a message that is being sent as this socket gets it: all that get it in
// one form share the frame.
func (s *socket) frameNow(m *encoded) *outgoing {
	switch r := s.rec; {
	case s.asText && r != nil && r.ids && m.stamp != nil:
		return m.form(&m.withID, func(packet []byte) []byte { return textOf(packet, m.offset()) })
	case s.asText:
		return m.plain()
	case r != nil && r.offsets && m.stamp != nil:
		return m.form(&m.withOffset, func(packet []byte) []byte { return withOffset(packet, m.offset()) })
	}
	return m.packet
}

// payloadOf is the payload of a whole frame of the server.
func payloadOf(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}

// withOffset is an event with one more argument.
func withOffset(packet []byte, offset string) []byte {
	out := make([]byte, 0, len(packet)+len(offset)+4)
	out = append(append(out, packet[:len(packet)-1]...), ',', '"')
	return append(append(out, offset...), '"', ']')
}

// textOf is an event as /ws/* has it, with an id where there is one. The packet
// is one that the server has built: `42["name",...]`.
func textOf(packet []byte, id string) []byte {
	list := packet[len(`42`):]
	end := len(`["`)
	for ; list[end] != '"'; end++ {
		if list[end] == '\\' {
			end++
		}
	}
	name, args := list[1:end+1], list[end+1:]
	if args[0] == ',' {
		args = args[1:]
	}
	out := make([]byte, 0, len(packet)+len(id)+48)
	out = append(append(append(out, `{"name":`...), name...), `,"args":[`...)
	out = append(append(out, args...), `,"namespace":"/"`...)
	if id != "" {
		out = append(append(append(out, `,"id":"`...), id...), '"')
	}
	return append(out, '}')
}
