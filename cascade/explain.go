package cascade

import (
	"fmt"
	"slices"
	"time"
)

// Explanation says what a property is for a subject, and why. It is the one
// value behind the command line, the API and the console; its JSON form is
// docs/reference/cascade.md#explanation, field for field.
type Explanation struct {
	Property   string   `json:"property"`
	Context    *uint32  `json:"context"`
	User       *uint32  `json:"user"`
	Value      *string  `json:"value"`               // the winning text; nil where only the default or nothing applies
	Effective  any      `json:"effective,omitempty"` // typed, of declared properties
	Scope      *string  `json:"scope"`               // "default" where only the default applies; nil where nothing does
	Origin     *Origin  `json:"origin"`
	Final      *Lock    `json:"final"`
	Default    *string  `json:"default"`
	Generation uint64   `json:"generation"`
	Summary    string   `json:"summary"`
	Tags       []Tag    `json:"tags"`
	Steps      []Step   `json:"steps"`
	Warnings   []string `json:"warnings"`

	// Pending is the value after a restart, where that is another than Effective.
	Pending *Pending    `json:"pending,omitempty"`
	Held    *HeldAnswer `json:"held,omitempty"` // the other answer, while a change of the files is held

	// Rollouts tells where the subject stands in those that the property's sets ask for.
	Rollouts     []RolloutTrace `json:"rollouts,omitempty"`
	rolloutNotes []string       // of the set that wins

	// Platform is the answer of the platform's own middleware, where its database
	// is read.
	Platform *PlatformAnswer `json:"platform,omitempty"`

	// Apart tells that something else is in force than the line that wins says, or
	// than a file does: the warnings name both.
	Apart bool `json:"apart,omitempty"`

	flag     string // of the command line, whose value is in force; "": none
	together bool   // the value is that of properties that fit together
}

// Origin is where a value stands: in the platform's database; in a file, with the line of its key and, in
// the scope contextSets, the name of the set; or in an override.
type Origin struct {
	File     string          `json:"file,omitempty"`
	Line     int             `json:"line,omitempty"`
	Set      string          `json:"set,omitempty"`
	Override *OverrideOrigin `json:"override,omitempty"`
	Platform *PlatformOrigin `json:"platform,omitempty"`
}

// OverrideOrigin tells who set an override, when and why.
type OverrideOrigin struct {
	Actor   string     `json:"actor"`
	Time    *time.Time `json:"time"`
	Reason  string     `json:"reason"`
	Expires *time.Time `json:"expires"`
}

// Lock is a `final` that holds for a subject: scopes more specific than Scope
// are skipped.
type Lock struct {
	Scope  string  `json:"scope"`
	Origin *Origin `json:"origin"`
}

// The statuses of a step.
const (
	Wins      = "wins"
	Shadowed  = "shadowed"  // a more specific scope wins
	Locked    = "locked"    // a final below the scope skips it
	Undefined = "undefined" // the scope does not define the property
	Expired   = "expired"   // it did, until its override expired
)

// Step is what one scope of the path says. Value is nil where it says nothing.
type Step struct {
	Scope   string     `json:"scope"`
	Status  string     `json:"status"`
	Value   *string    `json:"value,omitempty"`
	Invalid bool       `json:"invalid,omitempty"` // the value does not fit the declared type
	Origin  *Origin    `json:"origin,omitempty"`
	Sets    []SetTrace `json:"sets,omitempty"`
}

// SetTrace tells of one context set that defines the property whether it
// matched, and which tags decided. Sets are listed in the order of look-up.
type SetTrace struct {
	Set        string `json:"set"`
	File       string `json:"file"`
	Line       int    `json:"line"`
	Expression string `json:"expression"`
	Matched    bool   `json:"matched"`
	Because    string `json:"because"`
}

// ExplainOptions choose how much an explanation tells.
type ExplainOptions struct {
	Verbose     bool // list every context set that defines the property
	ShowSecrets bool // offline commands only: do not mask secret values
}

// expirer is a provider that remembers values which count no more.
type expirer interface {
	any(sn *Snapshot, su Subject, p uint32) (hit, bool)
}

