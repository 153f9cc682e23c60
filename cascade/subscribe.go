package cascade

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

// Change is a property that a reload changed.
type Change struct {
	Property string  `json:"property"`
	Old      *string `json:"old"` // text; nil: not defined; secrets are masked
	New      *string `json:"new"`
	Result   string  `json:"result"`
	Because  string  `json:"because"`
}

// The results of a change.
const (
	Applied      = "applied"
	NeedsRestart = "needs_restart"
	HeldBack     = "held"    // the gate does not follow it yet: see Hold
	Ignored      = "ignored" // the new value does not fit, or nothing reads it there
)

// EffectiveChange is what a subscriber is told: the typed values of the server
// view; nil is not defined.
type EffectiveChange struct {
	Property string
	Old, New any
}

type subscriber struct {
	names []string
	over  atomic.Bool // it was cancelled
	tell  func([]EffectiveChange)
	swap  func(old, current *Snapshot)
}

// Subscribe calls f when the effective value of a property changes in the
// server view, never for a change of text that means the same. Calls are in
// order, one at a time, after the swap; f does not call Apply or Reload.
//
// cancel may be called from anywhere, f included. No call begins after it; one
// that has begun is not waited for.
func (e *Engine) Subscribe(names []string, f func([]EffectiveChange)) (cancel func()) {
	return e.subscribe(&subscriber{names: slices.Clone(names), tell: f})
}

// OnSwap calls f after every swap: for what depends on the values of many
// subjects and compares them itself. The rules of Subscribe hold.
func (e *Engine) OnSwap(f func(old, current *Snapshot)) (cancel func()) {
	return e.subscribe(&subscriber{swap: f})
}

func (e *Engine) subscribe(s *subscriber) func() {
	e.listen.Lock()
	defer e.listen.Unlock()
	e.subscribers = append(slices.Clip(e.subscribers), s)
	return func() {
		s.over.Store(true)
		e.listen.Lock()
		defer e.listen.Unlock()
		e.subscribers = slices.DeleteFunc(slices.Clone(e.subscribers), func(x *subscriber) bool { return x == s })
	}
}

// tell calls the subscribers. The caller holds notify.
func (e *Engine) tell(old, sn *Snapshot) {
	e.listen.Lock()
	list := e.subscribers // it is replaced, never changed
	e.listen.Unlock()
	for _, s := range list {
		if !s.over.Load() {
			e.tellOne(s, old, sn)
		}
	}
}

