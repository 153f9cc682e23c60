package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// maxPlanFiles bounds the files of a candidate tree; the existing product ships
// some 600.
const maxPlanFiles = 2_000

// maxPlans is how many plans with files are made at once: each has its files in
// memory, and builds a state of all files twice.
const maxPlans = 2

// effect is whom a change would concern.
type effect struct {
	// Properties tells for each how many subjects change.
	Properties []propertyEffect `json:"properties"`
	// Differences are the changes themselves, at most maxPreview; Omitted
	// counts the others.
	Differences []cascade.Difference `json:"differences"`
	Omitted     int                  `json:"omitted"`
	Sockets     socketEffect         `json:"sockets"`
	Errors      []finding.Finding    `json:"errors"` // of candidate files
}

type propertyEffect struct {
	Property string `json:"property"`
	Server   bool   `json:"server"` // the server's own value changes
	Contexts int    `json:"contexts"`
	Users    int    `json:"users"`
}

// socketEffect counts users by the gate: those who are connected to any member and
// would be closed, and those of the directory who would be let in.
type socketEffect struct {
	Connected int `json:"connected"` // on each member; who has sockets on two counts twice
	Closed    int `json:"closed"`    // each once
	LetIn     int `json:"letIn"`
	// Unreachable are the members whose users are not counted: they did not say.
	Unreachable []string `json:"unreachable"`
}

// effectOf compares the present state with one that other files (nil: the same)
// and a batch would lead to, for some subjects (nil: all). It ends with ctx.
func (s *Server) effectOf(ctx context.Context, files *cascade.CandidateFiles, b cascade.Batch, of []cascade.Subject) (*effect, error) {
	now := s.Engine.Snapshot()
	then, findings, err := s.Engine.Candidate(ctx, files, b)
	var wrong *cascade.NameError
	switch {
	case ctx.Err() != nil:
		return nil, requestEnded(ctx.Err())
	case errors.As(err, &wrong):
		return nil, fail(http.StatusUnprocessableEntity, "bad_path", "%s", wrong)
	case err != nil:
		return nil, fail(http.StatusUnprocessableEntity, "bad_plan", "%s", err)
	}
	e := &effect{Properties: []propertyEffect{}, Differences: []cascade.Difference{}, Errors: []finding.Finding{}}
	if files != nil {
		for _, f := range findings {
			if f.Severity == finding.Error {
				e.Errors = append(e.Errors, f)
			}
		}
	}
	at := make(map[string]int)
	err = cascade.Compare(ctx, now, then, of, func(d cascade.Difference) {
		i, seen := at[d.Property]
		if !seen {
			i = len(e.Properties)
			at[d.Property] = i
			e.Properties = append(e.Properties, propertyEffect{Property: d.Property})
		}
		p := &e.Properties[i]
		switch {
		case d.Subject.Context == 0:
			p.Server = true
		case d.Subject.User == 0:
			p.Contexts++
		default:
			p.Users++
		}
		if d.New != nil && then.LookedUp(d.Subject, d.Property) {
			hidden := cascade.Mask
			d.New = &hidden
		}
		if len(e.Differences) < maxPreview {
			e.Differences = append(e.Differences, d)
		} else {
			e.Omitted++
		}
	})
	if err != nil {
		return nil, requestEnded(err)
	}
	enabled := s.Engine.Bool(websockets.PropEnabled)
	allowed := func(sn *cascade.Snapshot, su cascade.Subject) bool {
		return sn.Account(su) == cascade.AccountOpen && enabled.In(sn, su)
	}
	closed := map[cascade.Subject]struct{}{}
	count := func(su cascade.Subject) {
		if allowed(now, su) && !allowed(then, su) {
			closed[su] = struct{}{}
		}
	}
	s.Sockets.Users(func(context, user uint32) bool {
		e.Sockets.Connected++
		count(cascade.Subject{Context: context, User: user})
		return ctx.Err() == nil
	})
	q := usersQuestion{All: of == nil}
	for _, su := range of {
		q.Contexts = append(q.Contexts, su.Context)
	}
	slices.Sort(q.Contexts)
	q.Contexts = slices.Compact(q.Contexts)
	silent := s.askUsers(ctx, q, func(a *usersAnswer) { e.Sockets.Connected += a.Everybody }, func(_ string, su cascade.Subject, _ int) { count(su) })
	e.Sockets.Closed, e.Sockets.Unreachable = len(closed), some(silent)
	for su := range then.Subjects() {
		if ctx.Err() != nil {
			break
		}
		if su.User != 0 && allowed(then, su) && !allowed(now, su) {
			e.Sockets.LetIn++
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, requestEnded(err)
	}
	return e, nil
}

// subjectsOf are those whose values a write may change: users of a context too,
// which are found where the context is among them.
func subjectsOf(e *store.Entry) []cascade.Subject {
	var list []cascade.Subject
	for _, c := range e.Changes {
		if c.User == 0 && c.Kind != store.KindToken {
			return nil
		}
		list = append(list, c.Subject())
	}
	return list
}

// plan answers what candidate files and overrides would change, and for whom.
func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Files     map[string]*string `json:"files"` // path below the root to its text; null: it is gone
		Whole     bool               `json:"whole"` // files are the whole tree; else what is not named stays
		Overrides []json.RawMessage  `json:"overrides"`
	}
	if err := readBulk(w, r, &in); err != nil {
		return err
	}
	var batch cascade.Batch
	var of []cascade.Subject
	if len(in.Overrides) > 0 {
		if err := s.writable(); err != nil {
			return err
		}
		if len(in.Overrides) > maxBulk {
			return fail(http.StatusUnprocessableEntity, "bad_write", "overrides has at most %d entries", maxBulk)
		}
		changes, err := s.bulkChanges(in.Overrides, "plan", Actor(r.Context()), true)
		if err != nil {
			return err
		}
		e, err := s.Store.Do(r.Context(), store.Write{Actor: Actor(r.Context()), Reason: "plan", Action: "plan", Changes: changes, DryRun: true})
		if err != nil {
			return s.storeProblem(err)
		}
		batch, of = e.Batch(), subjectsOf(&e)
	}
	var files *cascade.CandidateFiles
	if in.Files != nil || in.Whole {
		if len(in.Files) > maxPlanFiles {
			return fail(http.StatusUnprocessableEntity, "bad_plan", "a plan has at most %d files", maxPlanFiles)
		}
		select {
		case s.planning <- struct{}{}:
			defer func() { <-s.planning }()
		default:
			w.Header().Set("Retry-After", streamsRetry)
			return fail(http.StatusTooManyRequests, "too_many_plans", "%d plans with files are being made: try again", maxPlans)
		}
		files, of = &cascade.CandidateFiles{Texts: in.Files, Whole: in.Whole}, nil
	}
	e, err := s.effectOf(r.Context(), files, batch, of)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, e)
}

// requestEnded is the answer where work for a request has failed: mostly because
// nobody waits for it any more.
func requestEnded(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fail(http.StatusBadRequest, "bad_request", "the request ended before its answer: send it again")
	}
	return err
}
