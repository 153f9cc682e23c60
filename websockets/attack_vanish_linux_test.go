package websockets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vanish takes the client off the network without a word: its kernel drops
// whatever still comes for the connection, before TCP sees it, and so answers
// nothing, neither with an acknowledgement nor with a reset. It is what a cable
// that is pulled looks like from the server.
func (p *peer) vanish() {
	p.t.Helper()
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	raw, err := p.conn.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
	}); err != nil || failed != nil {
		p.t.Fatal(err, failed)
	}
}

// Clients that vanish are noticed by their heartbeat, whatever the socket was
// about; everything they had is free again.
func TestVanishedClients(t *testing.T) {
	a := newArena(t) // the witness keeps the heartbeat that it was told here
	a.configure(func(c *Config) {
		c.PingInterval, c.PingTimeout = 100*time.Millisecond, 150*time.Millisecond
		c.MaxPerUser = 1
	})
	big := Message{Name: "big", Args: []byte(`["` + strings.Repeat("x", MaxMessageBytes/2) + `"]`)}
	push := func(user uint32) int {
		n, err := a.server.SendToUser(4, user, big, Target{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := make(map[Closing]int64)
	before := a.server.Stats()
	gone := make(map[*Session]string)
	for _, path := range []string{eio3, eio4, wsPush} {
		for name, c := range map[string]struct {
			before func(p *peer) // what it does last
			after  func(user uint32)
			end    Closing
		}{
			"while nothing happens": {end: endsPing},
			"within a frame":        {before: func(p *peer) { p.write(text(`421["x"]`)[:5]) }, end: endsPing},
			"within a message":      {before: func(p *peer) { p.write(masked(opText, []byte("42"))) }, end: endsPing},
			"while it gets messages": {
				after: func(user uint32) {
					if n := push(user); n != 1 {
						t.Errorf("queued for %d sockets", n)
					}
				},
				end: endsPing,
			},
			"while it gets more than it can take": {
				after: func(user uint32) {
					sent := 0
					for push(user) == 1 { // the kernel takes some megabytes
						if sent++; sent > 1000 {
							t.Fatal("its queue never fills")
						}
					}
				},
				end: endsSlow,
			},
			"before it is closed": {
				after: func(user uint32) {
					if n := a.server.CloseSockets(Selector{Context: 4, User: user}, CauseAdmin); n != 1 {
						t.Errorf("%d closed", n)
					}
				},
				end: endsAdmin,
			},
		} {
			t.Logf("%s: %s", path, name)
			want[c.end]++
			interval := 100 * time.Millisecond
			if c.end != endsPing { // which would be first
				interval = time.Minute
			}
			a.configure(func(c *Config) { c.PingInterval = interval })
			s := a.login(4, nextUser.Add(1))
			gone[s] = path
			p := a.joined(s, path)
			if c.before != nil {
				c.before(p)
			}
			p.vanish()
			if c.after != nil {
				c.after(s.User)
			}
		}
	}
	until(t, "they count no more", func() bool { return a.server.Count() == 1 })
	a.untouched(t)
	// Their places are free, also before the connections are given up.
	a.configure(func(c *Config) { c.PingInterval = time.Minute })
	for s, path := range gone {
		want[endsClient]++
		a.joined(s, path).leave()
	}
	expectClosed(t, a.server, before, want)
	a.untouched(t)
	a.onlyWitness(t)
}

// A takeover by a client whose first connection is dead works at once: that is
// what a connection id is for.
func TestVanishedClientComesBack(t *testing.T) {
	a := newArena(t)
	before := a.server.Stats()
	s := a.login(4, nextUser.Add(1))
	const rounds = 20
	for i := range rounds {
		p := a.peer(s, eio4+"&connection=17")
		p.wantPrefix(`0{"sid":"`)
		p.text("40")
		p.wantPrefix(`40{"sid":"`)
		if n, err := a.server.SendToUser(4, s.User, Message{Name: "n", Args: fmt.Appendf(nil, "[%d]", i)}, Target{}); n != 1 || err != nil {
			t.Fatalf("round %d: queued for %d sockets (%v)", i, n, err)
		}
		p.want(opText, fmt.Sprintf(`42["n",%d]`, i))
		p.vanish()
	}
	a.server.CloseSockets(Selector{Context: 4, User: s.User}, CauseAdmin)
	expectClosed(t, a.server, before, map[Closing]int64{endsTakenOver: rounds - 1, endsAdmin: 1})
	a.untouched(t)
	a.onlyWitness(t)
}
