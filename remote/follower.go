package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/redispipe"
)

const (
	// askAgain is the time between two questions of one write, whose answer did
	// not come.
	askAgain = 100 * time.Millisecond
	// oneAsk bounds one of them: a question or an answer may be lost with the
	// data of a Redis. A write that takes longer is done once all the same: the next
	// question of a write waits for twice as long.
	oneAsk = 3 * time.Second
	// pageTries is how often a page of a copy is asked for.
	pageTries = 5
)

// Follower is the keeper's store as the other members see it.
type Follower struct{ *StoreLink }

var _ store.Truth = Follower{}

// Describe implements store.Truth.
func (f Follower) Describe() string { return "the keeper " + f.keeper }

// away returns why the keeper cannot be asked, or nil.
func (f Follower) away() error {
	if f.link.freshest(f.keeper) != nil {
		return nil
	}
	return &store.UnavailableError{Err: fmt.Errorf("the keeper %s (sluice.store.keeper) is not among the members that are alive", f.keeper)}
}

// Propose implements store.Truth.
func (f Follower) Propose(ctx context.Context, group []*store.Proposal) []store.Sealed {
	made, err := f.proposeAll(ctx, group)
	for _, p := range group {
		if p.Err == nil && p.Entry.Revision == 0 {
			if p.Err = err; errors.Is(err, store.ErrUnconfirmed) {
				p.Err = &store.UnconfirmedError{Request: p.Write.Request}
			}
		}
	}
	return made
}

func (f Follower) proposeAll(ctx context.Context, group []*store.Proposal) ([]store.Sealed, error) {
	if err := errors.Join(f.agreed(), f.away()); err != nil {
		return nil, err
	}
	doubt := false
	for wait := oneAsk; ; wait *= 2 {
		known := f.known.Load()
		reg, err := f.registered(ctx, known)
		if err == nil && reg.Member != f.keeper {
			return nil, unless(doubt, &store.KeeperError{Reason: fmt.Sprintf("this member's files name %s the keeper, and the cluster's is %s since term %d: correct sluice.store.keeper, or say on %s that its store counts (sluice store adopt)", f.keeper, reg.Member, reg.Term, f.keeper)})
		}
		if err != nil {
			return nil, unless(doubt, &store.UnavailableError{Err: err})
		}
		q := proposeQuestion{Term: reg.Term, At: reg.Head}
		for _, p := range group {
			q.Writes = append(q.Writes, *p.Write)
		}
		a, arrived, err := f.askOrArrive(ctx, group, q, wait)
		if arrived != nil {
			arrived.settle(group)
			made := arrived.made()
			reg.Head = made[len(made)-1].Head()
			f.known.Store(&reg)
			return made, nil
		}
		if err == nil && len(a.Results) != len(group) {
			err = errors.New("the keeper has answered something else than it was asked")
		}
		if err == nil && a.Other && known != nil {
			f.known.CompareAndSwap(known, nil) // it may be that of an earlier term
			continue
		}
		if err == nil {
			return f.settle(group, reg, a, doubt)
		}
		switch {
		case errors.Is(err, errNotThere) && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			continue // a long question did not get as far as Redis in this time
		case errors.Is(err, errNotThere), errors.Is(err, errNotAsked):
			return nil, unless(doubt, &store.UnavailableError{Err: err})
		case errors.Is(err, errTooLong):
			return nil, &store.BadWriteError{Reason: "the write is too large for the link between the members: do it in parts"}
		}
		// Perhaps done: asked again by its name it is done once.
		doubt = true
		f.known.Store(nil)
		if !pause(ctx, askAgain) {
			return nil, store.ErrUnconfirmed
		}
	}
}