// Explain resolves a property and tells why it is what it is.
func (sn *Snapshot) Explain(su Subject, name string, opt ExplainOptions) Explanation {
	if sn.held.of(name) {
		return sn.explainHeld(su, opt)
	}
	d := sn.schema.Lookup(name)
	x := Explanation{
		Property: name, Context: idPtr(su.Context), User: idPtr(su.User), Generation: sn.generation,
		Tags: sn.Tags(su), Steps: []Step{}, Warnings: []string{},
	}
	mask := func(v string) *string { return &v }
	if !opt.ShowSecrets {
		mask = func(v string) *string { v = sn.schema.Show(name, v); return &v }
	}
	if d != nil && !d.NoDefault {
		x.Default = mask(d.Default)
	}
	p, known := sn.names.ID(name)
	first, winner, win := 0, -1, hit{}
	if known {
		win, winner = sn.find(su, p)
		var locker provider
		if first, locker = sn.lock(su, p); locker != nil {
			x.Final = &Lock{sn.tree.path[first].scope(), locker.lockOrigin(sn, su, p)}
		}
	}
	for i, pr := range sn.tree.path {
		st := Step{Scope: pr.scope(), Status: Undefined}
		if known {
			sn.step(&st, su, p, pr, d, mask)
			switch {
			case st.Status == Expired || st.Value == nil:
			case i < first:
				st.Status = Locked
			case i == winner:
				st.Status = Wins
			default:
				st.Status = Shadowed
			}
			if opt.Verbose && pr.scope() == ScopeContextSets {
				st.Sets = sn.traceSets(su, p, x.Tags)
			}
		}
		x.Steps = append(x.Steps, st)
	}
	switch {
	case winner >= 0:
		x.resolved(sn, su, d, p, win, winner, mask)
	case d != nil && !d.NoDefault:
		scope := ScopeDefault
		x.Scope = &scope
		v, _ := d.Parse(d.Default) // NewSchema has checked it
		x.Effective = effectiveJSON(v)
	}
	if known && !sn.theirs {
		x.explainRollouts(sn, su, p)
	}
	if d != nil {
		x.inForce(sn, d, p)
	}
	x.explainUnused(sn)
	x.explainDirectory(sn, su)
	x.explainStale(sn)
	if d != nil && d.Server && su.Context != 0 {
		x.Warnings = append(x.Warnings, "the code reads this property in the server scope only: values of other scopes have no effect")
	}
	if x.Value == nil && d == nil && !sn.schema.known(name) {
		if hint := sn.schema.Near(name); hint != "" {
			x.Warnings = append(x.Warnings, "nothing sets it, and no property of Sluice is called "+name+hint)
		}
	}
	if !opt.ShowSecrets {
		x.Effective = sn.shownEffective(name, x.Effective)
	}
	x.Platform = sn.platformAnswer(&x, su, d, opt)
	x.Summary = x.summary(su)
	return x
}

// inForce puts the value that is in force in the place of one that is not: of
// properties that do not fit together, and of those that are read at the start.
func (x *Explanation) inForce(sn *Snapshot, d *Declaration, p uint32) {
	scope := ""
	if x.Scope != nil {
		scope = *x.Scope
	}
	if v, u, bad := sn.together(d, p, scope); bad {
		x.Effective, x.together, x.Apart = effectiveJSON(v), true, true
		which := "the default"
		if u.last {
			which = "the last good value"
		}
		x.Warnings = append(x.Warnings, fmt.Sprintf("%v; %s %v applies", u.err, which, x.Effective))
	}
	if f, ok := sn.flags[d.Name]; ok && effectiveJSON(f.Value) != x.Effective {
		x.Effective, x.Apart, x.flag = effectiveJSON(f.Value), true, f.Name
		x.Warnings = append(x.Warnings, fmt.Sprintf("in force is %s, from %s of the command line: the files do not count", shownAny(x.Effective), f.Name))
	}
	if x.Pending = sn.pending(d); x.Pending != nil {
		x.Effective = x.Pending.InForce
		x.Warnings = append(x.Warnings, x.Pending.String())
	}
}

