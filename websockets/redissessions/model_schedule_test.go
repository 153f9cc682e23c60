package redissessions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/remote/redismodel"
	"github.com/seed47708276/sluice/websockets"
)

// sessionSchedules is how many seeds are run, a millisecond or two each.
const sessionSchedules = 200

// Connections break, with what was sent done or not, while sessions are made,
// touched and deleted: no session is taken for another's because its command was
// sent again, none that was made is missing, and none that was deleted is there.
func TestBrokenConnections(t *testing.T) {
	for seed := range uint64(sessionSchedules) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			model := redismodel.New(redismodel.Options{Seed: seed, Latency: 200 * time.Microsecond})
			defer model.Close()
			var mu sync.Mutex
			var made []*websockets.Session
			var work sync.WaitGroup
			model.Drops(0.2, 0.2)
			for member := range 2 {
				client := model.Line().Client(1) // retries as the product's
				defer client.Close()
				store := open(t, client, 0, func(*websockets.Session) {})
				pauses := rng.IntN(20)
				work.Go(func() {
					for i := range 10 {
						time.Sleep(time.Duration(1+pauses) * time.Millisecond)
						ses := session(uint32(1+member*100+i), time.Hour)
						switch err := store.Create(t.Context(), ses); {
						case errors.Is(err, websockets.ErrSessionExists):
							t.Errorf("seed %d: a session that is made once exists already", seed)
						case err == nil:
							mu.Lock()
							made = append(made, ses)
							mu.Unlock()
						}
					}
				})
			}
			work.Wait()
			client := model.Line().Client(1)
			defer client.Close()
			store := open(t, client, 0, func(*websockets.Session) {})
			gone := map[string]bool{}
			for i, ses := range made {
				if i%3 == 0 {
					// One that says nothing may have been done.
					if err := store.Delete(t.Context(), ses.ID); err == nil || errors.Is(err, websockets.ErrNoSession) {
						gone[ses.ID] = true
					} else {
						delete(gone, ses.ID)
						made[i] = nil
					}
				} else if err := store.Touch(t.Context(), ses.ID); errors.Is(err, websockets.ErrNoSession) {
					t.Errorf("seed %d: a session that was made cannot be touched", seed)
				}
			}
			model.Drops(0, 0)
			for _, ses := range made {
				if ses == nil {
					continue
				}
				got, err := store.Get(t.Context(), ses.ID)
				switch there := err == nil && got.HasSecret(ses.Secret); {
				case gone[ses.ID] && !errors.Is(err, websockets.ErrNoSession):
					t.Errorf("seed %d: a deleted session is there: %v", seed, err)
				case !gone[ses.ID] && !there:
					t.Errorf("seed %d: a session that was made is not there: %v", seed, err)
				}
			}
		})
		if t.Failed() {
			t.Fatal(fmt.Sprint("stopped at seed ", seed))
		}
	}
}
