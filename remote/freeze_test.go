package remote

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// freeze ends a member so that another process can go on as it, and returns what
// that gets.
func (n *node) freeze(zero time.Time) *State {
	n.t.Helper()
	n.cancel()
	<-n.ended
	n.Halt()
	var b bytes.Buffer
	s := new(State)
	if err := gob.NewEncoder(&b).Encode(n.State(zero)); err != nil {
		n.t.Fatal(err)
	}
	if err := gob.NewDecoder(&b).Decode(s); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// thaw goes on as a member.
func (n *node) thaw(server *redistest.Server, s *State, zero time.Time, change ...func(*Options)) *node {
	n.t.Helper()
	n.mu.Lock()
	sockets := n.sockets
	n.mu.Unlock()
	return newNode(n.t, way(server), n.opts.Member, append(change, func(o *Options) {
		o.State, o.Since = s, zero
		o.Deliverer.(*node).sockets = sockets
	})...)
}

// Whatever waits when a process ends, in it, in Redis or at the others, arrives once
// and in order when the next one goes on as the same member, which nobody notices.
func TestFreeze(t *testing.T) {
	for name, meanwhile := range map[string]func(*testing.T, *redistest.Server){
		"Redis keeps all":  func(*testing.T, *redistest.Server) {},
		"Redis loses all":  func(t *testing.T, s *redistest.Server) { t.Helper(); s.Client().FlushDB(t.Context()) },
		"Redis starts new": func(_ *testing.T, s *redistest.Server) { s.Kill(); s.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			zero := time.Now()
			var mu sync.Mutex
			var seen []string
			watch := func(o *Options) {
				o.Seen = func(what string, m Member) {
					mu.Lock()
					defer mu.Unlock()
					if what != SeenConfig {
						seen = append(seen, what+" "+m.Name)
					}
				}
			}
			a, b := newNode(t, way(s), "a"), newNode(t, way(s), "b", watch)
			meet(t, a, b)
			x := a.mustOpen(1, 5, "x")
			a.send(1, 5, "before")
			b.send(1, 5, "to a before")
			b.wantIDs("before")
			a.wantIDs("to a before")
			mu.Lock()
			seen = nil
			mu.Unlock()

			want := []string{"before"}
			for round := range 3 {
				// It waits in the buffer, since Redis does not answer.
				a.SetTimings(Timings{Delay: time.Hour, Frequency: time.Hour})
				id := fmt.Sprint("waits", round)
				a.send(1, 5, id)
				want = append(want, id)
				state := a.freeze(zero)
				if a.Incarnation() != state.Incarnation {
					t.Fatal("another incarnation")
				}
				meanwhile(t, s)
				id = fmt.Sprint("meanwhile", round)
				b.send(1, 5, id)
				wantA := []string{id}
				a = a.thaw(s, state, zero)
				id = fmt.Sprint("after", round)
				a.send(1, 5, id)
				want = append(want, id)
				b.wantIDs(want...)
				a.wantIDs(wantA...)
			}
			wait(t, "the registry has the socket", func() bool { return registeredOf(s, a, 1, 5) == 1 })
			mu.Lock()
			if len(seen) > 0 {
				t.Errorf("b has seen %v", seen)
			}
			mu.Unlock()
			if b.abandoned+a.abandoned > 0 {
				t.Error("sockets were closed")
			}
			a.shut(x)
			wait(t, "the registry is empty", func() bool { return registeredOf(s, a, 1, 5) == 0 })
			wait(t, "the other has acknowledged all", a.drained)
		})
	}
}

// What was not written yet of a socket that has left is written by the next process.
func TestFreezeRemoval(t *testing.T) {
	s := redistest.Start(t)
	zero := time.Now()
	a := newNode(t, way(s), "a")
	meet(t, a)
	x := a.mustOpen(1, 5, "x")
	a.cancel()
	<-a.ended
	a.shut(x)
	state := a.freeze(zero)
	a = a.thaw(s, state, zero)
	wait(t, "the registry is empty", func() bool { return registeredOf(s, a, 1, 5) == 0 })
}
