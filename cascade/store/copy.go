package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// followRetry is how often a truth that cannot be asked is asked again.
	followRetry = 500 * time.Millisecond
	// askTimeout bounds one look at the truth.
	askTimeout = 15 * time.Second
	// proposeTimeout bounds what becomes of a group of writes, below what those
	// who ask wait for.
	proposeTimeout = 18 * time.Second
	// followBatch is how many entries are taken at once.
	followBatch = 512
	// maxProposals is how many writes are proposed together.
	maxProposals = 50
	// tellEvery is the time between two log lines of one problem.
	tellEvery = time.Minute
	// copyPause gathers entries for one commit of the copy; readers do not wait
	// for its end.
	copyPause = 50 * time.Millisecond
	// copyRetry is the pause where the disk did not take them: each try opens the
	// file anew.
	copyRetry = time.Second
	// maxPending bounds the entries, and maxPendingBytes their texts, that are in
	// force and not in the file: beyond it the truth is not followed further, and
	// no writes are proposed, until the disk takes them.
	maxPending      = 20_000
	maxPendingBytes = 64 << 20
	// settleTimeout bounds how long a list waits for the copy.
	settleTimeout = 10 * time.Second
)

// copying is the state of a store that follows a truth. Entries are in force
// when they are taken; the file has them a moment later.
type copying struct {
	proposals chan *request
	due       chan struct{} // the owner is to look at pending
	hurry     chan struct{} // somebody waits for the file

	taking sync.Mutex // held by who changes what is in force

	mu      sync.Mutex
	changed *sync.Cond
	pending []Sealed
	bytes   int
	states  map[Key]pendingState // the last of each record among pending
	file    Head                 // what the file has
	broken  error                // why the file does not get them
	tried   time.Time            // when that was seen last

	problem atomic.Pointer[error]
	joined  atomic.Bool // this member has followed the truth since it was opened
	resyncs atomic.Int64
	told    bool
	text    string
	at      time.Time
	telling sync.Mutex
}

type pendingState struct {
	state    *State // nil: there is none
	revision uint64 // of the entry
}

func (s *Store) startCopy() {
	c := &s.copy
	if s.opt.Truth == nil && s.opt.Witness == nil {
		return
	}
	var unasked error = &UnavailableError{errors.New("it was not asked yet")}
	c.problem.Store(&unasked)
	ctx, cancel := context.WithCancel(context.Background())
	s.work.Go(func() {
		<-s.quit
		cancel()
	})
	if s.opt.Witness != nil {
		s.work.Go(func() { s.attest(ctx) })
		return
	}
	s.work.Go(func() { s.follow(ctx) })
	s.work.Go(func() {
		defer close(s.proposed)
		s.propose(ctx)
		if t, ok := s.opt.Truth.(interface{ Settle() }); ok {
			t.Settle() // what it still does for writes that have their answers
		}
	})
	s.work.Go(func() { s.pace(ctx) })
}

// attestEvery is how often a keeper tells its cluster what its file has, so that
// a Redis that has lost it knows it again.
const (
	attestEvery = time.Second
	attestRetry = 100 * time.Millisecond // while it cannot be told
)

// attest has the owner ask whether this file counts.
func (s *Store) attest(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if err := s.asOwner(s.witnessed); errors.Is(err, ErrClosed) {
			return
		}
		t.Reset(attestEvery)
		if p := s.copy.problem.Load(); p != nil && errors.As(*p, new(*UnavailableError)) {
			t.Reset(attestRetry)
		}
	}
}

