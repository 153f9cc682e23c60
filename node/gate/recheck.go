package gate

import "context"

// Recheck has the gate asked again for everybody who is connected, after each
// change of files, directory or overrides.
type Recheck struct{ changed chan struct{} }

// NewRecheck returns one that nothing has changed for.
func NewRecheck() Recheck { return Recheck{make(chan struct{}, 1)} }

// Changed notes that answers of the gate may be others now. It never waits.
func (r Recheck) Changed() {
	select {
	case r.changed <- struct{}{}:
	default: // one that is noted already counts for this change, too
	}
}

// Run calls closeRefused after each change until ctx ends. Changes that come
// while it works count as one.
func (r Recheck) Run(ctx context.Context, closeRefused func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			closeRefused()
		}
	}
}
