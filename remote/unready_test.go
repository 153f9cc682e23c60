package remote

import (
	"errors"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// A socket that is admitted while its member's link is cut gets what another
// member accepts from then on, also before the others can have noticed the cut.
func TestLinkRegisterWhileCut(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr)
	cutOff := way(s)
	cutOff.Hosts = []string{p.Addr}
	a, b := newNode(t, way(s), "a"), newNode(t, cutOff, "b")
	meet(t, a, b)
	for range 3 {
		p.Cut()
		wait(t, "b admits a socket", func() bool {
			_, err := b.open(1, 5, "x", "s", 8)
			if err != nil && !errors.Is(err, ErrUnready) {
				t.Fatal(err)
			}
			return err == nil
		})
		a.send(1, 5, "m")
		wait(t, "it has left", a.drained)
		p.Heal()
		meet(t, a, b)
		b.wantIDs("m")
		b.mu.Lock()
		b.got = nil
		for _, r := range b.sockets {
			b.Unregister(r)
		}
		b.sockets = map[string]shared.Registration{}
		b.mu.Unlock()
		wait(t, "the socket is forgotten", func() bool { return registeredOf(s, a, 1, 5) == 0 })
	}
}
