package cascade

import (
	"errors"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Group is declared properties of the server scope that must fit together. Where
// they do not, or one of them does not fit its type, none of them counts: the
// last good values of all apply, else their defaults.
type Group struct {
	Names []string
	// Check is given the typed values in the order of Names. Its error says what
	// does not fit, and what to do.
	Check func(values []any) error
}

// Together adds groups; their properties must be declared, with defaults that
// fit. It is called before the schema is used.
func (s *Schema) Together(groups ...Group) *Schema {
	s.groups = append(s.groups, groups...)
	return s
}

// unfit is a value of a group that does not count, and what does.
type unfit struct {
	good string
	last bool // good is the last good value, not the default
	err  error
}

// groups holds the values that must fit together against each other.
func (b *builder) groups() {
	for i, g := range b.schema.groups {
		texts, err := b.groupTexts(g)
		if err == nil {
			b.t.carry.groups[i] = texts
			continue
		}
		good, last := b.before.groups[i]
		if last {
			b.t.carry.groups[i] = good
		} else {
			for _, name := range g.Names {
				good = append(good, b.schema.Lookup(name).Default)
			}
		}
		applies := "the defaults"
		if last {
			applies = "the last good values"
		}
		applies += " " + strings.Join(good, ", ") + " apply"
		for j, name := range g.Names {
			p := uint32(b.schema.byName[name])
			b.t.unfit[p] = unfit{good[j], last, err}
			if v := b.values.at(p); v != nil {
				b.find(int(v.file)-1, int(v.line), 0, finding.Error, "bad-together", "%s do not fit together: %v; %s",
					strings.Join(g.Names, ", "), err, applies)
			}
		}
	}
}

// groupTexts are the texts of a group, and why they are not to be used.
func (b *builder) groupTexts(g Group) (texts []string, err error) {
	values := make([]any, len(g.Names))
	for i, name := range g.Names {
		d := b.schema.Lookup(name)
		text := d.Default
		if v := b.values.at(uint32(b.schema.byName[name])); v != nil {
			text = v.text
		}
		v, bad := d.Parse(text)
		err = errors.Join(err, bad)
		texts, values[i] = append(texts, text), v
	}
	if err != nil {
		return nil, err
	}
	return texts, g.Check(values)
}

// together is the value that counts where that of a group does not.
func (sn *Snapshot) together(d *Declaration, p uint32, scope string) (v any, u unfit, ok bool) {
	if u, ok = sn.tree.unfit[p]; !ok || scope != ScopeServer && scope != ScopeDefault {
		return nil, u, false
	}
	v, _ = d.Parse(u.good) // it was checked
	return v, u, true
}
