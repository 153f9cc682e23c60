package remote

import (
	"slices"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// Each member knows who has a socket on any; without Redis it does not say that
// nobody has.
func TestHaveSockets(t *testing.T) {
	s := redistest.Start(t)
	a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b")
	meet(t, a, b)
	r := b.mustOpen(1, 2, "c")
	users := []shared.Registration{{Context: 1, User: 1}, {Context: 1, User: 2}, {Context: 2, User: 2}}
	have, err := a.HaveSockets(t.Context(), users)
	if err != nil || !slices.Equal(have, []bool{false, true, false}) {
		t.Errorf("%v %v", have, err)
	}
	b.shut(r)
	wait(t, "the socket is gone", func() bool {
		have, err := a.HaveSockets(t.Context(), users)
		return err == nil && slices.Equal(have, []bool{false, false, false})
	})
	s.Kill()
	if have, err := a.HaveSockets(t.Context(), users); err == nil {
		t.Errorf("without Redis: %v", have)
	}
}
