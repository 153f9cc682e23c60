package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// maxTries is how often a write follows others that came before it.
	maxTries = 20
	// maxDoubts is how often one look at the cluster begins again since the
	// cluster has changed below it.
	maxDoubts = 3
	// orderTimeout bounds what the cluster is asked while writers wait.
	orderTimeout = 5 * time.Second
	// followRetry is how often an unreachable cluster is asked again;
	// followPause keeps one that has nothing new, and says so at once, from being
	// asked all the time.
	followRetry = 500 * time.Millisecond
	followPause = 20 * time.Millisecond
	// tellEvery is the time between two log lines of one problem.
	tellEvery = time.Minute
	// followBatch is how many entries are taken with one commit.
	followBatch = 256
)

// cluster is where the store stands with the other members.
type cluster struct {
	poke     chan struct{} // the owner is to look at the cluster
	looked   chan struct{} // it has
	problem  atomic.Pointer[error]
	diverged atomic.Pointer[DivergedError]
	resyncs  atomic.Int64
	seeds    atomic.Int64

	// The owner's.
	waiting time.Time // since when this member claims to have what the cluster has not; zero: it does not
	stale   bool      // the engine does not have what the file has
	text    string    // the last problem that was logged
	at      time.Time // when
	told    bool      // and its end was not
}

// Standing tells how the store stands with the cluster; nil is well.
func (s *Store) Standing() error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	if s.opt.Order == nil {
		return nil
	}
	if d := s.cluster.diverged.Load(); d != nil {
		return d
	}
	if p := s.cluster.problem.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) startCluster() {
	s.cluster.poke, s.cluster.looked = make(chan struct{}), make(chan struct{}, 1)
	if s.opt.Order == nil {
		return
	}
	var unasked error = &UnavailableError{errors.New("it was not asked yet")}
	s.cluster.problem.Store(&unasked)
	ctx, cancel := context.WithCancel(context.Background())
	s.work.Go(func() {
		<-s.quit
		cancel()
	})
	s.work.Go(func() { s.watch(ctx) })
}

// watch has the owner look when there is something new, and waits until it has.
func (s *Store) watch(ctx context.Context) {
	for {
		select {
		case s.cluster.poke <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case <-s.cluster.looked:
		case <-ctx.Done():
			return
		}
		patience := followRetry
		if s.Standing() == nil {
			before, start := s.Head(), time.Now()
			s.opt.Order.Wait(ctx, before.Revision)
			if s.Head() != before || time.Since(start) > followPause {
				continue
			}
			select {
			case s.cluster.poke <- struct{}{}:
				<-s.cluster.looked
			case <-ctx.Done():
				return
			}
			if s.Head() != before {
				continue
			}
			patience = followPause
		}
		t := time.NewTimer(patience)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// setProblem is called by the owner.
func (s *Store) setProblem(err error) {
	c := &s.cluster
	if err == nil {
		c.problem.Store(nil)
		if c.told {
			c.told = false
			s.log.Info("the store is one with the cluster", slog.Uint64("revision", s.Head().Revision))
			s.opt.Order.Announce()
		}
		return
	}
	c.problem.Store(&err)
	// One that comes with each write and goes with each look is told once.
	if text := err.Error(); text != c.text || time.Since(c.at) > tellEvery {
		c.told, c.text, c.at = true, text, time.Now()
		s.log.Warn("the store is not one with the cluster: writes are refused", slog.Any("err", err))
	}
}

// ready is asked before each group of writes.
func (s *Store) ready() error {
	if err := s.mend(); err != nil {
		return err
	}
	if s.opt.Order == nil {
		return nil
	}
	if s.Standing() != nil || s.cluster.stale {
		s.follow()
	}
	return s.Standing()
}

// follow is what the owner does when poked.
func (s *Store) follow() {
	if s.opt.Order == nil || s.mend() != nil {
		return
	}
	s.note(s.catchUp())
}

// note keeps how a look at the cluster has ended.
func (s *Store) note(err error) {
	var d *DivergedError
	if errors.As(err, &d) {
		if old := s.cluster.diverged.Swap(d); old == nil || *old != *d {
			s.log.Error("the store has diverged from the cluster: its writes are refused until an administrator says which counts", slog.Any("err", err))
		}
		return
	}
	if err == nil {
		s.cluster.diverged.Store(nil)
	} else {
		err = unavailable(err)
	}
	s.setProblem(err)
}

func (s *Store) asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), orderTimeout)
}

// errMoved is returned where the cluster has changed while it was looked at.
var errMoved = errors.New("the cluster changes all the time")

