package remote

import (
	"fmt"
	"time"
)

// Timings are the three properties of the buffer
// (docs/reference/cluster.md#buffer).
type Timings struct {
	Delay     time.Duration // how long a message waits for an equal one; 0: it does not
	MaxDelay  time.Duration // how long equal messages may make it wait in all; 0: no limit
	Frequency time.Duration // how often due messages are looked for
}

// minFrequency keeps the looking from taking a core.
const minFrequency = 10 * time.Millisecond

// Validate holds the three against each other.
func (t Timings) Validate() error {
	switch {
	case t.Delay < 0, t.MaxDelay < 0:
		return fmt.Errorf("%s and %s are 0 or more milliseconds", PropDelay, PropMaxDelay)
	case t.MaxDelay != 0 && t.Delay > t.MaxDelay:
		return fmt.Errorf("%s (%d) is above %s (%d): lower it, or set the other to 0 for no limit",
			PropDelay, t.Delay.Milliseconds(), PropMaxDelay, t.MaxDelay.Milliseconds())
	case t.Frequency < minFrequency:
		return fmt.Errorf("%s is at least %d milliseconds", PropFrequency, minFrequency.Milliseconds())
	}
	return nil
}

func (t Timings) due(first, last time.Time) time.Time {
	due := last.Add(t.Delay)
	if latest := first.Add(t.MaxDelay); t.MaxDelay != 0 && latest.Before(due) {
		return latest
	}
	return due
}
