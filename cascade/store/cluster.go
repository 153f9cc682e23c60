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

	"github.com/seed47708276/sluice/cascade"
)

const (
	// maxTries is how often a write follows others that came before it.
	maxTries = 20
	// orderTimeout bounds what the cluster is asked while writers wait.
	orderTimeout = 5 * time.Second
	// seedTimeout bounds handing over a million records.
	seedTimeout = 2 * time.Minute
	// followRetry is how often an unreachable cluster is asked again.
	followRetry = 500 * time.Millisecond
	// followBatch is how many entries are taken with one commit.
	followBatch = 256
	// seedEntries is how many entries of the log a seeded cluster gets: for
	// members that are behind, and for the audit log of those that come new.
	seedEntries = 10_000
	// peersPatience is how long a member that is not the newest leaves a
	// cluster without data to the one that is.
	peersPatience = 5 * time.Second
)

// cluster is where the store stands with the other members.
type cluster struct {
	poke     chan struct{} // the owner is to look at the cluster
	looked   chan struct{} // it has
	problem  atomic.Pointer[error]
	diverged atomic.Pointer[DivergedError]
	resyncs  atomic.Int64
	seeds    atomic.Int64
	waiting  time.Time // since when another member is to seed; the owner's
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
	s.setProblem(&UnavailableError{errors.New("it was not asked yet")})
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
		if s.Standing() == nil {
			s.opt.Order.Wait(ctx, s.Head().Revision)
			continue
		}
		t := time.NewTimer(followRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (s *Store) setProblem(err error) {
	before := s.cluster.problem.Load()
	if err == nil {
		s.cluster.problem.Store(nil)
		if before != nil {
			s.log.Info("the store is one with the cluster", slog.Uint64("revision", s.Head().Revision))
			s.opt.Order.Announce()
		}
		return
	}
	s.cluster.problem.Store(&err)
	if before == nil || (*before).Error() != err.Error() {
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
	if s.Standing() != nil {
		s.follow()
	}
	return s.Standing()
}

// follow is what the owner does when poked.
func (s *Store) follow() {
	if s.opt.Order == nil || s.mend() != nil {
		return
	}
	err := s.catchUp()
	var d *DivergedError
	if errors.As(err, &d) {
		if old := s.cluster.diverged.Swap(d); old == nil || *old != *d {
			s.log.Error("the store has diverged from the cluster: its writes are refused until an administrator says which counts", slog.Any("err", err))
		}
		return
	}
	s.cluster.diverged.Store(nil)
	if err != nil {
		err = unavailable(err)
	}
	s.setProblem(err)
}

func (s *Store) asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), orderTimeout)
}

// catchUp makes this member's state that of the cluster, or the cluster's that
// of this member where the cluster has lost its data.
func (s *Store) catchUp() error {
	for {
		ctx, cancel := s.asking()
		theirs, ok, err := s.opt.Order.Head(ctx)
		cancel()
		if err != nil {
			return err
		}
		mine := s.Head()
		switch {
		case !ok:
			return s.seed(nil, mine)
		case theirs == mine:
			s.cluster.waiting = time.Time{}
			return nil
		case theirs.Epoch > mine.Epoch, mine.Revision == 0 && mine.Epoch == 0 && theirs.Revision > seedEntries:
			return s.adopt()
		case theirs.Epoch < mine.Epoch:
			return s.seed(&theirs, mine)
		case theirs.Revision <= mine.Revision:
			if !s.had(theirs) {
				return &DivergedError{mine, theirs}
			}
			return s.seed(&theirs, mine)
		}
		err = s.replay(mine, theirs)
		if errors.Is(err, ErrTrimmed) && mine.Revision == 0 {
			return s.adopt()
		}
		if err != nil {
			return err
		}
	}
}

// had reports whether this member has been in a state.
func (s *Store) had(h Head) bool {
	if h.Revision == 0 {
		return h.Chain == Chain{}
	}
	found := false
	err := s.view(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketLog).Get(binary.BigEndian.AppendUint64(nil, h.Revision))
		found = len(v) >= len(h.Chain) && Chain(v[:len(h.Chain)]) == h.Chain
		return nil
	})
	return err == nil && found
}

// replay takes the entries that follow, and reports a DivergedError where they
// do not follow what this member has.
func (s *Store) replay(mine, theirs Head) error {
	ctx, cancel := s.asking()
	entries, err := s.opt.Order.Entries(ctx, mine.Revision, followBatch)
	cancel()
	if err == nil && len(entries) == 0 {
		err = ErrTrimmed
	}
	if errors.Is(err, ErrTrimmed) && mine.Revision > 0 {
		// Whether the cluster has ever been where this member is cannot be seen.
		return &DivergedError{mine, theirs}
	}
	if err != nil {
		return err
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

// seed gives a cluster that has lost its data, or is new, those of the member
// that has most.
func (s *Store) seed(expect *Head, mine Head) error {
	for _, peer := range s.opt.Order.Peers() {
		if peer.Epoch < mine.Epoch || peer.Epoch == mine.Epoch && peer.Revision <= mine.Revision {
			continue
		}
		if s.cluster.waiting.IsZero() {
			s.cluster.waiting = time.Now()
		}
		if time.Since(s.cluster.waiting) < peersPatience {
			return fmt.Errorf("the cluster has lost its data: the member with %v is to bring them back", peer)
		}
	}
	return s.seedAs(expect, mine)
}

func (s *Store) seedAs(expect *Head, head Head) error {
	entries, err := s.lastEntries()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	done, err := s.opt.Order.Seed(ctx, expect, head, entries, func(yield func([]Record) error) error {
		var part []Record
		for _, kind := range Kinds {
			err := s.view(func(tx *bbolt.Tx) error {
				return tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
					r, err := parse(kind, name, value)
					if err != nil {
						return &DamagedError{s.opt.Path, err.Error()}
					}
					if part = append(part, *r); len(part) < followBatch {
						return nil
					}
					err = yield(part)
					part = part[:0]
					return err
				})
			})
			if err != nil {
				return err
			}
		}
		return yield(part)
	})
	if err != nil {
		return err
	}
	if done {
		s.cluster.seeds.Add(1)
		s.log.Warn("the cluster had no state or an older one: it has that of this member now", slog.Uint64("revision", head.Revision))
		return nil
	}
	return errors.New("another member has given the cluster a state meanwhile")
}

