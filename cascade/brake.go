package cascade

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade/tables"
)

// Closing is what a change would close on this member.
type Closing struct {
	Users     int
	Sockets   int
	Connected int       // sockets that are open now
	Limit     int       // sockets that a change may close unasked; below 0: any number
	Some      []Subject // of the users, at most MaxCauses
}

// Hold is a change of files, or of the directory file, that would close more
// sockets than a change may unasked. Until it is confirmed or put right, the
// switch and the accounts resolve as before it; everything else of it counts.
type Hold struct {
	Digest    string    `json:"digest"` // names the change; the same on every member that has it
	Since     time.Time `json:"since"`
	Property  string    `json:"property"`
	Users     int       `json:"users"`     // that it would send away, when it was counted
	Sockets   int       `json:"sockets"`   // theirs
	Connected int       `json:"connected"` // sockets that were open then
	Limit     int       `json:"limit"`
	Causes    []Cause   `json:"causes"`

	raw string // what Digest is the shown form of, whose key may come later
}

// Cause is why users are not served: a value and where it stands, or, without a
// property, the state of their account in the directory.
type Cause struct {
	Property string `json:"property,omitempty"`
	Value    string `json:"value"`
	Origin   string `json:"origin"` // file:line, or who set the override
	Users    int    `json:"users"`
}

// String is the cause in a log line.
func (c Cause) String() string {
	what := c.Value
	if c.Property != "" {
		what = c.Property + "=" + quoteEmpty(c.Value)
	}
	return fmt.Sprintf("%s (%s)", what, c.Origin)
}

const (
	// MaxCauses is of how many users the causes are looked up: an explanation
	// takes some 10 µs, and the causes of a change are few.
	MaxCauses = 1000
	// maxCausesShown bounds the causes that are shown.
	maxCausesShown = 10
	// ConfirmFor is how long a confirmation counts for a member that has the
	// change later than the one that was asked.
	ConfirmFor = 10 * time.Minute
	// maxConfirmed bounds the confirmations that are remembered.
	maxConfirmed = 64
	digestLength = 12 // of the digest of a change: it is typed by hand
)

// held is what a snapshot has beside its own while a change is held.
type held struct {
	accepted *Snapshot // the last accepted tree and directory file, with the present overrides
	hold     *Hold
	p        uint32 // number of the switch
	some     []Subject
}

// Held is the change that is held, or nil.
func (sn *Snapshot) Held() *Hold {
	if sn.held == nil {
		return nil
	}
	h := *sn.held.hold
	h.Digest = sn.schema.shownChange(h.raw)
	return &h
}

