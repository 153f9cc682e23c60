package platform

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// The values of Status.Status.
const (
	OK       = "ok"
	Degraded = "degraded" // some of it did not answer
	Off      = "off"      // it is not read: sluice.platform.enabled is false
)

// Status tells how the reading goes.
type Status struct {
	Status  string     `json:"status"` // OK, Degraded or Off
	Error   string     `json:"error,omitempty"`
	Since   *time.Time `json:"since,omitempty"` // when it stopped answering
	Known   int        `json:"known"`           // contexts and users
	Round   *time.Time `json:"round"`           // end of the last round over connected users
	Took    string     `json:"took,omitempty"`
	Queries uint64     `json:"queries"` // since the start
	// Problems are rows that do not count as they are. A member is not degraded by
	// them: they are of single users or contexts, and each member has the same.
	Problems []string `json:"problems"`
}

// Status reports the state.
func (p *Platform) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Status: OK, Known: len(p.seen), Queries: p.queries, Problems: []string{}}
	if p.failure != nil {
		at := p.since.UTC()
		s.Status, s.Error, s.Since = Degraded, p.failure.Error(), &at
	}
	if !p.round.IsZero() {
		at := p.round.UTC()
		s.Round, s.Took = &at, p.took.Round(time.Millisecond).String()
	}
	for su, list := range p.problems {
		for name, text := range list {
			s.Problems = append(s.Problems, fmt.Sprintf("%v, %q: %s", su, name, text))
		}
	}
	slices.Sort(s.Problems)
	return s
}

// Text says in a sentence what is to be known: "" is nothing.
func (s Status) Text() string {
	switch {
	case s.Error != "" && s.Since != nil:
		return fmt.Sprintf("the platform's database does not answer since %s: %s; what was read last counts", s.Since.Format(time.RFC3339), s.Error)
	case len(s.Problems) > 0:
		return fmt.Sprintf("%d rows of the platform's database are not used as they are now, such as %s", len(s.Problems), s.Problems[0])
	}
	return ""
}

// note keeps how a read ended, and logs a change of that.
func (p *Platform) note(err error) {
	p.mu.Lock()
	was := p.failure
	switch {
	case err == nil:
		p.failure = nil
	default:
		p.failure = err
		if was == nil {
			p.since = time.Now()
		}
		if part := new(partError); !errors.As(err, &part) {
			p.failedAt = time.Now() // nobody is to be asked for a while
		}
	}
	since := p.since
	p.mu.Unlock()
	switch {
	case err != nil && was == nil:
		p.opt.Logger.Warn("the platform's database does not answer: what was read last counts, and users who were never read are answered with 503", slog.Any("err", err))
	case err == nil && was != nil:
		p.opt.Logger.Info("the platform's database answers again", slog.Duration("after", time.Since(since)))
	}
}
