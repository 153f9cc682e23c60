package remote

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// A registered socket takes what docs/cluster.md says of it, whether its user has
// one or several.
func TestRegistryMemory(t *testing.T) {
	const sockets, limit, workers = 1 << 14, 300, 16
	for _, perUser := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d for each user", perUser), func(t *testing.T) {
			s := redistest.Start(t)
			n := newNode(t, way(s), "m")
			meet(t, n)
			used := func() float64 {
				bytes, err := strconv.ParseFloat(s.Client().InfoMap(t.Context(), "memory").Val()["Memory"]["used_memory"], 64)
				if err != nil {
					t.Fatal(err)
				}
				return bytes
			}
			before := used()
			var work sync.WaitGroup
			for w := range workers {
				work.Go(func() {
					for i := w; i < sockets; i += workers {
						n.mustOpen(1337, uint32(1+i/perUser), fmt.Sprintf("%032x", i))
					}
				})
			}
			work.Wait()
			per := (used() - before) / sockets
			t.Logf("a registered socket takes %.0f bytes of Redis", per)
			if per > limit {
				t.Errorf("at most %d are documented", limit)
			}
		})
	}
}
