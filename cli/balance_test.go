package cli_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// totals is what a ledger came to.
type totals struct {
	sent, refused, unknown, accepted int
	deliveries, missing, twice, late int // late: out of order
	closed                           int // sockets that did not stay
	away                             int // messages that a client missed, in all of its connections
	again, againOwn                  int // that came to a client in more than one of its connections; to one of Socket.IO's own recovery
	unflushed                        int // messages of a killed member that reached no other
	forgotten                        int // messages that Redis had acknowledged and lost
}

func (s totals) String() string {
	return fmt.Sprintf("%d sent = %d accepted + %d refused + %d without an answer; %d deliveries, %d missing, %d twice, %d out of order; %d sockets closed; clients missed %d and got %d twice, %d of these with Socket.IO's own recovery; %d unflushed in a killed member; %d forgotten by Redis",
		s.sent, s.accepted, s.refused, s.unknown, s.deliveries, s.missing, s.twice, s.late, s.closed, s.away, s.again+s.againOwn, s.againOwn, s.unflushed, s.forgotten)
}

// allowance is what a fault may cost.
type allowance struct {
	killed    map[int]time.Time // members that died, and when
	leave     map[int]bool      // members whose sockets may end; clientMember: those of clients
	closes    int               // sockets of other members that may end
	forgot    time.Time         // when Redis lost what it had acknowledged; zero: it did not
	again     bool              // what was on its way may come twice to clients
	synced    bool              // each message was accepted when Redis had it
	unordered bool              // a user's messages are posted at the same time
	passed    map[int]time.Time // members whose sockets are sent away for what they miss, and since when they miss it
}

const (
	// dueWithin is how long a message waits in its member at most, by the
	// default timings, and undelayed how long it waits there at least. A message
	// older than the one has been with Redis, one younger than the other has not.
	dueWithin = 1600 * time.Millisecond
	undelayed = 900 * time.Millisecond
	// underway is how long one is on its way in all, while nothing fails, on a
	// machine with all its cores in use.
	underway = 4 * time.Second
)

// close compares what was accepted with what came.
func (l *ledger) close(allow allowance) (sum totals) {
	l.t.Helper()
	l.settle()
	// What is flushed is still read by its members: wait for what is missing, and
	// then until nothing more comes.
	before, same, limit := -1, 0, time.Now().Add(patience/2)
	l.members[0].poll("the sockets have read all", func() bool {
		n := 0
		for _, s := range append(l.clientSockets(), l.sockets...) {
			s.mu.Lock()
			n += len(s.texts)
			s.mu.Unlock()
		}
		if n != before {
			before, same = n, 0
			return false
		}
		same++
		return same > 100 && (time.Now().After(limit) || l.balance(allow, false).missing == 0)
	})
	sum = l.balance(allow, true)
	l.t.Logf("ledger: %v", sum)
	if sum.missing > 0 || sum.twice > 0 || sum.late > 0 && !allow.unordered || sum.closed > 0 && l.t.Failed() {
		for _, m := range l.members {
			l.t.Logf("%s:\n%s", m.name, m.log())
		}
		l.t.Error("the ledger does not balance")
	}
	return sum
}

// balance adds up. Only when it says so it reports what is wrong.
func (l *ledger) balance(allow allowance, say bool) (sum totals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.refused, sum.unknown, sum.accepted = l.refused, l.unknown, len(l.accepted)-l.unknown
	sum.sent = sum.refused + len(l.accepted)
	seen := make(map[int]map[string]bool) // by a user's client, in any of its connections
	lost, forgotten, unexpected := map[string]bool{}, map[string]bool{}, 0
	for _, s := range append(l.clientSockets(), l.sockets...) {
		got := l.read(s, &sum, say)
		if s.member == clientMember {
			if seen[s.user] == nil {
				seen[s.user] = make(map[string]bool)
			}
			for id := range got {
				switch {
				case !seen[s.user][id]:
				case recoversItself(s.user):
					sum.againOwn++
				default:
					sum.again++
				}
				seen[s.user][id] = true
			}
		}
		s.mu.Lock()
		err, ended := s.err, s.ended
		s.mu.Unlock()
		if err != nil {
			sum.closed++
			if !allow.leave[s.member] {
				unexpected++
				if say && unexpected > allow.closes {
					l.t.Errorf("a socket of user %d on %s has ended: %v", s.user, l.nameOf(s.member), err)
				}
			}
		}
		for id, a := range l.accepted {
			killed := allow.killed[a.member]
			switch {
			case a.user != s.user || got[id] > 0 || a.unsure:
			case s.member == clientMember:
				// It may come to another of the client's connections: see away.
			case a.at.Before(s.opened), err != nil && a.at.After(ended.Add(-underway)):
				// It was not there, or may not have been.
			case err != nil && !allow.passed[s.member].IsZero() && a.at.After(allow.passed[s.member].Add(-underway)):
				// It was sent away for that.
			case a.member != s.member && a.at.Before(killed):
				lost[id] = true
			case a.member != s.member && a.at.Before(allow.forgot.Add(-undelayed)) && a.at.After(allow.forgot.Add(-underway)):
				forgotten[id] = true
			default:
				if sum.missing++; say && sum.missing <= 5 {
					l.t.Logf("missing: %s at user %d on %s, accepted %s", id, s.user, l.nameOf(s.member), a.at.Format(time.StampMilli))
				}
			}
		}
	}
	sum.unflushed, sum.forgotten = len(lost), len(forgotten)
	if l.node == nil {
		return sum
	}
	for id, a := range l.accepted {
		killed := allow.killed[a.member]
		if a.unsure || seen[a.user][id] || a.at.Before(killed) && !allow.synced {
			continue
		}
		if sum.away++; say && sum.away <= 5 {
			l.t.Logf("missed: %s by the client of user %d, accepted %s", id, a.user, a.at.Format(time.StampMilli))
		}
	}
	return sum
}

// read adds up what a socket got: how often each message came.
func (l *ledger) read(s *ledgerSocket, sum *totals, say bool) map[string]int {
	got := map[string]int{}
	last := map[[2]int]int{} // number, by the member of the sender and the one that accepted
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.texts {
		var m struct{ Args []string }
		if err := json.Unmarshal([]byte(text), &m); err != nil || len(m.Args) != 1 {
			continue // of the protocol
		}
		id := m.Args[0]
		got[id]++
		sum.deliveries++
		if got[id] > 1 {
			sum.twice++
		}
		parts := strings.Split(id, "/")
		sender, _ := strconv.Atoi(parts[0])
		n, _ := strconv.Atoi(parts[2])
		a := l.accepted[id]
		from := [2]int{sender, sender}
		if a != nil {
			from[1] = a.member
		}
		if prev, any := last[from]; any && n < prev {
			sum.late++
		}
		last[from] = n
		if say && (a == nil || a.user != s.user) {
			l.t.Errorf("a socket of user %d got %s", s.user, id)
		}
	}
	return got
}

func (l *ledger) nameOf(member int) string {
	if member == clientMember {
		return "a client"
	}
	return l.members[member].name
}
