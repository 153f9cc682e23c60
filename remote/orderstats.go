package remote

import "sync/atomic"

type orderCounters struct {
	appends, behind, unconfirmed, failed  atomic.Int64
	seeds, snapshots, repairs, unreadable atomic.Int64
}

// OrderStats are the counters of an OrderLog since its start; Replicas is of the
// last write.
type OrderStats struct {
	Appends     int64 // writes that Redis has taken
	Behind      int64 // that came after another member's and were made again
	Unconfirmed int64 // that a replica has not taken in time, or whose answer did not come
	Failed      int64 // that Redis has refused, or that were not sent
	Seeds       int64 // times that the state was given to Redis
	Snapshots   int64 // times that it was read whole
	Repairs     int64 // keys that held something else, or were lost, and were removed
	Unreadable  int64 // entries, records and heads that did not parse
	Replicas    int64
}

// Stats returns the counters.
func (o *OrderLog) Stats() OrderStats {
	c := &o.counts
	return OrderStats{
		Appends: c.appends.Load(), Behind: c.behind.Load(), Unconfirmed: c.unconfirmed.Load(), Failed: c.failed.Load(),
		Seeds: c.seeds.Load(), Snapshots: c.snapshots.Load(), Repairs: c.repairs.Load(), Unreadable: c.unreadable.Load(),
		Replicas: o.replicas.Load(),
	}
}
