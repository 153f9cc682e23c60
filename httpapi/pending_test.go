package httpapi

import (
	"net"
	"net/http"
	"testing"

	"github.com/seed47708276/sluice/websockets"
)

// from is a connection of an address.
type from struct {
	net.Conn
	addr   string
	closed bool
}

func (f *from) RemoteAddr() net.Addr { a, _ := net.ResolveTCPAddr("tcp", f.addr); return a }

func (f *from) Close() error { f.closed = true; return nil }

// One address may have so many connections without a socket; the proxies and
// this machine any number, and a socket is none of them.
func TestPendingConnections(t *testing.T) {
	files := map[string]string{"limit.properties": PropMaxPending + "=2\n" + websockets.PropKnownProxies + "=10.0.0.1\n"}
	w := newWorld(t, files)
	open := func(addr string) *from {
		c := &from{addr: addr}
		w.server.followClients(c, http.StateNew)
		return c
	}
	first, second := open("192.0.2.1:1"), open("192.0.2.1:2")
	if third := open("192.0.2.1:3"); first.closed || second.closed || !third.closed {
		t.Errorf("closed: %v %v %v", first.closed, second.closed, third.closed)
	} else {
		w.server.followClients(third, http.StateClosed)
	}
	if other := open("192.0.2.2:1"); other.closed {
		t.Error("another address is refused")
	}
	for range 5 {
		for _, exempt := range []string{"10.0.0.1:1", "127.0.0.1:1", "[::1]:1"} {
			if open(exempt).closed {
				t.Errorf("%s is refused", exempt)
			}
		}
	}
	w.server.followClients(first, http.StateHijacked)
	if again := open("[::ffff:192.0.2.1]:4"); again.closed {
		t.Error("a socket counts as a connection without one")
	}
	if n := w.server.budget.refused.Load(); n != 1 {
		t.Errorf("%d refusals are counted", n)
	}
}

// Clients leave descriptors to administrators.
func TestBudgetOfAdministrators(t *testing.T) {
	for _, files := range []int{64, 1024, 1 << 20} {
		b := newBudget(files, func() int64 { return 0 })
		if b.clients <= 0 || b.clients >= b.max || int64(MaxSockets(files)) > b.clients {
			t.Errorf("of %d: %d, clients %d, sockets %d", files, b.max, b.clients, MaxSockets(files))
		}
	}
}
