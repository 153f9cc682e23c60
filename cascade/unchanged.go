package cascade

import (
	"maps"
	"slices"

	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// Unchanged reports whether it is certain that since old no account and none of
// the declared properties has become another for any subject. It looks at what
// changed and not at the subjects, which takes microseconds; false says that
// something may have.
func (sn *Snapshot) Unchanged(old *Snapshot, properties ...string) bool {
	if old == sn {
		return true
	}
	if sn.schema != old.schema || sn.held != nil || old.held != nil || sn.hypothesis != nil || old.hypothesis != nil || sn.theirs != old.theirs {
		return false
	}
	props := []uint32{typesID, strictID} // which tags and accounts depend on
	for _, name := range properties {
		p, declared := sn.schema.byName[name]
		if !declared {
			return false
		}
		props = append(props, uint32(p))
	}
	return sn.tree.unchanged(old.tree, props) && sn.tables.Unchanged(old.tables, props) && sn.platform.unchanged(old.platform, props)
}

func (pl *platform) unchanged(old *platform, props []uint32) bool {
	switch {
	case pl == old:
		return true
	case pl == nil || old == nil:
		return false
	}
	return maps.Equal(pl.owners, old.owners) && maps.Equal(pl.resellers, old.resellers) && pl.tables.Unchanged(old.tables, props)
}

func (t *compiled) unchanged(old *compiled, props []uint32) bool {
	if t == old {
		return true
	}
	if !slices.Equal(t.path, old.path) {
		return false
	}
	sets := false
	for _, p := range props {
		now, defined := t.server.text(p)
		before, had := old.server.text(p)
		if now != before || defined != had || t.goods[p] != old.goods[p] || t.lockedTo(p) != old.lockedTo(p) {
			return false
		}
		u, bad := t.unfit[p]
		v, was := old.unfit[p]
		if bad != was || bad && (u.good != v.good || u.last != v.last) || !t.sets.sameDefs(old.sets, p) {
			return false
		}
		sets = sets || int(p) < len(t.sets.defAt) && t.sets.defAt[p] != 0
	}
	// Tags that sets add matter only to sets that define one of the properties.
	return !sets || slices.EqualFunc(t.sets.adders, old.sets.adders, func(i, j uint32) bool {
		a, b := &t.sets.blocks[i], &old.sets.blocks[j]
		return sameExpr(a.expr, b.expr) && slices.Equal(a.addTags, b.addTags)
	})
}

// lockedTo is the scope that metadata lock a property to, or "".
func (t *compiled) lockedTo(p uint32) string {
	if int(p) >= len(t.final) || t.final[p] == 0 {
		return ""
	}
	return t.path[t.final[p]-1].scope()
}

// sameDefs reports whether the same sets, in the same order, say the same of a
// property.
func (si *setIndex) sameDefs(old *setIndex, p uint32) bool {
	return slices.EqualFunc(si.list(p), old.list(p), func(a, b setDef) bool {
		return a.text == b.text && a.bits == b.bits && a.bad == b.bad && a.good == b.good && sameExpr(si.blocks[a.block].expr, old.blocks[b.block].expr)
	})
}

func (si *setIndex) list(p uint32) []setDef {
	if int(p) >= len(si.defAt) {
		return nil
	}
	return si.defs[si.defAt[p]].list
}

// sameExpr compares what expressions say: one of a file that did not change is
// the same one.
func sameExpr(a, b *tagexpr.Expr) bool {
	return a == b || a != nil && b != nil && a.String() == b.String()
}
