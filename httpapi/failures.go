package httpapi

import (
	"container/list"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// failureBurst and failureRefill are how many wrong tokens or passwords an
	// address may send at once, and how long until it may send one more:
	// enough for somebody who mistypes, and 14,400 a day for who guesses.
	failureBurst  = 10
	failureRefill = 6 * time.Second
	// maxFailing bounds the addresses that are remembered; beyond it the one is
	// forgotten whose last failure is the oldest. Some 200 bytes each.
	maxFailing = 4096
)

// failures count who sent what is wrong, by address. IPv6 counts by the network
// that a single customer has.
type failures struct {
	mu     sync.Mutex
	places map[netip.Prefix]*list.Element
	order  list.List // of *failing, the latest first
}

type failing struct {
	from  netip.Prefix
	level float64 // failures that are not forgiven yet
	at    time.Time
}

// locked is how long an address must wait until it may fail again.
func (f *failures) locked(from netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.places[from]
	if e == nil {
		return 0
	}
	return e.Value.(*failing).wait(time.Now())
}

// add counts a failure, unless the address must wait.
func (f *failures) add(from netip.Prefix) (wait time.Duration) {
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
	if p.level+1 <= failureBurst {
		return 0
	}
	return time.Duration((p.level + 1 - failureBurst) * float64(failureRefill))
}

// clientNetwork is that of the connection: on this listener nobody is believed
// who says that he speaks for another.
func clientNetwork(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	a, bits := ap.Addr().Unmap().WithZone(""), 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // never fails: the bits fit
	return p
}

// retryLater answers an address that must wait.
func retryLater(w http.ResponseWriter, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return fail(http.StatusTooManyRequests, "too_many_failures", "too many wrong tokens or passwords came from your address: correct yours, and try again in %d s", seconds)
}