// Closes tells how much would be closed.
func Closes(sockets, users int) string {
	return counted(sockets, "socket") + " of " + counted(users, "user")
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// shownChange is the digest of a change as it is shown and typed.
func (s *Schema) shownChange(raw string) string { return s.shownDigest(raw)[:digestLength] }

// inForce is what the gate resolves.
func (sn *Snapshot) inForce() *Snapshot {
	if sn.held == nil {
		return sn
	}
	return sn.held.accepted
}

// of reports whether the property is the switch of a change that is held.
func (h *held) of(name string) bool { return h != nil && h.hold.Property == name }

// Serves reports whether a subject's account is open and its switch, a declared
// boolean, is on.
func (sn *Snapshot) Serves(su Subject, property string) bool { return sn.Serving(property)(su) }

// Serving is Serves for many subjects: the property is looked up once.
func (sn *Snapshot) Serving(property string) func(Subject) bool {
	p := uint32(sn.schema.byName[property])
	d := sn.schema.defaults[p]
	return func(su Subject) bool { return sn.Account(su) == AccountOpen && sn.boolean(su, p, d) }
}

// Causes tells why subjects are not served, the most frequent cause first; it
// looks at MaxCauses of them, and returns at most maxCausesShown causes.
func (sn *Snapshot) Causes(of []Subject, property string) []Cause {
	found, at := []Cause{}, map[Cause]int{}
	for _, su := range of[:min(len(of), MaxCauses)] {
		c := sn.cause(su, property)
		i, seen := at[c]
		if !seen {
			i = len(found)
			at[c] = i
			found = append(found, c)
		}
		found[i].Users++
	}
	slices.SortStableFunc(found, func(a, b Cause) int { return cmp.Compare(b.Users, a.Users) })
	return found[:min(len(found), maxCausesShown)]
}

func (sn *Snapshot) cause(su Subject, property string) Cause {
	if a := sn.Account(su); a != AccountOpen {
		c := Cause{Value: a.String(), Origin: "the directory"}
		if sn.source != "" {
			c.Origin = sn.source
		}
		return c
	}
	x := sn.Explain(su, property, ExplainOptions{})
	c := Cause{Property: property, Value: fmt.Sprint(x.Effective), Origin: "its default"}
	if x.Value != nil {
		c.Value = *x.Value
	}
	switch {
	case x.Origin == nil:
	case x.Origin.Override != nil:
		// The time would make a cause of each override.
		o := OverrideOrigin{Actor: x.Origin.Override.Actor, Reason: x.Origin.Override.Reason}
		c.Origin = "override" + o.details()
	default:
		c.Origin = x.Origin.String()
	}
	return c
}

// SetBrake has count called with what the gate resolves and what a change of
// files would make of it. It runs under the engine's lock, so it calls neither
// Apply nor Reload. Where it fails the change counts, and the status says why
// nothing was held. Without it no change is held.
func (e *Engine) SetBrake(count func(now, then *Snapshot) (Closing, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count = count
}

// Holds is how many changes were held since the start.
func (e *Engine) Holds() uint64 { return e.holds.Load() }

// changeDigest names what a change leads to.
func (sn *Snapshot) changeDigest() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "change\x00%s\x00", sn.SharedDigest())
	if sn.source != "" {
		fmt.Fprint(sum, sn.revision)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// brake decides whether a change of files counts for the gate. The caller holds
// mu; sn is not shared yet.
func (e *Engine) brake(old, sn *Snapshot) {
	sn.held = nil
	if e.opt.Gate == "" || e.count == nil {
		return
	}
	sn.memo = e.nextMemo(sn)
	base, was := old.inForce(), old.Held()
	c, err := e.counted(base, sn)
	e.brakeProblem.Store(nil)
	switch {
	case err != nil:
		problem := "the sockets that the last change of files closes could not be counted, so nothing was held: " + err.Error()
		e.brakeProblem.Store(&problem)
		e.log.Error("the brake cannot count sockets: the change is in force at once", "digest", sn.schema.shownChange(sn.changeDigest()), "err", err)
		return
	case c.Limit < 0 || c.Sockets <= c.Limit:
		if was != nil {
			e.log.Info("change is no longer held: what is in force now closes few sockets", "digest", was.Digest, "users", c.Users, "sockets", c.Sockets, "limit", c.Limit)
		}
		return
	}
	h := &Hold{
		raw: sn.changeDigest(), Since: time.Now().UTC(), Property: e.opt.Gate,
		Users: c.Users, Sockets: c.Sockets, Connected: c.Connected, Limit: c.Limit, Causes: sn.Causes(c.Some, e.opt.Gate),
	}
	h.Digest = sn.schema.shownChange(h.raw)
	if until, ok := e.confirmed[h.Digest]; ok && time.Now().Before(until) {
		e.log.Warn("change let through: it was confirmed", "digest", h.Digest, "users", h.Users, "sockets", h.Sockets, "causes", h.Causes)
		return
	}
	if was != nil && was.Digest == h.Digest {
		h.Since = was.Since
	} else {
		e.holds.Add(1)
	}
	e.hold(base, sn, h, c.Some)
	e.log.Error("change held: it would close more sockets than sluice.gate.maxClose allows; `sluice reload --confirm DIGEST` lets it through, saving the files back drops it",
		"digest", h.Digest, "users", h.Users, "sockets", h.Sockets, "connected", h.Connected, "limit", h.Limit, "causes", h.Causes)
}

// hold makes sn one whose change is held.
func (e *Engine) hold(base, sn *Snapshot, h *Hold, some []Subject) {
	accepted := *base
	accepted.held, accepted.generation, accepted.loaded = nil, sn.generation, sn.loaded
	// What of the files is not used is told as it is now.
	tree := *accepted.tree
	tree.unused = sn.tree.unused
	accepted.tree = &tree
	if e.opt.Source == nil {
		accepted.tables, accepted.names, accepted.revision = sn.tables, sn.names, sn.revision
	}
	accepted.memo = e.nextMemo(&accepted)
	sn.held = &held{accepted: &accepted, hold: h, p: uint32(e.opt.Schema.byName[h.Property]), some: some[:min(len(some), MaxCauses)]}
}

// follow keeps the accepted state with the overrides of now. Its numbers of
// undeclared properties may be of older names: only the switch, the account and
// the tags are resolved in it, all of which are declared.
func (h *held) follow(e *Engine, sn *Snapshot) *held {
	if h == nil {
		return nil
	}
	accepted := *h.accepted
	accepted.generation = sn.generation
	accepted.platform = sn.platform
	accepted.tree = accepted.tree.withReseller(&accepted)
	if accepted.platform != nil && e.opt.Source != nil {
		accepted.names = sn.names // names are only ever added
	}
	if e.opt.Source == nil {
		accepted.tables, accepted.names, accepted.revision = sn.tables, sn.names, sn.revision
	} else if t, err := accepted.tables.Expire(time.Now()); err == nil {
		accepted.tables = t
	}
	accepted.memo = e.nextMemo(&accepted)
	next := *h
	next.accepted = &accepted
	return &next
}

// counted is count, which a mistake in must not take the reload with it.
func (e *Engine) counted(base, sn *Snapshot) (c Closing, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return e.count(base, sn)
}

// nextMemo is the memo of a snapshot that is made now; no two have the same
// epoch. The caller holds mu.
func (e *Engine) nextMemo(sn *Snapshot) tables.Memo {
	subjects := 0
	for _, t := range sn.allTables() {
		subjects += t.Subjects
	}
	e.memo = e.memo.Next(len(e.opt.Schema.decls), subjects)
	return e.memo
}

// What came of a confirmation.
const (
	Confirmed = "confirmed" // the change was held here, and counts now
	NotHeld   = "not_held"  // no change with this digest is held here
)

// Confirm lets a held change through. Note remembers the confirmation for
// ConfirmFor where the change is not held here: another member has it already.
func (e *Engine) Confirm(digest string, note bool) string {
	e.load.Lock()
	defer e.load.Unlock()
	e.mu.Lock()
	old := e.cur.Load()
	was := old.Held()
	mine := was != nil && was.Digest == digest
	if mine || note {
		e.noteConfirmed(digest)
	}
	if !mine {
		e.mu.Unlock()
		return NotHeld
	}
	sn := *old
	sn.held = nil
	sn.generation++
	e.keepHold(nil)
	e.keepLastGood(&sn)
	e.publish(old, &sn)
	e.log.Warn("held change let through: it was confirmed", "digest", digest, "users", was.Users, "sockets", was.Sockets, "causes", was.Causes)
	return Confirmed
}

func (e *Engine) noteConfirmed(digest string) {
	now := time.Now()
	if e.confirmed == nil {
		e.confirmed = map[string]time.Time{}
	}
	oldest := digest
	for d, until := range e.confirmed {
		if !now.Before(until) {
			delete(e.confirmed, d)
		} else if o, ok := e.confirmed[oldest]; !ok || until.Before(o) {
			oldest = d
		}
	}
	if len(e.confirmed) >= maxConfirmed {
		delete(e.confirmed, oldest)
	}
	e.confirmed[digest] = now.Add(ConfirmFor)
}

// HeldAnswer is what a property will be once the change that is held counts.
type HeldAnswer struct {
	Digest    string  `json:"digest"`
	Users     int     `json:"users"` // that the change would send away, of everybody
	Sockets   int     `json:"sockets"`
	Value     *string `json:"value"`
	Effective any     `json:"effective,omitempty"`
	Scope     *string `json:"scope"`
	Origin    *Origin `json:"origin"`
	Summary   string  `json:"summary"`
}

// explainHeld explains the switch while a change is held: what is in force, and
// what the files say.
func (sn *Snapshot) explainHeld(su Subject, opt ExplainOptions) Explanation {
	h := sn.Held()
	bare := *sn
	bare.held = nil
	x, then := sn.held.accepted.Explain(su, h.Property, opt), bare.Explain(su, h.Property, opt)
	x.Generation = sn.generation
	x.Held = &HeldAnswer{
		Digest: h.Digest, Users: h.Users, Sockets: h.Sockets,
		Value: then.Value, Effective: then.Effective, Scope: then.Scope, Origin: then.Origin, Summary: then.Summary,
	}
	for _, w := range then.Warnings {
		if !slices.Contains(x.Warnings, w) {
			x.Warnings = append(x.Warnings, w)
		}
	}
	x.Warnings = append(x.Warnings, fmt.Sprintf("change %s is held, because it would close %s (at most %d unasked): in force is %v, the files say %v; `sluice reload --confirm %s` lets it through, saving the files back drops it",
		h.Digest, Closes(h.Sockets, h.Users), h.Limit, x.Effective, then.Effective, h.Digest))
	x.Summary += fmt.Sprintf(" Held: with change %s, %s", h.Digest, then.Summary)
	return x
}
