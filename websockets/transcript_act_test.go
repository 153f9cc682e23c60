package websockets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// act has something happen at the server.
func (s *script) act(line string) {
	s.t.Helper()
	what, rest, _ := strings.Cut(line, " ")
	mine := Selector{Session: s.session.ID}
	switch what {
	case "set":
		s.set(rest)
	case "send":
		name, args, _ := strings.Cut(rest, " ")
		m := Message{Name: name}
		if args != "" {
			m.Args = json.RawMessage(args)
		}
		n, err := s.w.server.SendToUser(1, 2, m, Target{})
		if err != nil {
			s.t.Fatal(err)
		}
		s.line(fmt.Sprintf("< queued for %d", n))
	case "hold": // from now on, whoever is disabled
		s.w.gate.hold()
	case "enable":
		s.w.gate.allow(1, 2)
		s.w.server.Recheck()
	case "disable":
		s.w.gate.refuse(1, 2, SwitchedOff)
		s.w.server.Recheck()
	case "logout":
		if err := s.w.sessions.Delete(s.t.Context(), s.session.ID); err != nil {
			s.t.Fatal(err)
		}
	case "admin":
		s.w.server.CloseSockets(mine, CauseAdmin)
	case "drain": // the answers of the client are read meanwhile
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			done <- s.w.server.Shutdown(ctx)
		}()
		until(s.t, "it drains", func() bool { return s.w.server.stopped.Err() != nil && s.w.server.Count() == 0 })
		s.settle()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	case "store-down":
		s.down = true
	case "again": // the same connection id from the same session
		s.w.peer(s.session, rest)
	case "other": // another session of the user
		s.w.peer(s.w.login(1, 2), rest)
	case "fill": // until the server calls the client too slow
		until(s.t, "nobody writes to the client", func() bool { return s.w.server.Stats().Queued == 0 })
		m := Message{Name: "fill", Args: json.RawMessage(`["` + strings.Repeat("x", 1000) + `"]`)}
		for i := 0; ; i++ {
			n, err := s.w.server.SendToUser(1, 2, m, Target{})
			if err != nil || i > 10_000 {
				s.t.Fatalf("message %d is still taken (%v)", i, err)
			}
			if n == 0 {
				return
			}
		}
	case "flood":
		s.write(bytes.Repeat(text(rest), 2*inboundFramesBurst))
	default:
		s.t.Fatalf("unknown action %q", line)
	}
}

// set changes a setting before a handshake.
func (s *script) set(line string) {
	s.t.Helper()
	key, value, _ := strings.Cut(line, " ")
	if key == "narrow" { // little memory in the kernel
		s.w.narrow()
		return
	}
	d, durationErr := time.ParseDuration(value)
	n, numberErr := strconv.Atoi(value)
	if durationErr != nil && numberErr != nil {
		s.t.Fatalf("set %q: neither a time nor a number", line)
	}
	s.w.configure(func(c *Config) {
		switch key {
		case "pingInterval":
			c.PingInterval = d
		case "pingTimeout":
			c.PingTimeout = d
		case "connectTimeout":
			c.ConnectTimeout = d
		case "maxPayload":
			c.MaxPayload = int64(n)
		case "queueMessages":
			c.QueueMessages = n
		case "maxPerUser":
			c.MaxPerUser = n
		case "maxSockets":
			c.MaxSockets = n
		default:
			s.t.Fatalf("no such setting %q", key)
		}
	})
}
