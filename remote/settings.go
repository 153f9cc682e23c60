package remote

import (
	"errors"
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

// DefaultTimings are the documented ones (spec websockets.md, 6.2).
var DefaultTimings = Timings{Delay: time.Second, MaxDelay: 3 * time.Second, Frequency: 500 * time.Millisecond}

// ReadTimings reads the buffer's three properties from one snapshot. They are
// one set: the error names what does not fit, and none of them may then be used.
func ReadTimings(sn *cascade.Snapshot) (Timings, error) {
	var errs []error
	read := func(name string) time.Duration {
		v, _ := sn.Get(cascade.Subject{}, name)
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
		ms, _ := v.Effective.(int64)
		return time.Duration(ms) * time.Millisecond
	}
	t := Timings{Delay: read(PropDelay), MaxDelay: read(PropMaxDelay), Frequency: read(PropFrequency)}
	if err := errors.Join(errs...); err != nil {
		return Timings{}, err
	}
	return t, t.Validate()
}
