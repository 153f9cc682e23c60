package cli_test

import (
	"syscall"
	"testing"
	"time"
)

const (
	killedClients = 9000
	// killedBack is when all clients of a member that was killed are on the other:
	// their first attempt, after a second, must be the one that succeeds.
	killedBack = 7 * time.Second
)

// TestKilledMember kills a member behind nginx. Its clients come to the other in
// the same moment, and none is refused.
func TestKilledMember(t *testing.T) {
	clients, exact := 400, false
	if *torture {
		clients, exact = killedClients, true
	}
	f, addrs := newPair(t)
	first, second := f.members[0], f.members[1]
	second.signal(syscall.SIGTERM)
	second.wait()
	c := newCrowd(t, first, plainEdge(t, addrs...), clients, "sio2")
	f.launch(second)
	f.meet()
	connects := c.count("connect")

	began := time.Now()
	first.signal(syscall.SIGKILL)
	c.await(second, "all clients are on the other member", func() bool {
		return c.count("connect") == connects+clients && c.connected() == clients
	})
	back := time.Since(began)
	t.Logf("%d clients are back after %v", clients, back.Round(10*time.Millisecond))
	if exact && back > killedBack {
		t.Errorf("want them back within %v", killedBack)
	}
	if n := c.count("connect_error"); n > 0 {
		t.Errorf("%d handshakes were refused; the proxy: %v, the member: %v", n, c.edge.statuses(t), second.refusals())
	}
}

// refusals are the handshakes that a member has refused, by code and reason.
func (p *process) refusals() map[string]string {
	counts := map[string]string{}
	for _, series := range []string{
		`reason="",result="overload"`, `reason="authenticating",result="overload"`, `reason="",result="cluster_unavailable"`,
		`reason="",result="store_unavailable"`, `reason="",result="draining"`, `reason="",result="ok"`,
	} {
		if n := p.metric("sluice_handshakes_total{" + series + "}"); n != "" {
			counts[series] = n
		}
	}
	return counts
}
