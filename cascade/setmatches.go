package cascade

import (
	"context"
	"slices"
)

// SetMatch tells whom a context set matches.
type SetMatch struct {
	Set  string `json:"set"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Expression is empty where it is not valid, so that the set never matches.
	Expression string `json:"expression"`
	// Value is what the set gives to the property that was asked for; nil: nothing.
	Value *string `json:"value"`
	// Gives are the values that were asked for, at most maxGiven.
	Gives    []Given `json:"gives,omitempty"`
	Contexts int     `json:"contexts"`
	Users    int     `json:"users"`
	// Rollouts are the tags of the roll-outs that the expression asks for.
	Rollouts []string `json:"rollouts,omitempty"`
}

// Given is a value of a property.
type Given struct {
	Property string `json:"property"`
	Value    string `json:"value"`
}

// maxGiven bounds the values of a set that are listed: more is the file.
const maxGiven = 20

// SetMatches are all context sets, in the order of files, and of how many
// contexts and users it is known whom they match.
type SetMatches struct {
	Contexts int        `json:"contexts"`
	Users    int        `json:"users"`
	Sets     []SetMatch `json:"sets"`
}

// checkEvery is after how many subjects a count looks whether it is still wanted.
const checkEvery = 1 << 14

// MatchSets counts whom each context set matches, of the contexts and users of
// the directory and those with an override, and tells which values the sets give
// to a property, or to any where it is empty; of these it lists those that keep
// takes (nil: none). It ends with ctx.
func (sn *Snapshot) MatchSets(ctx context.Context, property string, keep func(value string) bool) (SetMatches, error) {
	type count struct{ contexts, users int }
	si, out, of := sn.tree.sets, SetMatches{}, map[*class]*count{}
	for su := range sn.Subjects() {
		c := sn.class(su)
		n := of[c]
		if n == nil {
			n = &count{}
			of[c] = n
		}
		if su.User == 0 {
			out.Contexts++
			n.contexts++
		} else {
			out.Users++
			n.users++
		}
		if (out.Contexts+out.Users)%checkEvery == 0 && ctx.Err() != nil {
			return SetMatches{}, ctx.Err()
		}
	}
	out.Sets = make([]SetMatch, len(si.blocks))
	for i := range si.blocks {
		b, m := &si.blocks[i], &out.Sets[i]
		m.Set, m.File, m.Line = b.name, b.file, b.line
		for c, n := range of {
			if c.matched[si.rank[i]/64]&(1<<(si.rank[i]%64)) != 0 {
				m.Contexts += n.contexts
				m.Users += n.users
			}
		}
		if b.expr == nil {
			continue
		}
		m.Expression = b.expr.String()
		for _, tag := range b.expr.Tags() {
			if _, ok := parseRollout(tag); ok && !slices.Contains(m.Rollouts, tag) {
				m.Rollouts = append(m.Rollouts, tag)
			}
		}
	}
	for p, at := range si.defAt {
		name := sn.names.List[p]
		if property != "" && name != property {
			continue
		}
		for _, d := range si.defs[at].list {
			set, text := &out.Sets[d.block], sn.schema.Show(name, d.text)
			if property != "" {
				set.Value = &text
			}
			if keep != nil && keep(text) && len(set.Gives) < maxGiven {
				set.Gives = append(set.Gives, Given{name, text})
			}
		}
	}
	return out, nil
}

// PlatformSwitch is a value that the platform's own database has of a property.
type PlatformSwitch struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"` // 0: the context itself
	Given
}

// PlatformSwitches lists what the platform's database has of a property, or of any
// where it is empty, of those whom this member knows: the first limit values that
// keep takes (nil: all), and whether there are more.
func (sn *Snapshot) PlatformSwitches(property string, keep func(value string) bool, limit int) (list []PlatformSwitch, more bool) {
	if sn.platform == nil {
		return nil, false
	}
	var names []string // which anybody has there
	for p, name := range sn.names.List {
		if c := sn.platform.tables.Count(uint32(p)); (property == "" || name == property) && c.User+c.Context > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, false
	}
	for su := range sn.Subjects() {
		for _, name := range names {
			text, ok := sn.PlatformValue(su, name)
			if text = sn.schema.Show(name, text); !ok || keep != nil && !keep(text) {
				continue
			}
			if len(list) == limit {
				return list, true
			}
			list = append(list, PlatformSwitch{su.Context, su.User, Given{name, text}})
		}
	}
	return list, false
}
