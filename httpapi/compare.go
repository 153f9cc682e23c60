package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// opHolds asks a member for what it holds in a range of keys.
	opHolds = "store.holds"
	// comparedPage is how many records are compared with one question; all of
	// their keys fit into an answer.
	comparedPage = 1000
	// maxDifferences is how many differences are listed.
	maxDifferences = 1000
	// maxHeld bounds what a member says of a range: more than that differs in any
	// case.
	maxHeld = 4000
)

// difference is a record that another member holds differently.
type difference struct {
	Member string    `json:"member"`
	Key    store.Key `json:"key"`
	What   string    `json:"what"` // "other": it differs; "here": only here; "there": only there
}

// holdsQuestion asks for the records of a kind after a key up to another; empty
// is from the beginning, and to the end.
type holdsQuestion struct {
	Kind  store.Kind `json:"kind"`
	After []byte     `json:"after"`
	Until []byte     `json:"until"`
	List  bool       `json:"list"`
}

// holdsAnswer is a sum over them, and where it was asked for their keys with a
// sum each.
type holdsAnswer struct {
	Count int               `json:"count"`
	Sum   string            `json:"sum"`
	Held  map[string]string `json:"held,omitempty"` // by the hex of the key
	More  bool              `json:"more,omitempty"`
}

// holds answers opHolds. Revisions are left out: two members that decided the
// same hold the same.
func (s *Server) holds(q *holdsQuestion) (a holdsAnswer, err error) {
	all := sha256.New()
	a.Held = make(map[string]string)
	for after := q.After; ; {
		list, next, err := s.Store.Page(q.Kind, after, comparedPage, maxMemberAnswer)
		if err != nil {
			return a, err
		}
		for i := range list {
			r := &list[i]
			key := r.Cursor()
			if len(q.Until) > 0 && string(key) > string(q.Until) {
				next = nil
				break
			}
			if a.Count++; a.Count > maxHeld {
				a.More, next = true, nil
				break
			}
			text, err := json.Marshal(store.State{Deleted: r.Deleted, Body: r.Body})
			if err != nil {
				return a, err
			}
			sum := sha256.Sum256(text)
			a.Held[hex.EncodeToString(key)] = hex.EncodeToString(sum[:8])
			all.Write(key)
			all.Write(sum[:])
		}
		if after = next; after == nil {
			break
		}
	}
	a.Sum = hex.EncodeToString(all.Sum(nil))
	return a, nil
}

// comparison is one of what the other members hold.
type comparison struct {
	s   *Server
	ctx context.Context
	out *adoptAnswer
	// silent are the members that did not answer once, by their incarnations: they are
	// asked no more, so that each costs askTimeout at most.
	silent []string
}

// compareStores lists what the other members hold differently.
func (s *Server) compareStores(ctx context.Context, out *adoptAnswer) error {
	if s.Cluster == nil {
		return nil
	}
	c := &comparison{s: s, ctx: ctx, out: out}
	for _, kind := range store.Kinds {
		for after := []byte(nil); ; {
			_, next, err := s.Store.Page(kind, after, comparedPage, maxMemberAnswer)
			if err != nil {
				return err
			}
			own, err := s.holds(&holdsQuestion{Kind: kind, After: after, Until: next})
			if err != nil {
				return err
			}
			if err := c.page(holdsQuestion{Kind: kind, After: after, Until: next}, &own); err != nil {
				return err
			}
			if after = next; after == nil {
				break
			}
		}
	}
	slices.Sort(out.Unreachable)
	out.Unreachable = slices.Compact(out.Unreachable)
	return nil
}

// page compares the records of one range.
func (c *comparison) page(q holdsQuestion, own *holdsAnswer) error {
	differ := false
	err := c.ask(q, func(_ string, a *holdsAnswer) { differ = differ || a.Sum != own.Sum || a.Count != own.Count })
	if err != nil || !differ {
		return err
	}
	q.List = true
	return c.ask(q, func(member string, a *holdsAnswer) {
		if a.Sum == own.Sum && a.Count == own.Count {
			return
		}
		note := func(key, what string) {
			b, err := hex.DecodeString(key)
			if err != nil {
				return
			}
			if k, err := store.ParseCursor(q.Kind, b); err == nil {
				c.out.note(difference{Member: member, Key: k, What: what})
			}
		}
		for key, sum := range own.Held {
			switch have, there := a.Held[key]; {
			case !there && !a.More:
				note(key, "here")
			case there && have != sum:
				note(key, "other")
			}
		}
		for key := range a.Held {
			if _, here := own.Held[key]; !here {
				note(key, "there")
			}
		}
		if a.More {
			c.out.Omitted++
		}
	})
}

func (a *adoptAnswer) note(d difference) {
	if len(a.Differences) == maxDifferences {
		a.Omitted++
		return
	}
	a.Differences = append(a.Differences, d)
}

// ask asks all other members that are not silent, at once.
func (c *comparison) ask(q holdsQuestion, read func(member string, a *holdsAnswer)) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(c.ctx, askTimeout)
	defer cancel()
	for _, answer := range c.s.Cluster.Ask(asking, opHolds, body, c.silent...) {
		var a holdsAnswer
		err := answer.Err
		if err == nil {
			err = json.Unmarshal(answer.Body, &a)
		}
		if err != nil {
			c.s.Logger.Warn("a member did not answer which decisions it holds", "member", answer.Member, "err", err)
			c.out.Unreachable = append(c.out.Unreachable, answer.Member)
			c.silent = append(c.silent, answer.Incarnation)
			continue
		}
		read(answer.Member, &a)
	}
	return c.ctx.Err()
}

// answerHolds answers opHolds for another member.
func (s *Server) answerHolds(body []byte) ([]byte, error) {
	var q holdsQuestion
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	if !slices.Contains(store.Kinds, q.Kind) {
		return nil, fmt.Errorf("%.40q is no kind of records", q.Kind)
	}
	if s.Fixed {
		return nil, errors.New("the directory of this member is a file")
	}
	a, err := s.holds(&q)
	if err != nil {
		return nil, err
	}
	if !q.List {
		a.Held = nil
	}
	return json.Marshal(a)
}
