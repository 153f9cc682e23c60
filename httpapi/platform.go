package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// Platform is the platform's own database.
type Platform interface {
	// Load makes the engine know a context or a user; platform.ErrUnavailable
	// where that cannot be.
	Load(ctx context.Context, su cascade.Subject) error
	// Refresh reads all connected users again.
	Refresh(ctx context.Context) error
	Status() platform.Status
	// Write changes an attribute there; Reread reads a subject that another member
	// has changed.
	Write(ctx context.Context, w platform.Write) (platform.Change, error)
	Reread(ctx context.Context, su cascade.Subject) error
	// Sample returns up to n users, chosen by chance.
	Sample(ctx context.Context, n int) ([]cascade.Subject, error)
}

// load makes the engine know whom a question is about.
func (s *Server) load(ctx context.Context, su cascade.Subject) error {
	if s.Platform == nil {
		return nil
	}
	err := s.Platform.Load(ctx, su)
	if errors.Is(err, platform.ErrUnavailable) {
		return fail(http.StatusServiceUnavailable, "platform_unavailable", "%s: ask again when it answers (GET /admin/v1/platform)", err)
	}
	return err
}

func (s *Server) platformStatus(w http.ResponseWriter, _ *http.Request) error {
	if s.Platform == nil {
		return s.answer(w, http.StatusOK, platform.Status{Status: platform.Off, Problems: []string{}})
	}
	return s.answer(w, http.StatusOK, s.Platform.Status())
}

// refreshPlatform reads connected users again, at once, and tells how that went.
func (s *Server) refreshPlatform(w http.ResponseWriter, r *http.Request) error {
	if err := needsNoBody(w, r); err != nil {
		return err
	}
	if s.Platform != nil {
		s.Logger.Info("refresh of the platform asked for", "actor", Actor(r.Context()))
		if err := s.Platform.Refresh(r.Context()); err != nil {
			return fail(http.StatusServiceUnavailable, "platform_unavailable", "the platform's database was not read again: %s", err)
		}
	}
	return s.platformStatus(w, r)
}

// The values of target of an enablement.
const (
	targetSluice   = "sluice"   // an override of Sluice
	targetPlatform = "platform" // the platform's own attribute
)

// kindPlatform is that of a change of the platform's database in the audit log.
const kindPlatform store.Kind = "platform"

// platformSwitch is what the platform has for a subject, beside what Sluice has.
type platformSwitch struct {
	Enabled bool   `json:"enabled"` // its switch is on, and the account open
	Account string `json:"account"`
	Agrees  bool   `json:"agrees"` // with Sluice
	Text    string `json:"text"`   // who decides where, as a sentence
	// Written is the change that the request has made there.
	Written *platformWritten `json:"written,omitempty"`
}

// platformWritten is a change of the platform's database.
type platformWritten struct {
	Attribute string  `json:"attribute"`
	Table     string  `json:"table"`
	Before    *string `json:"before"`    // as stored
	After     *string `json:"after"`     // as stored
	CachedFor int     `json:"cachedFor"` // seconds that the middleware may answer from its cache
	// Later are members that could not be told: they have it when they read
	// connected users again.
	Later []string `json:"later,omitempty"`
}