// tellOne keeps a subscriber that panics from taking the reload of everybody
// else with it.
func (e *Engine) tellOne(s *subscriber, old, sn *Snapshot) {
	defer func() {
		if r := recover(); r != nil {
			e.panics.Add(1)
			e.log.Error("subscriber panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	if s.swap != nil {
		s.swap(old, sn)
		return
	}
	var ch []EffectiveChange
	for _, n := range s.names {
		if o, c := old.serverValue(n), sn.serverValue(n); !reflect.DeepEqual(o, c) {
			ch = append(ch, EffectiveChange{n, o, c})
		}
	}
	if len(ch) > 0 {
		s.tell(ch)
	}
}

// serverValue is the typed value of the server view, the text where the
// property is not declared, or nil.
func (sn *Snapshot) serverValue(name string) any {
	v, ok := sn.Get(Subject{}, name)
	switch {
	case !ok:
		return nil
	case v.Declared:
		return v.Effective
	}
	return v.Text
}

// Changes lists what a load has changed, as Reload answers it; secrets are masked.
func Changes(old, current *Snapshot) []Change { return changes(old, current) }

// changes lists what differs between two loads: values of the server view, and
// definitions in context sets.
func changes(old, sn *Snapshot) []Change {
	out := []Change{}
	defer func() {
		for i := range out {
			if c := &out[i]; sn.held.of(c.Property) && c.Result == Applied {
				c.Result, c.Because = HeldBack, fmt.Sprintf("%s: it would close %s, and awaits `sluice reload --confirm %s`", c.Because, counted(sn.held.hold.Sockets, "socket"), sn.Held().Digest)
			}
		}
	}()
	show := func(name string, v *string) *string {
		if v == nil {
			return nil
		}
		m := sn.schema.Show(name, *v)
		return &m
	}
	server := func(name string, o, n *string) {
		if same(o, n) {
			return
		}
		c := Change{Property: name, Old: show(name, o), New: show(name, n)}
		c.Result, c.Because = sn.result(name, n)
		out = append(out, c)
	}
	compare := func(p int, name string) {
		// The same number in both, unless the names were numbered anew.
		was, known := uint32(p), true
		if p >= len(old.names.List) || old.names.List[p] != name {
			was, known = old.names.ID(name)
		}
		if known && sn.sameServer(uint32(p), old, was) {
			return
		}
		var o *string
		if known {
			o = old.serverText(was)
		}
		server(name, o, sn.serverText(uint32(p)))
	}
	if sn.tree.made.after(old.tree) {
		for _, p := range sn.tree.made.touched {
			compare(int(p), sn.names.List[p])
		}
	} else {
		for p, name := range sn.names.List {
			compare(p, name)
		}
	}
	if len(old.names.List) > len(sn.names.List) {
		for p, name := range old.names.List {
			if _, ok := sn.names.ID(name); !ok {
				server(name, old.serverText(uint32(p)), nil)
			}
		}
	}
	var before, after map[setPlace]setValue
	if old.tree.sets != sn.tree.sets {
		before, after = old.setValues(), sn.setValues()
	}
	for at, n := range after {
		if o, ok := before[at]; !ok || o != n {
			c := Change{Property: at.property, New: show(at.property, &n.text), Result: Applied, Because: "context set " + at.set + " (" + at.file + ")"}
			if ok {
				c.Old = show(at.property, &o.text)
				if o.text == n.text {
					c.Because += " matches others now"
				}
			}
			if d := sn.schema.Lookup(at.property); d != nil && d.Server {
				c.Result, c.Because = Ignored, c.Because+", but only the server scope is read"
			}
			out = append(out, c)
		}
	}
	for at, o := range before {
		if _, ok := after[at]; !ok {
			out = append(out, Change{Property: at.property, Old: show(at.property, &o.text), Result: Applied, Because: "context set " + at.set + " (" + at.file + ")"})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int {
		if a.Property != b.Property {
			if a.Property < b.Property {
				return -1
			}
			return 1
		}
		if a.Because < b.Because {
			return -1
		}
		return 1
	})
	return out
}

func same(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// sameServer reports whether the server scope says the same of a property, whose
// numbers are p and was.
func (sn *Snapshot) sameServer(p uint32, old *Snapshot, was uint32) bool {
	now, defined := sn.tree.server.text(p)
	before, had := old.tree.server.text(was)
	return now == before && defined == had
}

// serverText is the text of the server scope, or nil.
func (sn *Snapshot) serverText(p uint32) *string {
	if t, ok := sn.tree.server.text(p); ok {
		return &t
	}
	return nil
}

// result says what a new value of the server scope does.
func (sn *Snapshot) result(name string, text *string) (result, because string) {
	d := sn.schema.Lookup(name)
	if d == nil {
		return Applied, "resolves as text; Sluice itself does not use it"
	}
	if text != nil {
		if _, err := d.Parse(*text); err != nil {
			if sn.schema.Masks(name, *text) {
				return Ignored, "the value is no " + d.Kind.String()
			}
			if p, known := sn.names.ID(name); known && d.Kind == Bool && sn.tree.goods[p] == "" {
				return Applied, err.Error() + "; it counts as false"
			}
			return Ignored, err.Error()
		}
	}
	if d.Restart {
		return NeedsRestart, "it is read at start"
	}
	return Applied, "reloadable"
}

type setPlace struct{ file, set, property string }

type setValue struct {
	text, expression string
	priority         int
}

func (sn *Snapshot) setValues() map[setPlace]setValue {
	si, out := sn.tree.sets, map[setPlace]setValue{}
	for p, at := range si.defAt {
		for _, d := range si.defs[at].list {
			b := &si.blocks[d.block]
			v := setValue{text: d.text, priority: b.priority}
			if b.expr != nil {
				v.expression = b.expr.String()
			}
			out[setPlace{b.file, b.name, sn.names.List[p]}] = v
		}
	}
	return out
}
