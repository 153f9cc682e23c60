package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node"
)

// shadower compares users, some at a time.
type shadower struct {
	*app
	c    *client
	p    *peer
	what []what
	ctx  context.Context
	stop context.CancelCauseFunc

	mu       sync.Mutex
	failures int // in a row
}

// difference is what one property, or the user itself, is on both sides.
type difference struct {
	Context  uint32   `json:"context"`
	User     uint32   `json:"user"`
	Property string   `json:"property,omitempty"` // "": it is about the user
	Here     answerOf `json:"here"`
	There    answerOf `json:"there"`
}

// answerOf is what a side has, and what it says of the why.
type answerOf struct {
	Value *string `json:"value"` // nil: not defined
	Why   string  `json:"why"`
}

// uncompared is a user that could not be compared, or not whole.
type uncompared struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
	Error   string `json:"error"`
}

// compared is what came of a user.
type compared struct {
	su          cascade.Subject
	done        bool
	answers     int
	secrets     int
	differences []difference
	err         error
}

// shadowResult is the answer of shadow.
type shadowResult struct {
	Users       int          `json:"users"`
	Answers     int          `json:"answers"` // of one property for one user
	Differences []difference `json:"differences"`
	Found       int          `json:"found"`   // differences, with those that are not listed
	Secrets     int          `json:"secrets"` // not compared
	NotCompared []uncompared `json:"notCompared"`
	Stopped     string       `json:"stopped,omitempty"` // why not all users were asked for
}

func (s *shadower) run(users []cascade.Subject, workers int) error {
	results := make([]compared, len(users))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, len(users)) {
		wg.Go(func() {
			for i := range next {
				results[i] = s.user(users[i])
				s.count(results[i].err)
			}
		})
	}
feed:
	for i := range users {
		select {
		case next <- i:
		case <-s.ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	r := shadowResult{Differences: []difference{}, NotCompared: []uncompared{}}
	if err := context.Cause(s.ctx); err != nil {
		r.Stopped = err.Error()
	}
	for i := range results {
		c := &results[i]
		if !c.done {
			continue
		}
		r.Users++
		r.Answers += c.answers
		r.Secrets += c.secrets
		r.Found += len(c.differences)
		r.Differences = append(r.Differences, c.differences[:min(len(c.differences), maxDifferences-len(r.Differences))]...)
		if c.err != nil && len(r.NotCompared) < maxDifferences {
			r.NotCompared = append(r.NotCompared, uncompared{c.su.Context, c.su.User, c.err.Error()})
		}
	}
	return s.show(&r)
}

// count gives the other side up where it fails again and again, or refuses the
// login.
func (s *shadower) count(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.failures = 0
		return
	}
	if refused := new(peerRefused); errors.As(err, &refused) {
		s.stop(refused)
	} else if s.failures++; s.failures == maxShadowFailures {
		s.stop(fmt.Errorf("%d users in a row could not be compared, the last: %w", s.failures, err))
	}
}

// user compares one user; where it differs once more, for a change may have come
// in between.
func (s *shadower) user(su cascade.Subject) compared {
	r := s.once(su)
	if r.err == nil && len(r.differences) > 0 {
		r = s.once(su)
	}
	r.done = r.err == nil || s.ctx.Err() == nil
	return r
}

func (s *shadower) once(su cascade.Subject) compared {
	r := compared{su: su}
	var e enablement
	if _, err := s.c.call(s.app, http.MethodGet, websocketsPath(su), nil, &e); err != nil {
		r.err = fmt.Errorf("the server here: %w", err)
		return r
	}
	missing := strings.HasSuffix(e.Account, "Deleted") || strings.HasSuffix(e.Account, "Unknown")
	asked, unknown, expected := 0, 0, 0
	var list []difference
	for _, w := range s.what {
		there, err := s.p.values(s.ctx, w, su)
		if err != nil && !errors.Is(err, errPeerUnknown) {
			r.err = fmt.Errorf("%s: %w", s.p.base, err)
			return r
		}
		server, serr := s.p.ofServer(s.ctx, w)
		if serr != nil {
			r.err = fmt.Errorf("%s: %w", s.p.base, serr)
			return r
		}
		asked++
		if err != nil {
			unknown++
		}
		expected += len(server)
		here, err := s.here(w, su)
		if err != nil {
			r.err = fmt.Errorf("the server here: %w", err)
			return r
		}
		for _, name := range names(here, there) {
			value, has := there[name]
			if leftOut(name, value, here[name]) {
				r.secrets++
				continue
			}
			r.answers++
			if d := differs(su, name, here[name], value, has); d != nil {
				d.There.Why = s.why(w, su, name, value, has, server, here[name])
				list = append(list, *d)
			}
		}
	}
	// What its server view has, each of its users has at least.
	gone := unknown == asked && expected > 0
	switch {
	case gone && missing:
	case gone:
		r.answers++
		r.differences = []difference{about(su, "Sluice has the user (account "+e.Account+")", "there is no such context or user: 404 for what its server view defines")}
	case missing:
		r.answers++
		r.differences = []difference{about(su, "Sluice has no such user: account "+e.Account, "it answers for the user")}
	default:
		r.differences = list
	}
	return r
}

