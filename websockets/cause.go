package websockets

// Cause is why the server closes a socket: a row of the close table in the
// design ("Sockets"). The number of the close frame tells the client whether
// to return.
type Cause uint8

// The causes.
const (
	CauseNone       Cause = iota
	CauseDisabled         // switched off, or context or user disabled: 4403, returns with back-off
	CauseSession          // session ended or expired: 4401, stops
	CauseTakeover         // the same connection id of the same session came again: 4409, stops
	CauseDrain            // this member stops: 1012, returns elsewhere
	CauseSlow             // more waits for the socket than its queue may hold: 4408, returns
	CauseAdmin            // closed by an administrator: 4410, stops
	CauseProtocol         // malformed frame or packet: 1002
	CauseBinary           // binary data, which no event of this server takes: 1003
	CauseText             // text that is not UTF-8: 1007
	CausePing             // no sign of life within the ping timeout: 1008
	CauseConnect          // no Socket.IO CONNECT within the connect timeout: 1008
	CauseRate             // more frames than a client may send: 1008
	CauseTooBig           // message over maxPayload: 1009
	CauseClient           // the client closed
	CauseConnection       // the connection broke
	CauseRebalance        // this member has more than its share: 1012, returns elsewhere
	CauseMissed           // messages have passed this member by: 1012, returns elsewhere
	causeCount
)

// closing is what a cause puts on the wire. Reasons are constants of at most
// 123 bytes, because a longer one would leave no room in a control frame.
type closing struct {
	name       string // value of the log key "cause" and name of the counter
	code       uint16 // of the close frame; 0: none is sent
	reason     string
	event      string // Socket.IO event of "/" that announces the close, or ""
	disconnect bool   // followed by a Socket.IO DISCONNECT, on which clients stop
	plain      string // text that announces the close on /ws/*, or ""
	dropQueue  bool   // what still waits in the queue is not written
}

var closings = [causeCount]closing{
	CauseNone:       {name: "none"},
	CauseDisabled:   {name: "disabled", code: 4403, reason: "disabled", event: EventDisabled},
	CauseSession:    {name: "session", code: 4401, reason: "session ended", event: "session:invalid", disconnect: true, plain: "session:invalid"},
	CauseTakeover:   {name: "takeover", code: 4409, reason: "taken over", disconnect: true},
	CauseDrain:      {name: "drain", code: 1012, reason: "draining"},
	CauseSlow:       {name: "slow", code: 4408, reason: "too slow", dropQueue: true},
	CauseAdmin:      {name: "admin", code: 4410, reason: "closed by an administrator", disconnect: true},
	CauseProtocol:   {name: "protocol", code: 1002, reason: "protocol error"},
	CauseBinary:     {name: "binary", code: 1003, reason: "binary data is not accepted"},
	CauseText:       {name: "text", code: 1007, reason: "text is not UTF-8"},
	CausePing:       {name: "ping", code: 1008, reason: "ping timeout"},
	CauseConnect:    {name: "connect", code: 1008, reason: "connect timeout"},
	CauseRate:       {name: "rate", code: 1008, reason: "too many frames"},
	CauseTooBig:     {name: "too_big", code: 1009, reason: "message too big"},
	CauseClient:     {name: "client", code: 1000, reason: ""},
	CauseConnection: {name: "connection"},
	CauseRebalance:  {name: "rebalance", code: 1012, reason: "rebalancing"},
	CauseMissed:     {name: "missed", code: 1012, reason: "messages missed"},
}

// farewells are the last frames of each cause, for Socket.IO and for text.
var farewells = func() (all [causeCount][2][]byte) {
	for cause := range closings {
		c := &closings[cause]
		if c.code == 0 {
			continue
		}
		packets, text := []byte(nil), []byte(nil)
		if c.event != "" {
			packets = append(packets, textFrame([]byte(`42["`+c.event+`"]`))...)
		}
		if c.disconnect {
			packets = append(packets, textFrame([]byte("41"))...)
		}
		if c.plain != "" {
			text = append(text, textFrame([]byte(c.plain))...)
		}
		last := closeFrame(c.code, c.reason)
		all[cause] = [2][]byte{append(packets, last...), append(text, last...)}
	}
	return all
}()

// goodbye returns the last frames for a cause; they are not to be changed.
func (s *socket) goodbye(cause Cause) []byte {
	c := &closings[cause]
	switch {
	case s.asText:
		return farewells[cause][1]
	case s.rec == nil || !s.rec.offsets || c.event == "":
		return farewells[cause][0]
	}
	// The client keeps the last text of an event as its offset.
	s.mu.Lock()
	packets := textFrame(withOffset([]byte(`42["`+c.event+`"]`), s.rec.offset))
	s.mu.Unlock()
	if c.disconnect {
		packets = append(packets, textFrame([]byte("41"))...)
	}
	return append(packets, closeFrame(c.code, c.reason)...)
}

// Code is the number in the close frame; 0: none is sent.
func (c Cause) Code() int {
	if c >= causeCount {
		return 0
	}
	return int(closings[c].code)
}

// String is the value of the log key "cause".
func (c Cause) String() string {
	if c >= causeCount {
		return "unknown"
	}
	return closings[c].name
}