// switches tells what the platform and Sluice have for a subject; nil where the
// platform's database is not read.
func switches(sn *cascade.Snapshot, su cascade.Subject, x *cascade.Explanation) *platformSwitch {
	if x.Platform == nil {
		return nil
	}
	there, here := sn.PlatformAccount(su), sn.Account(su)
	on := func(effective any, a cascade.Account) bool {
		is, _ := effective.(bool)
		return is && a == cascade.AccountOpen
	}
	p := &platformSwitch{Enabled: on(x.Platform.Effective, there), Account: there.String()}
	sluice := on(x.Effective, here)
	p.Agrees = p.Enabled == sluice
	why := func(a cascade.Account, decides string) string {
		if a != cascade.AccountOpen {
			return "its account is " + a.String()
		}
		return decides
	}
	theirs, ours := why(there, x.Platform.Decides), why(here, x.Decides())
	switch {
	case p.Enabled && sluice:
		p.Text = fmt.Sprintf("Both have it on for %s: in the platform %s, in Sluice %s.", su, theirs, ours)
	case p.Enabled:
		p.Text = fmt.Sprintf("The platform has it on for %s (%s) and Sluice off (%s): the web client connects and is refused.", su, theirs, ours)
	case sluice:
		p.Text = fmt.Sprintf("The platform has it off for %s (%s) and Sluice on (%s): the web client does not connect, for it lacks the capability websocket.", su, theirs, ours)
	default:
		p.Text = fmt.Sprintf("Both have it off for %s: in the platform %s, in Sluice %s.", su, theirs, ours)
	}
	return p
}

// errTarget is for a target that is none.
var errTarget = fail(http.StatusUnprocessableEntity, "bad_target", "target is %s or %s", targetSluice, targetPlatform)

// putPlatformSwitch is putEnablement with the target platform.
func (s *Server) putPlatformSwitch(w http.ResponseWriter, r *http.Request, su cascade.Subject, value string, in *enablement, action string) error {
	_, flags, err := writeFlags(r, "force", "dryRun")
	if err != nil {
		return err
	}
	reason, err := reasonOf(in.Reason)
	if err != nil {
		return err
	}
	if in.Expires != nil {
		return fail(http.StatusUnprocessableEntity, "bad_expires", "an attribute of the platform does not expire: leave expires out, or decide it in Sluice alone")
	}
	return s.writePlatform(w, r, su, &value, reason, action+".platform", flags["dryRun"], flags["force"])
}

// removePlatformSwitch is deleteEnablement with the target platform.
func (s *Server) removePlatformSwitch(w http.ResponseWriter, r *http.Request, su cascade.Subject) error {
	query, flags, err := writeFlags(r, "reason", "dryRun", "target")
	if err != nil {
		return err
	}
	return s.writePlatform(w, r, su, nil, query.Get("reason"), "websockets.reset.platform", flags["dryRun"], false)
}

// writePlatform changes the platform's own switch of a subject; a nil value
// removes it. It is in the audit log before it is done.
func (s *Server) writePlatform(w http.ResponseWriter, r *http.Request, su cascade.Subject, value *string, reason, action string, dry, force bool) error {
	switch {
	case s.Platform == nil:
		return fail(http.StatusConflict, "no_platform", "the platform's database is not read: set %s=true, and %s=true for writing", platform.PropEnabled, platform.PropWrite)
	case s.Fixed:
		return s.writable()
	}
	if err := noCondition(r); err != nil {
		return err
	}
	if err := s.load(r.Context(), su); err != nil {
		return err
	}
	sn := s.Engine.Snapshot()
	switch sn.PlatformAccount(su) {
	case cascade.ContextDeleted, cascade.UserDeleted:
		return fail(http.StatusConflict, "deleted", "the platform does not have %s: correct the ids", su)
	}
	if lock := hiddenBy(sn.PlatformView(), su, websockets.PropEnabled); value != nil && lock != nil && !force {
		return fail(http.StatusConflict, "locked", "%s is final in the scope %s (%s), so an attribute of %s has no effect: change that first, or repeat with ?force=true", websockets.PropEnabled, lock.Scope, lock.Origin, su)
	}
	recorded := uint64(0)
	write := store.Write{Reason: reason, Action: action}
	change, err := s.Platform.Write(r.Context(), platform.Write{
		Subject: su, Property: websockets.PropEnabled, Value: value, DryRun: dry,
		Record: func(c platform.Change) error {
			write.Platform = platformChange(su, c)
			e, err := s.writeStore(r, write)
			recorded = e.Revision
			return err
		},
	})
	if err != nil {
		return s.platformProblem(r, su, change, recorded, err)
	}
	told := platformWritten{
		Attribute: change.Attribute, Table: change.Table, Before: change.Before, After: change.After, CachedFor: int(platform.CacheTime / time.Second),
	}
	if !dry {
		s.tellPlatform(r.Context(), su, &told)
	}
	o, _, err := s.override(store.OverrideKey(su, websockets.PropEnabled))
	if err != nil {
		return err
	}
	e := showEnablement(s.Engine.Snapshot(), su, o)
	if e.Platform != nil {
		e.Platform.Written = &told
	}
	return s.answer(w, http.StatusOK, e)
}