// leftOut reports what cannot be compared, since Sluice shows no secrets, or need
// not be: its own properties.
func leftOut(name, there string, here *cascade.Explanation) bool {
	return strings.HasPrefix(name, "sluice.") || node.Schema().Secret(name) || node.Schema().Masks(name, there) ||
		here != nil && here.Value != nil && strings.Contains(*here.Value, cascade.Mask)
}

func about(su cascade.Subject, here, there string) difference {
	return difference{Context: su.Context, User: su.User, Here: answerOf{Why: here}, There: answerOf{Why: there}}
}

// here is what Sluice has: explanations by name.
func (s *shadower) here(w what, su cascade.Subject) (map[string]*cascade.Explanation, error) {
	list := make([]cascade.Explanation, 1)
	var err error
	if w.prefix {
		list, err = s.c.list(s.app, su, w.name)
	} else {
		list[0], err = s.c.explain(s.app, su, w.name, cascade.WhatIf{}, false)
	}
	if err != nil {
		return nil, err
	}
	out := make(map[string]*cascade.Explanation, len(list))
	for i := range list {
		out[list[i].Property] = &list[i]
	}
	return out, nil
}

func names(here map[string]*cascade.Explanation, there map[string]string) []string {
	all := map[string]bool{}
	for n := range here {
		all[n] = true
	}
	for n := range there {
		all[n] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// differs compares one property; nil where both say the same. A default of
// Sluice's code is not defined to the middleware, whose code has its own.
func differs(su cascade.Subject, name string, x *cascade.Explanation, there string, has bool) *difference {
	d := &difference{Context: su.Context, User: su.User, Property: name, Here: answerOf{Why: name + " is not defined here"}}
	if x != nil {
		d.Here = answerOf{x.Value, x.Summary}
	}
	if has {
		shown := node.Schema().Show(name, there)
		d.There.Value = &shown
	}
	switch here := d.Here.Value; {
	case here == nil && !has, here != nil && has && same(name, *here, there):
		return nil
	}
	return d
}

// same reports whether two texts mean the same: of a declared property what it
// is read as, of any other the text.
func same(name, a, b string) bool {
	if a == b {
		return true
	}
	d := node.Schema().Lookup(name)
	if d == nil {
		return false
	}
	x, errA := d.Parse(a)
	y, errB := d.Parse(b)
	return errA == nil && errB == nil && reflect.DeepEqual(x, y)
}

// why is what is known of the other side's answer, which has no reasons.
func (s *shadower) why(w what, su cascade.Subject, name, value string, has bool, server map[string]string, x *cascade.Explanation) string {
	text := "GET " + w.path(su)
	common, hasCommon := server[name]
	switch {
	case !has:
		text += ": no scope defines it"
	case hasCommon && common == value:
		text += ": as its server view has it"
	case hasCommon:
		text += ": more specific than its server view, which has " + oneLine(node.Schema().Show(name, common))
	default:
		text += ": its server view does not define it"
	}
	if x == nil || x.Platform == nil {
		return text
	}
	p := x.Platform
	if expected := p.Value; has == (expected != nil) && (!has || same(name, *expected, value)) {
		return text + "; by its database that is right, and the difference is Sluice's own decision: " + p.Decides
	}
	return text + "; by its database and the files here it would not be so (" + p.Decides + "): its files are others, or its cache is old"
}

func (s *shadower) show(r *shadowResult) error {
	if s.json() {
		if err := s.printJSON(r); err != nil {
			return err
		}
	} else {
		s.showText(r)
	}
	switch {
	case r.Found > 0:
		return silent
	case r.Stopped != "":
		return exit(exitUnreachable, fmt.Errorf("stopped: %s", r.Stopped))
	case len(r.NotCompared) > 0:
		return exit(exitUnreachable, fmt.Errorf("%s could not be compared", counted(len(r.NotCompared), "user")))
	}
	return nil
}

func (s *shadower) showText(r *shadowResult) {
	text := func(a answerOf) string {
		if a.Value == nil {
			return "(none)"
		}
		return oneLine(*a.Value)
	}
	for _, d := range r.Differences {
		if d.Property == "" {
			s.printf("%s: %s\n", cascade.Subject{Context: d.Context, User: d.User}, "only one side has the user")
			s.printf("  here   %s\n  there  %s\n", printable(d.Here.Why), printable(d.There.Why))
			continue
		}
		s.printf("%s for %s\n", printable(d.Property), cascade.Subject{Context: d.Context, User: d.User})
		s.printf("  here   %s: %s\n  there  %s: %s\n", printable(text(d.Here)), printable(d.Here.Why), printable(text(d.There)), printable(d.There.Why))
	}
	if more := r.Found - len(r.Differences); more > 0 {
		s.printf("... and %d more\n", more)
	}
	for _, u := range r.NotCompared {
		s.note("%s was not compared: %s", cascade.Subject{Context: u.Context, User: u.User}, u.Error)
	}
	if r.Stopped != "" {
		s.note("stopped: %s", r.Stopped)
	}
	left := ""
	if r.Secrets > 0 {
		left = fmt.Sprintf(" (without %d that are secrets, or Sluice's own)", r.Secrets)
	}
	s.printf("%s of %s compared%s: %s\n", counted(r.Answers, "answer"), counted(r.Users, "user"), left, counted(r.Found, "difference"))
}
