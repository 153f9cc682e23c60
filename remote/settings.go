package remote

import (
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// Names of the link's own properties.
const (
	PropCluster     = "sluice.cluster.name"
	PropMember      = "sluice.remote.member"
	PropLease       = "sluice.remote.lease"
	PropKeep        = "sluice.remote.keep"
	PropMaxBuffered = "sluice.remote.maxBuffered"
	PropDedupWindow = "sluice.remote.dedupWindow"
)

// DefaultTimings are the documented ones (docs/reference/cluster.md#buffer).
var DefaultTimings = Timings{Delay: time.Second, MaxDelay: 3 * time.Second, Frequency: 500 * time.Millisecond}

// Together holds the buffer's three properties against each other.
var Together = cascade.Group{
	Names: []string{PropDelay, PropMaxDelay, PropFrequency},
	Check: func(values []any) error {
		ms := func(i int) time.Duration {
			n, _ := values[i].(int64)
			return time.Duration(n) * time.Millisecond
		}
		return Timings{Delay: ms(0), MaxDelay: ms(1), Frequency: ms(2)}.Validate()
	},
}

// ReadTimings reads the buffer's three properties from one snapshot. Where they
// do not fit together the last good ones are in force, else the defaults: the
// load has said so (Together).
func ReadTimings(sn *cascade.Snapshot) (Timings, error) {
	read := func(name string) time.Duration {
		v, _ := sn.Get(cascade.Subject{}, name)
		ms, _ := v.Effective.(int64)
		return time.Duration(ms) * time.Millisecond
	}
	t := Timings{Delay: read(PropDelay), MaxDelay: read(PropMaxDelay), Frequency: read(PropFrequency)}
	return t, t.Validate()
}
