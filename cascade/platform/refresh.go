package platform

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// Run reads until ctx ends: who asks at once, in batches, and the connected
// users each refresh time.
func (p *Platform) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { p.refresher(ctx) })
	defer wg.Wait()
	var last time.Time
	for {
		var batch []request
		select {
		case <-ctx.Done():
			return
		case r := <-p.queue:
			batch = append(batch, r)
		}
		if rest := gather - time.Since(last); rest > 0 {
			wait := time.NewTimer(rest)
			select {
			case <-ctx.Done():
				wait.Stop()
				return
			case <-wait.C:
			}
		}
		last = time.Now()
		for len(batch) < batchSubjects && len(p.queue) > 0 {
			batch = append(batch, <-p.queue) // no other takes from it
		}
		subjects := make([]cascade.Subject, len(batch))
		for i := range batch {
			subjects[i] = batch[i].su
		}
		_, err := p.read(ctx, subjects, p.opt.Refresh())
		for _, r := range batch {
			r.done <- errorOf(err, r.su.Context)
		}
	}
}

// refresher reads connected users again.
func (p *Platform) refresher(ctx context.Context) {
	for {
		start := time.Now()
		err := p.again(ctx, time.Second/time.Duration(p.opt.Queries()))
		pause := max(p.opt.Refresh()-time.Since(start), restAfterFailure)
		if err != nil && ctx.Err() == nil {
			p.opt.Logger.Debug("connected users could not be read again", slog.Any("err", err))
			pause = min(pause, restOfSchema) // so that it is seen soon when it answers
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// Refresh reads all connected users again, at once.
func (p *Platform) Refresh(ctx context.Context) error {
	p.anew.Store(true)
	return p.again(ctx, 0)
}

// again reads all connected users, with a pause of pace for each query.
func (p *Platform) again(ctx context.Context, pace time.Duration) error {
	start := time.Now()
	var all []cascade.Subject
	p.opt.Connected(func(su cascade.Subject) bool {
		all = append(all, su)
		return true
	})
	// Those of a context, and with luck of a schema, stand together.
	slices.SortFunc(all, func(a, b cascade.Subject) int {
		if a.Context != b.Context {
			return int(a.Context) - int(b.Context)
		}
		return int(a.User) - int(b.User)
	})
	p.mu.Lock()
	p.due = true // once a round
	p.mu.Unlock()
	if len(all) == 0 {
		_, err := p.read(ctx, nil, 0)
		if err == nil {
			p.roundDone(start)
		}
		return err
	}
	var failed error
	for list := range slices.Chunk(all, batchSubjects) {
		n, err := p.read(ctx, list, 0)
		var part *partError
		if failed = cmp.Or(failed, err); err != nil && !errors.As(err, &part) {
			break // the others would fail as well; the next round tries again
		}
		// Handshakes read in between.
		pause := time.NewTimer(time.Duration(n) * pace)
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
	if failed == nil {
		p.forget(all)
		p.roundDone(start)
	}
	return failed
}

// roundDone notes that what is known of all connected users, of none as well, was
// read since start.
func (p *Platform) roundDone(start time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round, p.took = time.Now(), time.Since(start)
}

// forget drops what nobody needs.
func (p *Platform) forget(connected []cascade.Subject) {
	held := make(map[cascade.Subject]bool, 2*len(connected))
	for _, su := range connected {
		held[su], held[cascade.Subject{Context: su.Context}] = true, true
	}
	p.mu.Lock()
	limit := time.Now().Add(-keepFor)
	if len(p.seen) > maxKnown {
		limit = time.Now().Add(-p.opt.Refresh())
	}
	var gone []cascade.Subject
	for su, s := range p.seen {
		if s.at.Before(limit) && !held[su] {
			gone = append(gone, su)
			delete(p.seen, su)
			delete(p.problems, su)
		}
	}
	p.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if err := p.opt.Engine.ForgetPlatform(gone); err != nil {
		p.opt.Logger.Error("users of the platform stay in memory", slog.Any("err", err))
	}
}
