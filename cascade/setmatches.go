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
	Value    *string `json:"value"`
	Contexts int     `json:"contexts"`
	Users    int     `json:"users"`
	// Rollouts are the tags of the roll-outs that the expression asks for.
	Rollouts []string `json:"rollouts,omitempty"`
}

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
// the directory and those with an override. It ends with ctx.
func (sn *Snapshot) MatchSets(ctx context.Context, property string) (SetMatches, error) {
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
	if p, ok := sn.names.ID(property); ok && int(p) < len(si.defAt) {
		for _, d := range si.defs[si.defAt[p]].list {
			text := sn.schema.Show(property, d.text)
			out.Sets[d.block].Value = &text
		}
	}
	return out, nil
}

// PlatformSwitch is a value that the platform's own database has of a property.
type PlatformSwitch struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"` // 0: the context itself
	Value   string `json:"value"`
}

// PlatformSwitches lists what the platform's database has of a property, of those
// whom this member knows: the first limit, and whether there are more.
func (sn *Snapshot) PlatformSwitches(property string, limit int) (list []PlatformSwitch, more bool) {
	if sn.platform == nil {
		return nil, false
	}
	for su := range sn.Subjects() {
		text, ok := sn.PlatformValue(su, property)
		switch {
		case !ok:
		case len(list) == limit:
			return list, true
		default:
			list = append(list, PlatformSwitch{su.Context, su.User, sn.schema.Show(property, text)})
		}
	}
	return list, false
}