// catchUp makes this member's state that of the cluster, or the cluster's that
// of this member where the cluster has lost its data.
func (s *Store) catchUp() error {
	if s.cluster.stale {
		if err := s.reload(); err != nil {
			return err
		}
	}
	for doubts := 0; ; {
		done, err := s.approach()
		var diverged *DivergedError
		switch {
		case errors.As(err, &diverged), errors.Is(err, errMoved):
			// The cluster may have got another state between two questions.
			if doubts++; doubts > maxDoubts {
				return err
			}
		case err != nil || done:
			return err
		}
	}
}

// approach is a step towards the cluster; done is true when there is none left.
func (s *Store) approach() (done bool, err error) {
	ctx, cancel := s.asking()
	theirs, ok, contested, err := s.opt.Order.Head(ctx)
	cancel()
	if err != nil {
		s.cluster.waiting = time.Time{}
		return false, err
	}
	mine := s.Head()
	switch {
	case !ok:
		return false, s.seed(nil, mine)
	case theirs == mine:
		s.cluster.waiting = time.Time{}
		if contested {
			return false, s.yield(theirs, mine)
		}
		return true, nil
	case theirs.Epoch > mine.Epoch:
		return false, s.adopt()
	case theirs.Epoch < mine.Epoch:
		return false, s.seed(&theirs, mine)
	case theirs.Revision > mine.Revision:
		err = s.replay(mine, theirs)
	case s.had(theirs):
		return false, s.seed(&theirs, mine)
	default:
		err = &DivergedError{mine, theirs}
	}
	var diverged *DivergedError
	if contested && errors.As(err, &diverged) {
		// Nobody is to wait for what this member has.
		if err := s.yield(theirs, Head{}); err != nil && !errors.Is(err, errContested) {
			return false, err
		}
	}
	return false, err
}

// had reports whether this member has been in a state, of whatever epoch.
func (s *Store) had(h Head) bool {
	mine := s.Head()
	switch h.Revision {
	case 0:
		return h.Chain == Chain{}
	case mine.Revision:
		return h.Chain == mine.Chain
	}
	found := false
	err := s.view(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketLog).Get(binary.BigEndian.AppendUint64(nil, h.Revision))
		found = len(v) >= len(h.Chain) && Chain(v[:len(h.Chain)]) == h.Chain
		return nil
	})
	return err == nil && found
}

// replay takes the entries that follow. Where the cluster does not keep them any
// more it takes the whole state, if the cluster has been where this member is;
// else, and where they do not follow, it reports a DivergedError.
func (s *Store) replay(mine, theirs Head) error {
	if mine.Revision == 0 && theirs.Revision > seedEntries {
		return s.adopt()
	}
	ctx, cancel := s.asking()
	defer cancel()
	entries, err := s.opt.Order.Entries(ctx, mine.Revision, followBatch)
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].Revision != mine.Revision+1 {
		was, err := s.opt.Order.Was(ctx, mine)
		switch {
		case err != nil:
			return err
		case !was:
			return &DivergedError{mine, theirs}
		}
		return s.adopt()
	}
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	head := mine
	var done []sealed
	for _, e := range entries {
		if head.Chain.next(e.Text) != e.Chain || e.Revision != head.Revision+1 {
			if len(done) > 0 {
				break
			}
			return &DivergedError{mine, theirs}
		}
		x := sealed{chain: e.Chain, text: e.Text}
		if err := json.Unmarshal(e.Text, &x.Entry); err != nil {
			return fmt.Errorf("revision %d does not parse (%w): is this member older than the others?", e.Revision, err)
		}
		if x.Revision != e.Revision {
			return fmt.Errorf("revision %d calls itself %d", e.Revision, x.Revision)
		}
		for i := range x.Changes {
			if c := &x.Changes[i]; c.After != nil {
				if err := (&Record{c.Key, *c.After}).check(); err != nil {
					return fmt.Errorf("revision %d: %w", e.Revision, err)
				}
			}
		}
		if err := s.record(tx, &x, &head); err != nil {
			return s.fail(mine, err)
		}
		done = append(done, x)
	}
	return s.finish(tx, mine, head, done)
}

// publish asks the cluster to take the writes of a transaction.
func (s *Store) publish(from, to Head, done []sealed) (confirmed, behind bool, err error) {
	last := make(map[Key]int)
	var records []Record
	out := make([]Sealed, len(done))
	for i := range done {
		out[i] = Sealed{done[i].Revision, done[i].chain, done[i].text}
		for _, c := range done[i].Changes {
			r := Record{Key: c.Key}
			if c.After != nil {
				r.State = *c.After
			}
			if at, seen := last[c.Key]; seen {
				records[at] = r
				continue
			}
			last[c.Key] = len(records)
			records = append(records, r)
		}
	}
	ctx, cancel := s.asking()
	defer cancel()
	confirmed, behind, err = s.opt.Order.Append(ctx, from, to, out, records)
	if err != nil {
		// What has become of it is seen before the next write.
		err = unavailable(err)
		s.setProblem(err)
	}
	return confirmed, behind, err
}