// Differs reports whether something else is in force than the line that wins
// says: the warnings name both.
func (x *Explanation) Differs() bool {
	return x.Held != nil || x.Pending != nil || x.Apart || slices.ContainsFunc(x.Steps, func(s Step) bool { return s.Status == Wins && s.Invalid })
}

// shownEffective is a typed value as it may be shown.
func (sn *Snapshot) shownEffective(name string, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return sn.schema.Show(name, v)
	case []string:
		out := make([]string, len(v))
		for i := range v {
			out[i] = sn.schema.Show(name, v[i])
		}
		return out
	}
	if sn.schema.Hides(name, fmt.Sprint(v)) {
		return Mask
	}
	return v
}

func idPtr(id uint32) *uint32 {
	if id == 0 {
		return nil
	}
	return &id
}

// step fills in what a scope says by itself.
func (sn *Snapshot) step(st *Step, su Subject, p uint32, pr provider, d *Declaration, mask func(string) *string) {
	h, ok := pr.find(sn, su, p)
	if !ok {
		e, remembers := pr.(expirer)
		if !remembers {
			return
		}
		if h, ok = e.any(sn, su, p); !ok {
			return
		}
		st.Status = Expired
	}
	text := pr.text(sn, p, h)
	st.Value, st.Origin = mask(text), pr.origin(sn, p, h)
	if d != nil {
		_, err := d.Parse(text)
		st.Invalid = err != nil
	}
}

func (x *Explanation) resolved(sn *Snapshot, su Subject, d *Declaration, p uint32, h hit, winner int, mask func(string) *string) {
	pr := sn.tree.path[winner]
	scope, text := pr.scope(), pr.text(sn, p, h)
	x.Value, x.Scope, x.Origin = mask(text), &scope, pr.origin(sn, p, h)
	if d == nil {
		return
	}
	v, err := sn.effective(d, p, pr, h, text)
	x.Effective = effectiveJSON(v)
	if err == nil {
		return
	}
	why := err.Error()
	hidden := sn.schema.Masks(d.Name, text)
	if hidden {
		why = "the value does not fit the type " + d.Kind.String()
	}
	_, good := pr.good(sn, p, h)
	switch {
	case hidden:
	case good:
		why += fmt.Sprintf("; the last good value %v applies", x.Effective)
	case d.Kind == Bool:
		why += "; it counts as false"
	case x.Effective != nil:
		why += fmt.Sprintf("; the default %v applies", x.Effective)
	}
	x.Warnings = append(x.Warnings, fmt.Sprintf("%s: %s", x.Origin, why))
}

// effectiveJSON is the typed value as JSON shows it: a time span in its short
// text form, everything else as it is.
func effectiveJSON(v any) any {
	if span, ok := v.(time.Duration); ok {
		return span.String()
	}
	return v
}

// traceSets lists the sets that define a property in the order of look-up.
func (sn *Snapshot) traceSets(su Subject, p uint32, tags []Tag) []SetTrace {
	si := sn.tree.sets
	if int(p) >= len(si.defAt) {
		return nil
	}
	has := func(tag string) bool {
		_, ok := slices.BinarySearchFunc(tags, tag, func(t Tag, s string) int {
			switch {
			case t.Tag < s:
				return -1
			case t.Tag > s:
				return 1
			}
			return 0
		})
		return ok
	}
	var out []SetTrace
	for _, def := range si.defs[si.defAt[p]].list {
		b := &si.blocks[def.block]
		t := SetTrace{Set: b.name, File: b.file, Line: def.line}
		switch {
		case b.expr == nil:
			t.Because = "its expression is not valid, so it never matches"
		case su.Context == 0 && sn.supposed(su) == nil:
			t.Expression, t.Because = b.expr.String(), "without a context no set applies"
		default:
			t.Expression, t.Matched, t.Because = b.expr.String(), b.expr.Match(has), b.expr.Because(has)
		}
		out = append(out, t)
	}
	return out
}
