package auth

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	// FailureBurst and failureRefill are how many wrong tokens or passwords an
	// address may send at once, and how long until it may send one more:
	// enough for somebody who mistypes, and 14,400 a day for who guesses.
	FailureBurst  = 10
	failureRefill = 6 * time.Second
	// maxFailing bounds the addresses that are remembered; beyond it the one is
	// forgotten whose last failure is the oldest. Some 200 bytes each.
	maxFailing = 4096
)

// Failures count who sent what is wrong, by address. IPv6 counts by the network
// that a single customer has.
type Failures struct {
	mu     sync.Mutex
	places map[netip.Prefix]*list.Element
	order  list.List // of *failing, the latest first
}

type failing struct {
	from  netip.Prefix
	level float64 // failures that are not forgiven yet
	at    time.Time
}

// Locked is how long an address must wait until it may fail again.
func (f *Failures) Locked(from netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.places[from]
	if e == nil {
		return 0
	}
	return e.Value.(*failing).wait(time.Now())
}

// Add counts a failure, unless the address must wait.
func (f *Failures) Add(from netip.Prefix) (wait time.Duration) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.places[from]
	if e == nil {
		if f.places == nil {
			f.places = map[netip.Prefix]*list.Element{}
		}
		if len(f.places) == maxFailing {
			oldest := f.order.Back()
			delete(f.places, f.order.Remove(oldest).(*failing).from)
		}
		e = f.order.PushFront(&failing{from: from, at: now})
		f.places[from] = e
	}
	f.order.MoveToFront(e)
	p := e.Value.(*failing)
	if wait = p.wait(now); wait == 0 {
		p.level++
	}
	return wait
}

func (p *failing) wait(now time.Time) time.Duration {
	p.level = max(0, p.level-float64(now.Sub(p.at))/float64(failureRefill))
	p.at = now
	if p.level+1 <= FailureBurst {
		return 0
	}
	return time.Duration((p.level + 1 - FailureBurst) * float64(failureRefill))
}
