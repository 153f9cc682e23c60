package remote

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// threeMembers runs f in a world of m0, m1 and m2 with a socket each.
func threeMembers(t *testing.T, f func(t *testing.T, w *world, members []*peer, sockets []*worldSocket)) {
	t.Helper()
	SetRedisLogger(slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, false)
		members := []*peer{w.join("m0"), w.join("m1"), w.join("m2")}
		w.sleep(worldStart)
		for _, p := range members {
			if err := w.open(p, 1); err != nil {
				t.Fatal(err)
			}
		}
		f(t, w, members, w.sockets)
		w.stop()
		w.end()
		w.redis.Close()
	})
}

// post has a member send some messages with ids.
func (w *world) post(from *peer, name string) {
	for i := range 3 {
		w.send(from, fmt.Sprint(name, i), addressee{1, 1}, false, true, nil)
		w.sleep(100 * time.Millisecond)
	}
}

// A member that was away while a sender ended, and Redis was emptied, knows from
// the others that it lacks something, and sends its clients away.
func TestWitnessTellsWhatIsLost(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"killed": (*peer).kill,
		"left":   (*peer).leave,
	} {
		t.Run(name, func(t *testing.T) {
			threeMembers(t, func(t *testing.T, w *world, members []*peer, sockets []*worldSocket) {
				away, dead := members[0], members[2]
				w.sleep(worldLease) // what comes soon after a start may be from before it
				away.line.Cut()
				w.post(dead, "lost")
				end(dead)
				w.sleep(worldLease / 2)
				w.redis.Flush() // what m1 has sent comes again
				w.sleep(worldLease + worldKeep)
				away.line.Heal()
				w.sleep(2*worldLease + worldKeep + worldWhole)
				if sockets[0].why != "1012" || away.Stats().Dropped[drops[dropMissed]] < 3 {
					t.Errorf("the socket is %q, and dropped are %v", sockets[0].why, away.Stats().Dropped)
				}
				if sockets[1].why != "" || members[1].Stats().Dropped[drops[dropMissed]] != 0 {
					t.Errorf("of a member that was there the socket is %q, and dropped are %v", sockets[1].why, members[1].Stats().Dropped)
				}
			})
		})
	}
}

// A member that was away and gets everything from the log sends nobody away.
func TestWitnessOfWhatTheLogHas(t *testing.T) {
	threeMembers(t, func(t *testing.T, w *world, members []*peer, sockets []*worldSocket) {
		away, dead := members[0], members[2]
		w.sleep(worldLease)
		away.line.Cut()
		w.post(dead, "kept")
		dead.kill()
		w.sleep(worldLease + worldKeep)
		away.line.Heal()
		w.sleep(2*worldLease + worldKeep + worldWhole)
		if s := sockets[0]; s.why != "" || len(s.got) != 3 {
			t.Errorf("the socket is %q and got %d messages", s.why, len(s.got))
		}
	})
}

// A member that starts after others have ended, or while Redis is empty, lacks
// nothing from before, and gets none of it.
func TestStartAfterOthersEnded(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(fmt.Sprintf("empty %v", empty), func(t *testing.T) {
			threeMembers(t, func(t *testing.T, w *world, members []*peer, _ []*worldSocket) {
				members[0].kill() // what the others send is kept for it
				w.post(members[1], "before")
				members[2].leave()
				w.sleep(worldLease / 4)
				if empty {
					w.redis.Flush()
				}
				fresh := w.join("m2")
				err := w.open(fresh, 1)
				for range 20 { // until it is one of the cluster
					if err == nil {
						break
					}
					w.sleep(50 * time.Millisecond)
					err = w.open(fresh, 1)
				}
				if err != nil {
					t.Fatal(err)
				}
				w.sleep(3*worldLease + worldKeep + worldWhole)
				s := w.sockets[len(w.sockets)-1]
				if s.why != "" || len(s.got) != 0 || fresh.Stats().Dropped[drops[dropMissed]] != 0 {
					t.Errorf("the socket is %q and got %d messages, and dropped are %v", s.why, len(s.got), fresh.Stats().Dropped)
				}
			})
		})
	}
}

// Where nobody is left who knows, a member that was away while a sender ended
// and the log was lost sends its clients away: it may lack something.
func TestDoubtWithoutWitness(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost %v", lost), func(t *testing.T) {
			threeMembers(t, func(t *testing.T, w *world, members []*peer, sockets []*worldSocket) {
				away := members[0]
				w.sleep(worldLease)
				away.line.Cut()
				w.post(members[2], "doubt")
				members[1].kill()
				members[2].leave()
				w.sleep(worldLease)
				if lost {
					w.redis.Flush()
				}
				w.sleep(worldLease + worldKeep)
				away.line.Heal()
				w.sleep(2*worldLease + worldKeep + worldWhole)
				why, got := "", 3
				if lost {
					why, got = "1012", 0
				}
				if s := sockets[0]; s.why != why || len(s.got) != got {
					t.Errorf("the socket is %q and got %d messages", s.why, len(s.got))
				}
			})
		})
	}
}

// A Redis that was away and comes back empty puts no member in doubt that lives.
func TestEmptyRedisOfLivingMembers(t *testing.T) {
	threeMembers(t, func(t *testing.T, w *world, members []*peer, sockets []*worldSocket) {
		w.redis.Stop()
		w.sleep(readBlock + readSlack + worldLease)
		w.redis.Start()
		w.sleep(2*worldLease + worldKeep + worldWhole)
		for i, s := range sockets {
			if s.why != "" || members[i].Stats().Dropped[drops[dropMissed]] != 0 {
				t.Errorf("the socket of m%d is %q, and dropped are %v", i, s.why, members[i].Stats().Dropped)
			}
		}
	})
}
