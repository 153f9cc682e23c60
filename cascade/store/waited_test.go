package store

import (
	"context"
	"errors"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// slowTruth decides nothing before it is let go.
type slowTruth struct {
	NoTruth
	begun, release chan struct{}
	asked          [][]string // the names of the writes, by group
}

func (s *slowTruth) Since(context.Context, Head, int) (Standing, []Sealed, error) {
	return Standing{ID: "slow"}, nil, nil
}

func (s *slowTruth) Propose(_ context.Context, group []*Proposal) []Sealed {
	var names []string
	for _, p := range group {
		names = append(names, p.Write.Request)
	}
	s.asked = append(s.asked, names)
	s.begun <- struct{}{}
	<-s.release
	for _, p := range group {
		p.Err = &UnavailableError{errors.New("it was let go")}
	}
	return nil
}

func waitedWrite(request string) Write {
	return Write{Actor: "a", Reason: "r", Action: "override.set", Request: request, Changes: []Change{put1(OverrideKey(cascade.Subject{Context: 1}, request), &Override{Value: "v"})}}
}

// gone is a context of a client that has given up.
func gone(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A write whose client gives up while it waits in the queue is not done later, and
// the answer says so; one that was begun is not known to be done or not.
func TestGivenUpInTheQueue(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		s, _ := openNew(t)
		begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() { // ends with what it holds up
			ended <- s.asOwner(func() error { close(begun); <-release; return nil })
		}()
		<-begun
		if _, err := s.Do(gone(t), waitedWrite("w")); !errors.As(err, new(*UnavailableError)) {
			t.Errorf("%v", err)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		do(t, s, put1(OverrideKey(cascade.Subject{Context: 2}, "behind"), &Override{Value: "v"}))
		if log, _, err := s.Log(0, 10, nil); err != nil || len(log) != 1 {
			t.Errorf("%d entries, %v", len(log), err)
		}
		if e, err := s.Do(t.Context(), waitedWrite("w")); err != nil || e.Revision != 2 {
			t.Errorf("asked again: revision %d, %v", e.Revision, err)
		}
	})
	t.Run("truth", func(t *testing.T) {
		truth := &slowTruth{begun: make(chan struct{}), release: make(chan struct{})}
		s, _ := openAt(t, t.TempDir()+"/"+FileName, truth)
		for s.Standing() != nil {
			if err := s.asOwner(func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		first, cancel := context.WithCancel(t.Context())
		answers := make(chan error)
		go func() { // ends when its context does
			_, err := s.Do(first, waitedWrite("begun"))
			answers <- err
		}()
		<-truth.begun
		if _, err := s.Do(gone(t), waitedWrite("waits")); !errors.As(err, new(*UnavailableError)) {
			t.Errorf("%v", err)
		}
		cancel()
		if err := <-answers; !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("one that was begun: %v", err)
		}
		truth.release <- struct{}{}
		go func() { // ends with its answer
			_, err := s.Do(context.Background(), waitedWrite("next"))
			answers <- err
		}()
		<-truth.begun
		truth.release <- struct{}{}
		if err := <-answers; !errors.As(err, new(*UnavailableError)) {
			t.Errorf("%v", err)
		}
		if len(truth.asked) != 2 || truth.asked[0][0] != "begun" || truth.asked[1][0] != "next" || len(truth.asked[1]) != 1 {
			t.Errorf("the truth was asked %v", truth.asked)
		}
	})
}
