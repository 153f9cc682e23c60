package socketio

import (
	"errors"
	"strings"
	"testing"
)

const (
	one = `51-["a",{"_placeholder":true,"num":0}]`
	two = `52-12["a",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]`
)

func TestAssembly(t *testing.T) {
	converse(t, joinedSession(t, Protocol5),
		exchange{message: one},
		exchange{message: "bin:\x00\xff", in: `event / a [{"_placeholder":true,"num":0}] "\x00\xff"`},
		exchange{message: two},
		exchange{message: "bin:"},
		exchange{message: "bin:b", in: `event / 12 a [{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]] "" "b"`},
		exchange{message: `2["plain again"]`, in: "event / plain again []"},
		exchange{message: "bin:x", err: ErrBinary})
}

// Between a packet and its last attachment nothing else may come.
func TestAssemblyIsExclusive(t *testing.T) {
	for _, message := range []string{`2["a"]`, "0/custom", "1", one, "31[]", "", "x"} {
		converse(t, joinedSession(t, Protocol5),
			exchange{message: two},
			exchange{message: "bin:a"},
			exchange{message: message, err: ErrAttachments})
	}
}

func TestAssemblyLimits(t *testing.T) {
	settings := testSettings(t)
	settings.Attachments = 1
	few := NewSession(Protocol4, settings, start)
	few.Start()
	converse(t, &few,
		exchange{message: one},
		exchange{message: "bin:a", in: `event / a [{"_placeholder":true,"num":0}] "a"`},
		exchange{message: two, err: ErrBinary})

	fits := strings.Repeat("x", 1000-len(one))
	converse(t, joinedSession(t, Protocol5),
		exchange{message: one},
		exchange{message: "bin:" + fits, in: `event / a [{"_placeholder":true,"num":0}] "` + fits + `"`},
		exchange{message: one},
		exchange{message: "bin:" + fits + "x", err: ErrTooBig})
	// All together, not each.
	converse(t, joinedSession(t, Protocol5),
		exchange{message: two},
		exchange{message: "bin:" + strings.Repeat("x", 500)},
		exchange{message: "bin:" + strings.Repeat("x", 500), err: ErrTooBig})
}

func TestAttachmentTimeout(t *testing.T) {
	s := joinedSession(t, Protocol5)
	converse(t, s, exchange{message: two}, exchange{message: "bin:a"})
	if s.Deadline() != start.Add(attachmentTimeout) {
		t.Errorf("deadline %v", s.Deadline())
	}
	if err := s.Tick(start.Add(attachmentTimeout - 1)); err != nil {
		t.Error(err)
	}
	if err := s.Tick(start.Add(attachmentTimeout)); !errors.Is(err, ErrAttachmentTimeout) {
		t.Errorf("%v, want ErrAttachmentTimeout", err)
	}
	converse(t, s, exchange{message: "bin:b", in: `event / 12 a [{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]] "a" "b"`})
	if !s.Deadline().IsZero() {
		t.Errorf("deadline %v", s.Deadline())
	}
	// The earlier of two deadlines counts.
	converse(t, s, exchange{message: one})
	s.Leave(Main, start.Add(-40*sec))
	if s.Deadline() != start.Add(5*sec) || !errors.Is(s.Tick(start.Add(5*sec)), ErrConnectTimeout) {
		t.Errorf("deadline %v", s.Deadline())
	}
}
