package cascade

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
)

// Names lists the properties that any scope of the path defines for a subject,
// sorted. Declared properties that only have a default are not among them.
func (sn *Snapshot) Names(su Subject) []string {
	seen := make([]bool, len(sn.names.List))
	var out []string
	for _, pr := range sn.tree.path {
		pr.names(sn, su, func(p uint32) {
			if seen[p] {
				return
			}
			seen[p] = true
			if _, i := sn.find(su, p); i >= 0 {
				out = append(out, sn.names.List[p])
			}
		})
	}
	slices.Sort(out)
	return out
}

// allTables are those of the directory and, where its database is read, the
// platform's.
func (sn *Snapshot) allTables() []*tables.Tables {
	if sn.platform == nil {
		return []*tables.Tables{sn.tables}
	}
	return []*tables.Tables{sn.tables, sn.platform.tables}
}

// AllNames lists every property that the tree or the directory defines for
// anybody, sorted.
func (sn *Snapshot) AllNames() []string {
	var out []string
	for p, name := range sn.names.List {
		c := tables.PropCount{}
		for _, t := range sn.allTables() {
			more := t.Count(uint32(p))
			c.User, c.Context = c.User+more.User, c.Context+more.Context
		}
		set := p < len(sn.tree.sets.defAt) && sn.tree.sets.defAt[p] != 0
		if c.User > 0 || c.Context > 0 || set || sn.tree.server.at(uint32(p)) != nil {
			out = append(out, name)
		}
	}
	if sn.platform != nil {
		for _, r := range sn.platform.resellers {
			for name := range r.Config {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Subjects yields every context and user of the directory or with an override,
// sorted, each context before its users.
func (sn *Snapshot) Subjects() iter.Seq[Subject] {
	seen := map[Subject]bool{}
	for _, t := range sn.allTables() {
		t.EachSubject(func(su Subject) { seen[su] = true })
	}
	all := make([]Subject, 0, len(seen))
	for su := range seen {
		all = append(all, su)
	}
	slices.SortFunc(all, func(a, b Subject) int {
		if a.Context != b.Context {
			return int(a.Context) - int(b.Context)
		}
		return int(a.User) - int(b.User)
	})
	return slices.Values(all)
}

// Difference is a property whose value differs between two snapshots for one
// subject. An empty scope is "not defined". Values of secrets are masked on
// both sides.
type Difference struct {
	Subject  Subject `json:"-"`
	Context  *uint32 `json:"context"`
	User     *uint32 `json:"user"`
	Property string  `json:"property"`
	Old      *string `json:"old"`
	OldScope string  `json:"oldScope,omitempty"`
	New      *string `json:"new"`
	NewScope string  `json:"newScope,omitempty"`
}

// Diff compares the values of two snapshots: the server view, then every
// subject of either, sorted; of each the properties, sorted. Another scope or
// place that gives the same value is no difference. showSecrets is for offline
// commands only.
func Diff(a, b *Snapshot, showSecrets bool) []Difference {
	out := []Difference{}
	_ = compare(context.Background(), a, b, nil, showSecrets, false, func(d Difference) { out = append(out, d) }) // only an end of the context is an error
	return out
}

// Compare calls f for each difference that Diff would list, for the server view
// and some subjects; nil: all. Values that differ in what is masked only are no
// difference here: whoever sends a plan chooses one side, and could guess. It ends
// with ctx, whose error it returns.
func Compare(ctx context.Context, a, b *Snapshot, of []Subject, f func(Difference)) error {
	return compare(ctx, a, b, of, false, true, f)
}

func compare(ctx context.Context, a, b *Snapshot, of []Subject, showSecrets, quiet bool, f func(Difference)) error {
	names := union(a.AllNames(), b.AllNames())
	list := append([]Subject{{}}, of...)
	if of == nil {
		subjects := map[Subject]bool{}
		for _, sn := range []*Snapshot{a, b} {
			for su := range sn.Subjects() {
				subjects[su] = true
			}
		}
		for su := range subjects {
			list = append(list, su)
		}
	}
	slices.SortFunc(list, func(x, y Subject) int {
		return cmp.Or(cmp.Compare(x.Context, y.Context), cmp.Compare(x.User, y.User))
	})
	for _, su := range slices.Compact(list) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, name := range names {
			va, oka := a.Get(su, name)
			vb, okb := b.Get(su, name)
			if oka == okb && va.Text == vb.Text {
				continue
			}
			d := Difference{Subject: su, Context: idPtr(su.Context), User: idPtr(su.User), Property: name}
			d.Old, d.OldScope = shownValue(a, name, va, oka, showSecrets)
			d.New, d.NewScope = shownValue(b, name, vb, okb, showSecrets)
			if quiet && oka && okb && *d.Old == *d.New {
				continue
			}
			f(d)
		}
	}
	return nil
}

func shownValue(sn *Snapshot, name string, v Value, ok, showSecrets bool) (*string, string) {
	if !ok {
		return nil, ""
	}
	if !showSecrets {
		v.Text = sn.schema.Show(name, v.Text)
	}
	return &v.Text, v.Scope
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, strings.Compare)
	return slices.Compact(all)
}