func platformChange(su cascade.Subject, c platform.Change) *store.PlatformChange {
	return &store.PlatformChange{Context: su.Context, User: su.User, Attribute: c.Attribute, Table: c.Table, Before: c.Before, After: c.After}
}

// platformProblem answers for a write that failed, and has the audit log say so
// where it has the write already.
func (s *Server) platformProblem(r *http.Request, su cascade.Subject, c platform.Change, recorded uint64, err error) error {
	var p *problem
	var letters *platform.CaseError
	switch {
	case errors.As(err, &p): // of the audit log
		return err
	case errors.Is(err, platform.ErrReadOnly):
		return fail(http.StatusConflict, "platform_read_only", "%s: set it to true, and grant what docs/platform.md says", err)
	case errors.Is(err, platform.ErrNotThere):
		return fail(http.StatusNotFound, "not_found", "%s for %s: there is nothing to remove", err, su)
	case errors.As(err, &letters):
		return fail(http.StatusConflict, "other_case", "%s", err)
	}
	if recorded != 0 && !errors.Is(err, platform.ErrUnconfirmed) {
		c.Before, c.After = c.After, c.Before
		undone := store.Write{Actor: Actor(r.Context()), Action: "platform.not_done", Reason: fmt.Sprintf("revision %d was not done: %s", recorded, err), Platform: platformChange(su, c)}
		undone.Reason = undone.Reason[:min(len(undone.Reason), cascade.MaxTextLen)]
		if _, e := s.Store.Do(context.WithoutCancel(r.Context()), undone); e != nil {
			s.Logger.Error("the audit log has a write to the platform's database that was not done", "revision", recorded, "err", e)
		}
	}
	if sqlpool.Classify(err) == sqlpool.Denied {
		return fail(http.StatusConflict, "platform_denied", "the platform's database was not written: %s", err)
	}
	code := "platform_unavailable"
	if errors.Is(err, platform.ErrUnconfirmed) {
		code = "unconfirmed"
	}
	return fail(http.StatusServiceUnavailable, code, "the platform's database was not written: %s", err)
}

// tellPlatform has the other members read a subject again.
func (s *Server) tellPlatform(ctx context.Context, su cascade.Subject, told *platformWritten) {
	wait := s.ask(ctx, opPlatform, memberQuestion{From: s.Member, Context: su.Context, User: su.User}, func(a remote.Answer) error {
		var done struct {
			Read bool `json:"read"`
		}
		return json.Unmarshal(a.Body, &done)
	})
	told.Later = wait()
}

// answerPlatform reads a subject again that another member has changed.
func (s *Server) answerPlatform(q memberQuestion) ([]byte, error) {
	if s.Platform != nil {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		if err := s.Platform.Reread(ctx, cascade.Subject{Context: q.Context, User: q.User}); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]bool{"read": s.Platform != nil})
}

// auditedPlatform is a change of the platform's database as the API shows it.
func auditedPlatform(c *store.PlatformChange) auditedState {
	st := auditedState{Kind: kindPlatform, Name: c.Attribute, Context: &c.Context}
	if c.User != 0 {
		st.User = &c.User
	}
	stored := func(text *string) any {
		if text == nil {
			return nil
		}
		return map[string]string{"value": *text, "table": c.Table}
	}
	st.Before, st.After = stored(c.Before), stored(c.After)
	return st
}

// attributeOf is the attribute of the platform that holds a property.
func attributeOf(property string) string { return "config/" + property }
