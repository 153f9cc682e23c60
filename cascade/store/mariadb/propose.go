package mariadb

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// settleTime is how long a group of writes is tried again; then what is in
	// doubt is given up, which has giveUpTime.
	settleTime = 14 * time.Second
	// refuseAfter is how long nodes that take no transaction are tried: nothing
	// is in doubt, and who asks is told.
	refuseAfter = 4 * time.Second
	giveUpTime  = 15 * time.Second
	// Conflicts are tried again after a random time up to minConflict, doubled up
	// to maxConflict.
	minConflict = 5 * time.Millisecond
	maxConflict = 200 * time.Millisecond
	// Another node is tried after minMove to maxMove.
	minMove = 20 * time.Millisecond
	maxMove = 70 * time.Millisecond
	// maxRows and maxRowBytes bound one statement.
	maxRows     = 1000
	maxRowBytes = 2 << 20
	// packetSlack is what a statement has beside its values.
	packetSlack = 64 << 10
	// maxLog is how many entries are kept, trimAtOnce how many are removed with
	// one write.
	maxLog     = 1_000_000
	trimAtOnce = 1000
)

// Propose implements store.Truth.
func (d *Database) Propose(ctx context.Context, group []*store.Proposal) []store.Sealed {
	settle, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	a := &attempt{d: d, group: group}
	made, err := a.settle(settle)
	if err == nil {
		return made
	}
	if !a.doubt {
		fill(group, asError(err))
		return nil
	}
	// What was perhaps done is either found done, or made never to be.
	giving, cancel := context.WithTimeout(d.ctx, giveUpTime)
	defer cancel()
	a.giveUp = true
	made, gerr := a.settle(giving)
	if gerr == nil {
		return made
	}
	d.opt.Logger.Warn("whether these writes are done is not known: their callers have to ask again", slog.Int("count", len(group)), slog.Any("err", gerr))
	for _, p := range group {
		p.Entry, p.Err = store.Entry{}, &store.UnconfirmedError{Request: p.Write.Request}
	}
	return nil
}

func fill(group []*store.Proposal, err error) {
	for _, p := range group {
		p.Entry, p.Err = store.Entry{}, err
	}
}

// attempt is a group of writes that is tried until it is settled.
type attempt struct {
	d      *Database
	group  []*store.Proposal
	doubt  bool // a COMMIT was sent whose answer did not come
	lookup bool // a write of the group may be there already
	giveUp bool // write that they are not done
}

// settle tries until the group has its answers.
func (a *attempt) settle(ctx context.Context) ([]store.Sealed, error) {
	wait := minConflict
	start := time.Now()
	for {
		node := a.d.pool.Pick(ctx)
		// A statement ends with the pool's own timeouts: a context that may end costs
		// a goroutine for each, and does not end a COMMIT.
		t := &transaction{attempt: a, ctx: context.WithoutCancel(ctx)}
		made, err := t.run(node.DB())
		node.Note(err)
		class := sqlpool.Classify(err)
		if err == nil {
			if len(made) > 0 {
				a.d.tell(made[len(made)-1].Revision)
			}
			return made, nil
		}
		if t.committing && class == sqlpool.Lost {
			a.doubt, a.lookup = true, true
		}
		pause := time.Duration(0)
		switch class {
		case sqlpool.Conflict:
			pause, wait = rand.N(wait), min(2*wait, maxConflict)
		case sqlpool.Duplicate:
			a.lookup = a.lookup || sqlpool.DuplicateKey(err) == keyRequest
			pause, wait = rand.N(wait), min(2*wait, maxConflict)
		case sqlpool.Elsewhere, sqlpool.Lost, sqlpool.Full:
			if !a.doubt && time.Since(start) > refuseAfter {
				return nil, err
			}
			pause = minMove + rand.N(maxMove-minMove)
		case sqlpool.TooLarge:
			if !a.doubt && len(a.group) == 1 {
				return nil, &store.BadWriteError{Reason: sqlpool.Explain(err).Error()}
			}
			return nil, err
		default:
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}
