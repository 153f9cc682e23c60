package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
)

// What members ask the keeper of their store.
const (
	OpPropose = "store.propose"
	OpSince   = "store.since"
	OpPage    = "store.page"
	OpLog     = "store.log"
)

const (
	// answerTimeout bounds what the keeper does for another member, below what
	// that one waits.
	answerTimeout = 15 * time.Second
	// answerEntries, answerRecords and answerBytes bound one answer; an entry
	// alone may have more.
	answerEntries = 512
	answerRecords = 5000
	answerBytes   = 1 << 20
)

type (
	proposeQuestion struct {
		Term   uint64        `json:"term"`
		At     store.Head    `json:"at"` // what the asker has
		Writes []store.Write `json:"writes"`
	}
	proposeAnswer struct {
		Results []proposeResult `json:"results"`
		Made    []sealedWire    `json:"made"`  // the entries after At
		Other   bool            `json:"other"` // the keeper has another term: nothing was done
	}
	proposeResult struct {
		Entry   *store.Entry   `json:"entry,omitempty"`
		Problem *store.Problem `json:"problem,omitempty"`
	}
	sealedWire struct {
		Revision uint64          `json:"revision"`
		Chain    store.Chain     `json:"chain"`
		Text     json.RawMessage `json:"text"`
	}
	sinceQuestion struct {
		At    store.Head `json:"at"`
		Limit int        `json:"limit"`
	}
	sinceAnswer struct {
		Standing store.Standing `json:"standing"`
		Other    bool           `json:"other"` // its history has not what was asked for
		Entries  []sealedWire   `json:"entries"`
	}
	pageQuestion struct {
		Kind  store.Kind `json:"kind"`
		After []byte     `json:"after"`
	}
	pageAnswer struct {
		Records []store.Record `json:"records"`
		Next    []byte         `json:"next"`
	}
	logQuestion struct {
		After uint64 `json:"after"`
	}
	logAnswer struct {
		Entries []sealedWire `json:"entries"`
	}
)

func toWire(list []store.Sealed) []sealedWire {
	out := make([]sealedWire, len(list))
	for i := range list {
		out[i] = sealedWire{list[i].Revision, list[i].Chain, list[i].Text}
	}
	return out
}

func fromWire(list []sealedWire) ([]store.Sealed, error) {
	out := make([]store.Sealed, len(list))
	for i := range list {
		x, err := store.Unseal(list[i].Revision, list[i].Chain, list[i].Text)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

// Answer answers what another member asks the keeper, whose store is st.
func (s *StoreLink) Answer(st *store.Store, op string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.link.ctx, answerTimeout)
	defer cancel()
	body, err := s.link.unshelve(ctx, body)
	if err != nil {
		return nil, err
	}
	var answer any
	switch op {
	case OpPropose:
		answer, err = ask(body, func(q *proposeQuestion) (any, error) { return s.answerPropose(ctx, st, q) })
	case OpSince:
		answer, err = ask(body, func(q *sinceQuestion) (any, error) {
			standing, list, err := st.Since(q.At, min(max(q.Limit, 1), answerEntries), answerBytes)
			if err != nil && !errors.Is(err, store.ErrHistory) {
				return nil, err
			}
			return sinceAnswer{standing, err != nil, toWire(list)}, nil
		})
	case OpPage:
		answer, err = ask(body, func(q *pageQuestion) (any, error) {
			list, next, err := st.Page(q.Kind, q.After, answerRecords, answerBytes)
			return pageAnswer{list, next}, err
		})
	case OpLog:
		answer, err = ask(body, func(q *logQuestion) (any, error) {
			list, err := st.LogAfter(q.After, answerEntries, answerBytes)
			return logAnswer{toWire(list)}, err
		})
	default:
		return nil, fmt.Errorf("%.40q is nothing that a keeper is asked", op)
	}
	if err != nil {
		return nil, err
	}
	if body, err = json.Marshal(answer); err != nil {
		return nil, err
	}
	return s.link.shelve(ctx, body)
}

func ask[Q any](body []byte, f func(*Q) (any, error)) (any, error) {
	q := new(Q)
	if err := json.Unmarshal(body, q); err != nil {
		return nil, err
	}
	return f(q)
}

// answerPropose does the writes of another member, which come together.
func (s *StoreLink) answerPropose(ctx context.Context, st *store.Store, q *proposeQuestion) (any, error) {
	a := proposeAnswer{Results: make([]proposeResult, len(q.Writes))}
	if term := st.Identity().Term; s.link.opts.Member != s.keeper || q.Term != term {
		p := store.ProblemOf(&store.KeeperError{Reason: fmt.Sprintf("a write for the keeper of term %d came to %s, which has term %d", q.Term, s.link.opts.Member, term)})
		for i := range a.Results {
			a.Results[i].Problem = p
		}
		a.Other = true
		return a, nil
	}
	var work sync.WaitGroup
	for i := range q.Writes {
		work.Go(func() {
			e, err := st.Do(ctx, q.Writes[i])
			if err == nil {
				a.Results[i].Entry = &e
				return
			}
			a.Results[i].Problem = store.ProblemOf(err)
		})
	}
	work.Wait()
	_, list, err := st.Since(q.At, answerEntries, answerBytes)
	if err != nil && !errors.Is(err, store.ErrHistory) {
		return nil, err
	}
	a.Made = toWire(list)
	return a, nil
}