// askOrArrive asks the keeper for a group of writes, and returns its answer, or, where
// that is earlier, that all of them have arrived with what it tells those who follow.
func (f Follower) askOrArrive(ctx context.Context, group []*store.Proposal, q proposeQuestion, wait time.Duration) (*proposeAnswer, *arrival, error) {
	type result struct {
		a   *proposeAnswer
		err error
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	ask := func() result {
		defer cancel()
		a := new(proposeAnswer)
		err := f.askKeeper(asking, OpPropose, q, a)
		return result{a, err}
	}
	arriving := f.arrivals.await(group)
	if arriving == nil {
		r := ask()
		return r.a, nil, r.err
	}
	defer f.arrivals.end(arriving)
	answers := make(chan result, 1)
	f.asking.Go(func() {
		defer f.arrivals.read()
		answers <- ask()
	})
	select {
	case r := <-answers:
		return r.a, nil, r.err
	case <-arriving.all:
		return nil, arriving, nil
	}
}

// Settle waits for the answers to writes that had arrived before them. No group is
// proposed any more.
func (f Follower) Settle() { f.asking.Wait() }

// unless is an error that says that nothing was done, where that is known.
func unless(doubt bool, err error) error {
	if doubt {
		return store.ErrUnconfirmed
	}
	return err
}

// registered is what is registered of the keeper, read where it is not known.
func (f Follower) registered(ctx context.Context, known *Registered) (Registered, error) {
	if known != nil {
		return *known, nil
	}
	reg, ok, err := f.Registered(ctx)
	if err == nil && !ok {
		err = fmt.Errorf("the keeper %s has not registered its store yet", f.keeper)
	}
	return reg, err
}

// settle sets the answers of a group. doubt says that it was asked before: then
// only an answer that the keeper gives after it has looked for the write's name
// says that nothing was done.
func (f Follower) settle(group []*store.Proposal, reg Registered, a *proposeAnswer, doubt bool) ([]store.Sealed, error) {
	for i, r := range a.Results {
		switch {
		case r.Entry != nil:
			group[i].Entry = *r.Entry
		case r.Problem != nil && (!doubt || r.Problem.Decided()):
			group[i].Err = r.Problem.Err()
		default:
			group[i].Err = &store.UnconfirmedError{Request: group[i].Write.Request}
		}
	}
	made, err := fromWire(a.Made)
	if err != nil || len(made) == 0 {
		f.known.Store(nil) // perhaps the keeper's history went back
		return nil, err
	}
	reg.Head = made[len(made)-1].Head()
	f.known.Store(&reg)
	return made, nil
}

func (f Follower) askKeeper(ctx context.Context, op string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, stop := f.whileItLives(ctx)
	defer stop()
	if body, err = f.link.AskMember(ctx, f.keeper, op, body); err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

// whileItLives ends a context when the process of the keeper is another, or
// gone: it answers no more. stop is called when it is not needed any more.
func (f Follower) whileItLives(ctx context.Context) (_ context.Context, stop func()) {
	m := f.link.freshest(f.keeper)
	if m == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(askAgain)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if now := f.link.freshest(f.keeper); now == nil || now.Incarnation != m.Incarnation {
					cancel()
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}

// Since implements store.Truth. What Redis has of the log need not be asked for.
func (f Follower) Since(ctx context.Context, at store.Head, limit int) (store.Standing, []store.Sealed, error) {
	pipe := f.client().Pipeline()
	fields := pipe.HGetAll(ctx, f.registration)
	stream := pipe.XRangeN(ctx, f.entries, entryID(at.Revision+1), "+", int64(limit))
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	for key, err := range map[string]error{f.registration: fields.Err(), f.entries: stream.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return store.Standing{}, nil, f.mend(ctx, key, err)
		}
	}
	reg, ok, err := parseRegistered(fields.Val())
	if err != nil {
		return store.Standing{}, nil, err
	}
	if ok {
		st := store.Standing{ID: reg.ID, Head: reg.Head, Adopted: reg.Adopted}
		if reg.Head == at {
			return st, nil, errors.Join(f.agreed(), f.away())
		}
		if list := streamed(stream.Val(), at); len(list) > 0 {
			return st, list, nil
		}
	}
	if err := f.away(); err != nil {
		return store.Standing{}, nil, err
	}
	var a sinceAnswer
	if err := f.askKeeper(ctx, OpSince, sinceQuestion{at, limit}, &a); err != nil {
		return store.Standing{}, nil, err
	}
	if a.Other {
		return a.Standing, nil, store.ErrHistory
	}
	list, err := fromWire(a.Entries)
	return a.Standing, list, err
}

// streamed are the entries of a stream that follow a state.
func streamed(messages []redis.XMessage, at store.Head) (list []store.Sealed) {
	for _, m := range messages {
		x, err := sealedOf(m, at.Revision+1)
		if err != nil || !x.Follows(at) {
			return list // the keeper is asked
		}
		list, at = append(list, x), x.Head()
	}
	return list
}

// sealedOf is the entry of a message.
func sealedOf(m redis.XMessage, revision uint64) (store.Sealed, error) {
	text, _ := m.Values[fieldEntry].(string)
	sum, _ := m.Values[fieldChain].(string)
	var chain store.Chain
	if err := chain.UnmarshalText([]byte(sum)); err != nil {
		return store.Sealed{}, err
	}
	return store.Unseal(revision, chain, []byte(text))
}

// Load implements store.Truth.
func (f Follower) Load(ctx context.Context, records func([]store.Record) error, entries func([]store.Sealed) error) (store.Standing, error) {
	var first sinceAnswer
	if err := f.page(ctx, OpSince, sinceQuestion{Limit: 1}, &first); err != nil {
		return first.Standing, err
	}
	st := first.Standing
	for _, kind := range store.Kinds {
		for after := []byte(nil); ; {
			var a pageAnswer
			if err := f.page(ctx, OpPage, pageQuestion{kind, after}, &a); err != nil {
				return st, err
			}
			if err := records(a.Records); err != nil {
				return st, err
			}
			if after = a.Next; after == nil {
				break
			}
		}
	}
	for at := uint64(0); at < st.Head.Revision; {
		var a logAnswer
		if err := f.page(ctx, OpLog, logQuestion{at}, &a); err != nil {
			return st, err
		}
		list, err := fromWire(a.Entries)
		if err != nil {
			return st, err
		}
		for i := range list {
			if list[i].Revision > st.Head.Revision {
				list = list[:i]
				break
			}
		}
		if len(list) == 0 {
			return st, nil
		}
		at = list[len(list)-1].Revision
		if err := entries(list); err != nil {
			return st, err
		}
	}
	return st, nil
}

// page asks for a part of a copy; reading again does no harm.
func (f Follower) page(ctx context.Context, op string, question, answer any) (err error) {
	for range pageTries {
		asking, cancel := context.WithTimeout(ctx, oneAsk)
		err = f.askKeeper(asking, op, question, answer)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, askAgain)
	}
	return err
}

// Wait implements store.Truth.
func (f Follower) Wait(ctx context.Context, after uint64) {
	for ctx.Err() == nil {
		streams, err := f.await(ctx, f.entries, entryID(after))
		if err != nil || len(streams) == 0 {
			return // whoever follows looks
		}
		// What this member has written is taken by who waits for it.
		if after = f.arrivals.take(streams[0].Messages); after == 0 {
			return
		}
	}
}
