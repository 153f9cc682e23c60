package websockets

import (
	"context"
	"io"
	"net"
	"testing"
)

// A client that goes away during its handshake leaves nothing, at whatever
// check it is.
func TestGoneDuringHandshake(t *testing.T) {
	for _, step := range []string{"session", "gate"} {
		t.Run(step, func(t *testing.T) {
			reached, goOn := make(chan struct{}, 1), make(chan struct{})
			var a *arena
			armed := false
			stop := func() {
				if armed {
					armed = false
					reached <- struct{}{}
					<-goOn
				}
			}
			a = newArena(t, func(o *Options) {
				if step == "session" {
					o.Sessions = hooked{o.Sessions, func() error { stop(); return nil }}
				}
			})
			s := a.login(1, 2)
			if step == "gate" {
				a.gate.mu.Lock() // the witness may still ask
				a.gate.onAsk = stop
				armed = true
				a.gate.mu.Unlock()
			} else {
				armed = true
			}
			conn, err := net.Dial("tcp", a.http.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, a.upgrade(get("/ws/x?session="+s.ID), s)); err != nil {
				t.Fatal(err)
			}
			<-reached
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			until(t, "the handshake is over", func() bool {
				n := int64(0)
				for _, k := range a.server.Stats().Handshakes {
					n += k
				}
				return n >= 2
			})
			// The 101 may be out before the connection's end is known.
			until(t, "its place is free", func() bool { return a.server.Count() == 1 })
			a.untouched(t)
			a.onlyWitness(t)
		})
	}
}

// hooked are sessions with a call before each look-up, which may fail it.
type hooked struct {
	Sessions
	before func() error
}

func (h hooked) Get(ctx context.Context, id string) (*Session, error) {
	if err := h.before(); err != nil {
		return nil, err
	}
	return h.Sessions.Get(ctx, id)
}
