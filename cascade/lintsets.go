package cascade

import (
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// Bounds of what lint tries to prove of context sets: beyond them it says
// nothing.
const (
	maxProofTags = 14   // distinct tags: 16,384 assignments
	maxEarlier   = 1000 // earlier sets that one definition is compared with
	// maxMatched is how many contexts and users are asked whom a set matches.
	maxMatched = 100_000
)

// permissionTags are the tags that permissions of the existing system give
// (docs/reference/cascade.md#permission-tags).
var permissionTags = []string{
	"ucWebMail", "ucCalendar", "ucContacts", "ucTasks", "ucInfostore", "ucWebDAVXML", "ucWebDAV", "ucICal", "ucVCard",
	"ucSyncML", "ucFullPublicFolderAccess", "ucDeniedPortal", "ucCalDAV", "ucFullSharedFolderAccess", "ucDelegateTasks",
	"ucEditGroup", "ucEditResource", "ucEditPassword", "ucCollectEMailAddresses", "ucMultipleMailAccounts",
	"ucSubscription", "ucPublication", "ucActiveSync", "ucUSM", "ucOLOX20", "ucCardDAV",
}

// sets finds context sets that can never match, or never win.
func (l *linter) sets() {
	si := l.sn.tree.sets
	given := map[string]bool{}
	for i := range si.blocks {
		for _, t := range si.blocks[i].addTags {
			given[t] = true
		}
	}
	dead := make([]bool, len(si.blocks))
	for i := range si.blocks {
		b := &si.blocks[i]
		if b.expr == nil {
			continue
		}
		if proven(b.expr, nil) {
			dead[i] = true
			l.warn(b.file, b.line, "never-matches", "context set %s can never match: no tags make %q true", b.name, b.expr)
		}
		for _, t := range b.expr.Tags() {
			if strings.HasPrefix(t, "uc") && !given[t] && !slices.Contains(permissionTags, t) {
				if hint := didYouMean(t, permissionTags); hint != "" {
					l.warn(b.file, b.line, "unknown-permission", "context set %s: no permission gives the tag %s%s", b.name, t, hint)
				}
			}
		}
	}
	l.empty()
	l.unmatched(dead)
	l.shadowed(dead)
}

// empty finds sets that give nothing to those whom they match.
func (l *linter) empty() {
	si := l.sn.tree.sets
	gives := make([]bool, len(si.blocks))
	for _, at := range si.defAt {
		for _, d := range si.defs[at].list {
			gives[d.block] = true
		}
	}
	for i := range si.blocks {
		if b := &si.blocks[i]; !gives[i] && len(b.addTags) == 0 && b.expr != nil {
			l.warn(b.file, b.line, "empty-set", "context set %s has no property and no addTags, so that nothing comes of it: are its properties indented below it?", b.name)
		}
	}
}

// unmatched finds sets that match nobody who is known, where somebody is.
func (l *linter) unmatched(dead []bool) {
	si, contexts, users := l.sn.tree.sets, 0, 0
	if len(si.blocks) == 0 {
		return
	}
	var all []uint64
	seen := map[*class]bool{}
	for su := range l.sn.Subjects() {
		if su.User == 0 {
			contexts++
		} else {
			users++
		}
		if contexts+users > maxMatched {
			return
		}
		c := l.sn.class(su)
		if seen[c] {
			continue
		}
		seen[c] = true
		if all == nil {
			all = make([]uint64, len(c.matched))
		}
		for i, word := range c.matched {
			all[i] |= word
		}
	}
	if contexts == 0 {
		return
	}
	rollout := func(tag string) bool { return strings.HasPrefix(tag, rolloutPrefix) }
	for i := range si.blocks {
		b := &si.blocks[i]
		if b.expr == nil || dead[i] || slices.ContainsFunc(b.expr.Tags(), rollout) { // of a roll-out nobody may be in yet
			continue
		}
		if all[si.rank[i]/64]&(1<<(si.rank[i]%64)) == 0 {
			l.warn(b.file, b.line, "unmatched-set", "context set %s matches none of the %s and %s that are known: nobody of them has tags that make %q true", b.name, counted(contexts, "context"), counted(users, "user"), b.expr)
		}
	}
}

// shadowed finds definitions that an earlier set hides whenever they match.
func (l *linter) shadowed(dead []bool) {
	si := l.sn.tree.sets
	live := make([]int, len(si.blocks)) // definitions of a block that may win
	type hidden struct {
		prop uint32
		def  *setDef
		by   uint32
	}
	byBlock := map[uint32][]hidden{}
	for p, at := range si.defAt {
		defs := si.defs[at].list
		for i := range defs {
			b := &si.blocks[defs[i].block]
			if b.expr == nil || dead[defs[i].block] {
				continue
			}
			by := slices.IndexFunc(defs[:min(i, maxEarlier)], func(e setDef) bool {
				x := si.blocks[e.block].expr
				return x != nil && e.block != defs[i].block && !dead[e.block] && proven(b.expr, x)
			})
			if by < 0 {
				live[defs[i].block]++
				continue
			}
			byBlock[defs[i].block] = append(byBlock[defs[i].block], hidden{uint32(p), &defs[i], defs[by].block})
		}
	}
	for block, hs := range byBlock {
		b := &si.blocks[block]
		slices.SortFunc(hs, func(x, y hidden) int { return x.def.line - y.def.line })
		if live[block] == 0 && len(b.addTags) == 0 {
			by := &si.blocks[hs[0].by]
			l.warn(b.file, b.line, "shadowed-set", "context set %s never has an effect: whenever it matches, so does %s (%s:%d), which goes first and sets the same",
				b.name, by.name, by.file, by.line)
			continue
		}
		for _, h := range hs {
			by := &si.blocks[h.by]
			l.warn(b.file, h.def.line, "shadowed-set", "%s of context set %s never has an effect: whenever it matches, so does %s (%s:%d), which goes first",
				l.sn.names.List[h.prop], b.name, by.name, by.file, by.line)
		}
	}
}

// proven reports that no assignment of tags makes a true and not b (nil:
// nothing excludes it). It is false where that would take too long to prove.
func proven(a, b *tagexpr.Expr) bool {
	tags := a.Tags()
	own := len(tags)
	if own > maxProofTags {
		return false
	}
	if b != nil {
		for _, t := range b.Tags() {
			if !slices.Contains(tags, t) {
				tags = append(tags, t)
			}
		}
	}
	at := make(map[string]int, len(tags))
	for i, t := range tags {
		at[t] = i
	}
	bit := func(t string) int { return at[t] }
	words := make([]uint64, (len(tags)+63)/64)
	pa := a.Compile(bit)
	pb := tagexpr.Program{}
	if b != nil {
		pb = b.Compile(bit)
	}
	order := rolloutOrder(tags)
	// Most pairs are told apart by the tags of a alone. Of roll-outs those of b
	// may be missing there.
	for m := range uint64(1) << own {
		words[0] = m
		if len(order) == 0 && pa.Eval(words) && (b == nil || !pb.Eval(words)) {
			return false
		}
	}
	if len(tags) > maxProofTags {
		return false
	}
	for m := range uint64(1) << len(tags) {
		words[0] = m
		if !impossible(order, m) && pa.Eval(words) && (b == nil || !pb.Eval(words)) {
			return false
		}
	}
	return true
}
