// Package mariadb keeps the truth of a store in a MariaDB, alone or a Galera
// cluster. The tables are those of schema.go: one row is the head, and every
// transaction that writes locks it first.
package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// loadRecords is how many records are handed over at once.
	loadRecords = 1000
	// sinceBytes bounds the entries of one answer; an entry alone may have more.
	sinceBytes = 32 << 20
	// maxSkipped bounds the keys that are remembered of rows that do not parse.
	maxSkipped = 1000
	// lookEvery is how often a member looks by itself.
	lookEvery = time.Second
	// nudgeTimeout bounds telling the others.
	nudgeTimeout = 2 * time.Second
)

// lookAgain are the times after which a member looks again that was told of a
// revision and does not see it.
var lookAgain = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}

// Nudger tells the members of new revisions.
type Nudger interface {
	// Nudge tells the others of a revision.
	Nudge(ctx context.Context, revision uint64) error
	// AwaitNudge returns the next revision after the nudge with an id, or 0 after
	// a second, and the id to go on with.
	AwaitNudge(ctx context.Context, last string) (revision uint64, id string)
}

// Options are what a Database needs.
type Options struct {
	Pool   sqlpool.Options
	Nudger Nudger // nil: this member is alone
	Logger *slog.Logger
}

// Database is the truth in a MariaDB. It is safe for concurrent use.
type Database struct {
	opt  Options
	pool *sqlpool.Pool

	told   chan uint64   // the last revision that the others are to be told of
	last   string        // the last nudge; of Wait
	wanted atomic.Uint64 // what a nudge has told of
	made   atomic.Uint64 // the last revision that was made here

	mu      sync.Mutex
	skipped []string
	packet  int // the server's max_allowed_packet; 0: not asked yet

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

var _ store.Truth = (*Database)(nil)

// Open makes a Database. Nothing is connected before the first use. Close ends
// it.
func Open(o Options) (*Database, error) {
	pool, err := sqlpool.Open(o.Pool)
	if err != nil {
		return nil, err
	}
	d := &Database{opt: o, pool: pool, told: make(chan uint64, 1)}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if o.Nudger != nil {
		d.work.Go(d.nudge)
	}
	return d, nil
}

// Close ends all connections.
func (d *Database) Close() error {
	d.stop()
	d.work.Wait()
	return d.pool.Close()
}

// Describe implements store.Truth.
func (d *Database) Describe() string {
	return fmt.Sprintf("the database %s (%s)", d.opt.Pool.Database, strings.Join(d.opt.Pool.Hosts, ", "))
}

// nudge tells the other members of the last revision that was made here.
func (d *Database) nudge() {
	for {
		select {
		case rev := <-d.told:
			ctx, cancel := context.WithTimeout(d.ctx, nudgeTimeout)
			if err := d.opt.Nudger.Nudge(ctx, rev); err != nil && d.ctx.Err() == nil {
				d.opt.Logger.Debug("the other members are not told of a write: they look each second", slog.Any("err", err))
			}
			cancel()
		case <-d.ctx.Done():
			return
		}
	}
}

func (d *Database) tell(rev uint64) {
	d.made.Store(rev)
	if d.opt.Nudger == nil {
		return
	}
	for {
		select {
		case d.told <- rev:
			return
		default:
		}
		select { // an older one
		case <-d.told:
		default:
		}
	}
}

// head is the row of sluice_head.
type head struct {
	store.Standing
	version int
}

const selectHead = "SELECT version, rev, chain, history, adopted FROM sluice_head WHERE one = 1"

func scanHead(row *sql.Row) (h head, err error) {
	var chain []byte
	err = row.Scan(&h.version, &h.Head.Revision, &chain, &h.ID, &h.Adopted)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return h, errNoSetup
	case sqlpool.Number(err) == noSuchTable:
		return h, errNoSetup
	case err != nil:
		return h, err
	case h.version != Schema:
		return h, &VersionError{h.version}
	case len(chain) != len(h.Head.Chain):
		return h, errors.New("the row in sluice_head has no chain of 16 bytes: someone changed it")
	}
	h.Head.Chain = store.Chain(chain)
	return h, nil
}

// noSuchTable is the number of the error of a table that is not there.
const noSuchTable = 1146

// asError is what a store is told of an error that is none of a write.
func asError(err error) error {
	var version *VersionError
	var foreign *ForeignError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*store.NoStoreError)), errors.As(err, new(*store.BadWriteError)):
		return err
	case errors.As(err, new(*MixedError)):
		return &store.UnavailableError{Err: err}
	case errors.As(err, &version), errors.As(err, &foreign), errors.Is(err, errNoSetup):
		return &store.NoStoreError{Reason: err.Error()}
	case sqlpool.Classify(err) == sqlpool.Setup:
		return &store.NoStoreError{Reason: fmt.Sprintf("the tables in the database are none of Sluice's, or damaged (%v): use another database, or restore a backup", err)}
	}
	return &store.UnavailableError{Err: sqlpool.Explain(err)}
}

// Since implements store.Truth.
func (d *Database) Since(ctx context.Context, at store.Head, limit int) (st store.Standing, list []store.Sealed, err error) {
	node := d.pool.Pick(ctx)
	defer func() {
		if !errors.Is(err, store.ErrHistory) {
			node.Note(err)
			err = asError(err)
		}
	}()
	db := node.DB()
	for i := 0; ; i++ {
		var h head
		if h, err = scanHead(db.QueryRowContext(ctx, selectHead)); err != nil {
			return st, nil, err
		}
		if st = h.Standing; st.Head.Revision >= d.wanted.Load() || i == len(lookAgain) {
			break
		}
		// Told of more than the node shows: it has not applied it yet.
		t := time.NewTimer(lookAgain[i])
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	d.wanted.Store(0)
	if st.Head == at {
		return st, nil, nil
	}
	if st.Head.Revision <= at.Revision {
		return st, nil, store.ErrHistory
	}
	if at.Revision > 0 {
		var chain []byte
		err = db.QueryRowContext(ctx, "SELECT chain FROM sluice_entry WHERE rev = ?", at.Revision).Scan(&chain)
		if errors.Is(err, sql.ErrNoRows) || err == nil && string(chain) != string(at.Chain[:]) {
			return st, nil, store.ErrHistory
		}
		if err != nil {
			return st, nil, err
		}
	}
	list, err = d.entries(ctx, db, at.Revision, st.Head.Revision, limit)
	if err != nil {
		return st, nil, err
	}
	next := at
	for i := range list {
		if !list[i].Follows(next) {
			// A row is gone, or someone changed it: the records are what counts.
			return st, nil, store.ErrHistory
		}
		next = list[i].Head()
	}
	if len(list) == 0 {
		return st, nil, store.ErrHistory
	}
	return st, list, nil
}

// Wait implements store.Truth.
func (d *Database) Wait(ctx context.Context, after uint64) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if d.opt.Nudger == nil {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		rev, last := d.opt.Nudger.AwaitNudge(ctx, d.last)
		d.last = last
		// What was written here is known here.
		if rev > max(after, d.made.Load()) {
			d.wanted.Store(rev)
			return
		}
	}
}