// pace wakes the owner some time after entries came, or at once where somebody
// waits.
func (s *Store) pace(ctx context.Context) {
	t := time.NewTicker(copyPause)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.copy.hurry:
		case <-ctx.Done():
			return
		}
		s.copy.mu.Lock()
		any := len(s.copy.pending) > 0 && (s.copy.broken == nil || time.Since(s.copy.tried) >= copyRetry)
		s.copy.mu.Unlock()
		if any {
			signal(s.copy.due)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow takes what the truth has, whoever wrote it.
func (s *Store) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.catchUp(ctx, 0)
		if ctx.Err() != nil {
			return
		}
		s.setProblem(err)
		if err == nil {
			s.copy.joined.Store(true)
			s.opt.Truth.Wait(ctx, s.Head().Revision)
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

// catchUp takes entries until this member has what the truth has, a revision at
// least.
func (s *Store) catchUp(ctx context.Context, atLeast uint64) error {
	s.copy.taking.Lock()
	defer s.copy.taking.Unlock()
	if atLeast > 0 && s.Head().Revision >= atLeast {
		return nil
	}
	for {
		if err := s.copyFull(); err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		st, list, err := s.opt.Truth.Since(asking, s.Head(), followBatch)
		cancel()
		if errors.Is(err, ErrHistory) {
			return s.takeOver(ctx, st)
		}
		if err != nil {
			return unavailable(err)
		}
		if id := s.Identity(); !id.Copy || id.ID != st.ID {
			// It has been where this member is, so that nothing is lost.
			if err := s.belong(st); err != nil {
				return err
			}
		}
		if err := s.take(list); err != nil {
			return err
		}
		if len(list) == 0 || s.Head().Revision >= st.Head.Revision {
			return nil
		}
	}
}

// take has entries be in force that follow what is. The caller holds taking.
func (s *Store) take(list []Sealed) error {
	head := s.Head()
	for i := range list {
		if !list[i].Follows(head) {
			return fmt.Errorf("revision %d of %s does not follow %v", list[i].Revision, s.opt.Truth.Describe(), head)
		}
		head = list[i].Head()
	}
	if len(list) == 0 {
		return nil
	}
	c := &s.copy
	c.mu.Lock()
	for i := range list {
		x := &list[i]
		c.pending, c.bytes = append(c.pending, *x), c.bytes+len(x.Text)
		for _, ch := range x.Changes {
			c.states[ch.Key] = pendingState{ch.After, x.Revision}
		}
	}
	c.mu.Unlock()
	s.head.Store(&head)
	s.applyEntries(head, list, false)
	return nil
}

func (s *Store) copyFull() error {
	c := &s.copy
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) < maxPending && c.bytes < maxPendingBytes {
		return nil
	}
	if c.broken != nil {
		return c.broken
	}
	return &UnavailableError{errors.New("the disk of this member does not follow")}
}

// Standing tells how the store stands with its cluster; nil is well.
func (s *Store) Standing() error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	if p := s.copy.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// setProblem keeps and tells why writes are refused; nil: they are not.
func (s *Store) setProblem(err error) {
	c := &s.copy
	c.telling.Lock()
	defer c.telling.Unlock()
	if err == nil {
		c.problem.Store(nil)
		if c.told {
			c.told, c.text = false, ""
			s.log.Info("the store takes writes again", slog.Uint64("revision", s.Head().Revision))
		}
		return
	}
	err = unavailable(err)
	c.problem.Store(&err)
	if text := err.Error(); text != c.text || time.Since(c.at) > tellEvery {
		c.told, c.text, c.at = true, text, time.Now()
		s.log.Warn("the store takes no writes: look-ups go on from what this member has", slog.Any("err", err))
	}
}

// belong notes that this file is a copy of a truth. The caller holds taking.
func (s *Store) belong(st Standing) error {
	id := Identity{ID: st.ID, Copy: true, Of: s.opt.Truth.Describe(), Term: s.Identity().Term}
	return s.asOwner(func() error { return s.setIdentity(id) })
}

// asOwner has the owner do something between its commits.
func (s *Store) asOwner(f func() error) error {
	r := &request{tell: f, done: make(chan struct{})}
	_, err := s.ask(context.Background(), s.queue, r)
	return err
}

// setIdentity writes what the file is. It is called by the owner.
func (s *Store) setIdentity(id Identity) error {
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	err = guarded(s.opt.Path, func() error {
		if err := writeIdentity(tx, id); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return s.fail(s.fileHead(), err)
	}
	s.committed()
	s.identity.Store(&id)
	return nil
}
