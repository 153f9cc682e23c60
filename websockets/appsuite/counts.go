package appsuite

import (
	"sync"
	"sync/atomic"
	"time"
)

// complaintInterval is how often documents that cannot be used are reported,
// for each thing that is wrong with them.
const complaintInterval = time.Minute

// counts are the counters of a Store.
type counts struct {
	touched atomic.Int64
	down    atomic.Int64 // failures in a row

	mu       sync.Mutex
	lookups  map[result]int64
	reported map[result]report
}

type report struct {
	at    time.Time
	count int64 // of lookups then
}

// failed counts a failure and reports whether it is the first of a row.
func (c *counts) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(storeError)
	return c.down.Add(1) == 1
}

// recovered ends a row of failures and returns its length.
func (c *counts) recovered() int64 {
	if c.down.Load() == 0 {
		return 0
	}
	return c.down.Swap(0)
}

// add counts a result. It returns how many of this kind there were since the
// last report when it is time for another, else 0.
func (c *counts) add(r result, now time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(r)
	if !r.unreadable() {
		return 0
	}
	last, before := c.reported[r]
	if before && now.Sub(last.at) < complaintInterval {
		return 0
	}
	if c.reported == nil {
		c.reported = make(map[result]report)
	}
	n := c.lookups[r]
	c.reported[r] = report{now, n}
	return n - last.count
}

func (c *counts) addLocked(r result) {
	if c.lookups == nil {
		c.lookups = make(map[result]int64)
	}
	c.lookups[r]++
}

// Counts are since the start; Following is of now.
type Counts struct {
	// Lookups counts by result: found, unknown, expired, unscored, wrong_type,
	// too_big, bad_document, bad_version, other_id, and store_error, which
	// counts failed ways to Redis instead of sessions.
	Lookups map[string]int64
	Touched int64 // sessions whose last use was written
	// Events counts the messages of the channel by what they are: invalidate,
	// other (of no concern to sockets) and strange (not understood); and
	// dropped, which counts sessions that were named while too many waited.
	Events    map[string]int64
	Following bool // the channel is subscribed to
}

// Counts returns the counters.
func (s *Store) Counts() Counts {
	c := Counts{Lookups: make(map[string]int64, len(results)), Touched: s.counts.touched.Load()}
	s.counts.mu.Lock()
	for _, r := range results {
		c.Lookups[string(r)] = s.counts.lookups[r]
	}
	s.counts.mu.Unlock()
	c.Events, c.Following = s.hints.counters()
	return c
}