func (s *Store) lastEntries() (list []Sealed, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		head := s.Head().Revision
		from := uint64(1)
		if head > seedEntries {
			from = head - seedEntries + 1
		}
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, from)); k != nil; k, v = c.Next() {
			x, err := unseal(v)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			list = append(list, Sealed{x.Revision, x.chain, x.text})
		}
		return nil
	})
	return list, err
}

// adopt replaces everything by what the cluster has.
func (s *Store) adopt() error {
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	before := s.Head()
	for _, name := range [][]byte{bucketLog, bucketOf[KindContext], bucketOf[KindUser], bucketOf[KindOverride], bucketOf[KindToken]} {
		if err := tx.DeleteBucket(name); err != nil {
			return s.fail(before, err)
		}
		if _, err := tx.CreateBucket(name); err != nil {
			return s.fail(before, err)
		}
	}
	head, err := s.opt.Order.Snapshot(ctx, func(list []Record) error {
		for i := range list {
			if err := list[i].check(); err != nil {
				return err
			}
			if err := put(tx, list[i].Key, &list[i].State); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	from := uint64(0)
	if head.Revision > seedEntries {
		from = head.Revision - seedEntries
	}
	if err := s.adoptLog(ctx, tx, from, head); err != nil {
		return err
	}
	if err := s.finish(tx, before, head, nil); err != nil {
		return err
	}
	s.cluster.resyncs.Add(1)
	s.log.Warn("this member took the state of the cluster over", slog.Uint64("revision", head.Revision), slog.Uint64("before", before.Revision))
	if err := s.reload(); err != nil {
		return err
	}
	return s.catchUp()
}

// adoptLog takes what the cluster still has of the log.
func (s *Store) adoptLog(ctx context.Context, tx *bbolt.Tx, from uint64, head Head) error {
	for from < head.Revision {
		entries, err := s.opt.Order.Entries(ctx, from, followBatch)
		if errors.Is(err, ErrTrimmed) || err == nil && len(entries) == 0 {
			from++ // older ones are gone
			if from%followBatch != 0 {
				from += followBatch - from%followBatch
			}
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Revision > head.Revision {
				return nil
			}
			v := append(append(make([]byte, 0, len(e.Chain)+len(e.Text)), e.Chain[:]...), e.Text...)
			if err := tx.Bucket(bucketLog).Put(binary.BigEndian.AppendUint64(nil, e.Revision), v); err != nil {
				return err
			}
			from = e.Revision
		}
	}
	return nil
}

// reload has the engine and the tokens forget what they had.
func (s *Store) reload() error {
	all := cascade.Batch{Reset: true, Revision: s.Head().identity()}
	for i := range s.stats.records {
		s.stats.records[i].Store(0)
	}
	err := s.view(func(tx *bbolt.Tx) error {
		for _, kind := range Kinds {
			err := tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
				r, err := parse(kind, name, value)
				if err != nil {
					return &DamagedError{s.opt.Path, err.Error()}
				}
				s.stats.count(kind, nil, &r.State)
				r.addTo(&all)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.tokens.mu.Lock()
	err = s.tokens.load(s)
	s.tokens.mu.Unlock()
	s.apply(all, nil)
	return err
}

// Keep names whose state counts where the two have diverged.
type Keep string

// The two.
const (
	KeepMember  Keep = "member"
	KeepCluster Keep = "cluster"
)

// Resolve ends a divergence: the state of this member becomes that of all, or
// the cluster's that of this member, whose file is copied beside itself first.
// backup names the copy.
func (s *Store) Resolve(ctx context.Context, keep Keep) (backup string, err error) {
	r := &request{done: make(chan struct{})}
	r.tell = func() (Entry, error) {
		d := s.cluster.diverged.Load()
		if d == nil {
			return Entry{}, &BadWriteError{"this member has not diverged from the cluster: there is nothing to decide"}
		}
		if keep == KeepMember {
			head := d.Mine
			head.Epoch = d.Cluster.Epoch + 1
			if err := s.seedAs(&d.Cluster, head); err != nil {
				return Entry{}, unavailable(err)
			}
			if err := s.setEpoch(head); err != nil {
				return Entry{}, err
			}
		} else {
			backup = fmt.Sprintf("%s.diverged-%d-%x", s.opt.Path, d.Mine.Revision, d.Mine.Chain[:4])
			if err := s.view(func(tx *bbolt.Tx) error { return tx.CopyFile(backup, 0o600) }); err != nil {
				return Entry{}, fmt.Errorf("the copy of the store was not written: %w", err)
			}
			if err := s.adopt(); err != nil {
				return Entry{}, unavailable(err)
			}
		}
		s.follow()
		return Entry{}, s.Standing()
	}
	_, err = s.ask(ctx, r)
	return backup, err
}

func (s *Store) setEpoch(head Head) error {
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	return s.finish(tx, s.Head(), head, nil)
}
