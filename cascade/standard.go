package cascade

import (
	"slices"

	"github.com/seed47708276/sluice/cascade/tables"
)

// The standard path, unrolled. find comes here for a declared property of a
// user when the path is the default one: what the providers of the four scopes
// would do one after another, with each subject's slots looked through once
// instead of twice. Look-ups of a million users wait for memory, and the fewer
// instructions stand between two of them, the more of them wait at once.

// isStandard reports whether the path is the default one.
func (t *compiled) isStandard() bool {
	return slices.EqualFunc(t.path, tables.DefaultPath, func(p provider, s string) bool { return p.scope() == s })
}

// findStandard resolves from the scope with the index first on.
func (sn *Snapshot) findStandard(su Subject, p uint32, first int) (hit, int) {
	t := sn.tables
	hash := tables.HashUser(su.Context, su.User)
	users := t.Shard(su.User, hash)
	override, record := users.Pair(su.Context, su.User, p, hash)
	if override >= 0 && first == 0 {
		return hit{users, uint32(override), users.Bits(override)}, 0
	}
	hash = tables.HashUser(su.Context, 0)
	contexts := t.Shard(0, hash)
	override, context := contexts.Pair(su.Context, 0, p, hash)
	if override >= 0 && first <= 1 {
		return hit{contexts, uint32(override), contexts.Bits(override)}, 1
	}
	if si := sn.tree.sets; first <= 2 && int(p) < len(si.defAt) && si.defAt[p] != 0 {
		if i, ok := si.first(si.defAt[p], sn.standardClass(su, users, record, contexts, context)); ok {
			return hit{i: i, bits: si.defs[si.defAt[p]].list[i].bits}, 2
		}
	}
	if h, ok := (serverScope{}).find(sn, su, p); ok {
		return h, 3
	}
	return hit{}, -1
}

// standardClass is class where the records are found already. Whatever is not
// the usual case goes to class itself.
func (sn *Snapshot) standardClass(su Subject, users *tables.Shard, record int, contexts *tables.Shard, context int) *class {
	if context < 0 || sn.tables.Count(typesID).User > 0 {
		return sn.class(su)
	}
	si := sn.tree.sets
	sig := contexts.Signature(contexts.Record(context)).Load()
	if uint32(sig>>32) != si.epoch {
		return sn.class(su)
	}
	perms := uint32(0)
	if record < 0 {
		perms = sn.tables.Permissions(su) // hidden by an override that is locked out
	} else {
		perms = tables.PermissionsOf(users.Record(record))
	}
	return si.pairClass(su, uint32(sig), perms, sn.tables.PermissionTags(perms))
}
