package cascade

import (
	"time"

	"github.com/seed47708276/sluice/cascade/tables"
)

// provider is one scope of the path. Adding a scope is adding a provider: the
// resolver knows none of them by name.
type provider interface {
	scope() string
	// find looks a property up for a subject. It allocates nothing.
	find(sn *Snapshot, su Subject, p uint32) (hit, bool)
	// text, good, origin describe a hit of find: its text, the last text that
	// fitted where this one does not, and where it stands.
	text(sn *Snapshot, p uint32, h hit) string
	good(sn *Snapshot, p uint32, h hit) (string, bool)
	origin(sn *Snapshot, p uint32, h hit) *Origin
	// lock returns the scope that the provider's metadata lock the property
	// to, or ""; lockOrigin says where they stand.
	lock(sn *Snapshot, su Subject, p uint32) string
	lockOrigin(sn *Snapshot, su Subject, p uint32) *Origin
	// names adds the properties that the scope defines for a subject, or may.
	names(sn *Snapshot, su Subject, add func(p uint32))
}

// providers are the scopes by name.
var providers = map[string]provider{
	ScopeUser:        overrideScope{user: true},
	ScopeContext:     overrideScope{},
	ScopeReseller:    resellerScope{},
	ScopeContextSets: setScope{},
	ScopeServer:      serverScope{},
}

// overrideScope is the scope context or user: the overrides, and behind them
// what the platform's database has.
type overrideScope struct{ user bool }

func (o overrideScope) scope() string {
	if o.user {
		return ScopeUser
	}
	return ScopeContext
}

// key is whose override counts for a subject; ok is false where none can.
func (o overrideScope) key(su Subject) (user uint32, ok bool) {
	if o.user {
		return su.User, su.User != 0
	}
	return 0, su.Context != 0
}

func (o overrideScope) find(sn *Snapshot, su Subject, p uint32) (hit, bool) {
	h, ok := o.in(sn.tables, su, p)
	if ok && !h.sh.Expired(int(h.i)) {
		return h, true
	}
	if sn.platform == nil {
		return hit{}, false
	}
	return o.in(sn.platform.tables, su, p)
}

// any finds an override, expired or not.
func (o overrideScope) any(sn *Snapshot, su Subject, p uint32) (hit, bool) {
	return o.in(sn.tables, su, p)
}

func (o overrideScope) in(t *tables.Tables, su Subject, p uint32) (hit, bool) {
	user, ok := o.key(su)
	if !ok {
		return hit{}, false
	}
	if c := t.Count(p); o.user && c.User == 0 || !o.user && c.Context == 0 {
		return hit{}, false
	}
	sh, i := t.Find(su.Context, user, p)
	if i < 0 {
		return hit{}, false
	}
	return hit{sh: sh, i: uint32(i), bits: sh.Bits(i)}, true
}

func (overrideScope) text(_ *Snapshot, _ uint32, h hit) string   { return h.sh.Text(int(h.i)) }
func (overrideScope) good(*Snapshot, uint32, hit) (string, bool) { return "", false }

func (s overrideScope) origin(sn *Snapshot, p uint32, h hit) *Origin {
	o := h.sh.Override(int(h.i), sn.names.List[p])
	if o.Platform {
		return &Origin{Platform: sn.platform.origin(s.scope(), o.Property, o.Subject)}
	}
	return &Origin{Override: &OverrideOrigin{
		Actor: o.Actor, Time: timePtr(o.Time), Reason: o.Reason, Expires: timePtr(o.Expires),
	}}
}

func timePtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (o overrideScope) lock(sn *Snapshot, su Subject, p uint32) string {
	if sn.tables.Count(p).Final == 0 && (sn.platform == nil || sn.platform.tables.Count(p).Final == 0) {
		return ""
	}
	h, ok := o.find(sn, su, p)
	if !ok || !h.sh.Locks(int(h.i)) {
		return ""
	}
	return h.sh.Final(int(h.i))
}

func (o overrideScope) lockOrigin(sn *Snapshot, su Subject, p uint32) *Origin {
	h, _ := o.find(sn, su, p)
	return o.origin(sn, p, h)
}

func (o overrideScope) names(sn *Snapshot, su Subject, add func(uint32)) {
	user, ok := o.key(su)
	if !ok {
		return
	}
	for _, t := range sn.allTables() {
		t.EachOverride(su.Context, user, func(p uint32, expired bool) {
			if !expired {
				add(p)
			}
		})
	}
}

// setScope is the scope contextSets.
type setScope struct{}

func (setScope) scope() string { return ScopeContextSets }

func (setScope) find(sn *Snapshot, su Subject, p uint32) (hit, bool) {
	si := sn.tree.sets
	if su.Context == 0 && sn.supposed(su) == nil || int(p) >= len(si.defAt) || si.defAt[p] == 0 {
		return hit{}, false
	}
	i, ok := si.first(si.defAt[p], sn.class(su))
	if !ok {
		return hit{}, false
	}
	return hit{i: i, bits: si.defs[si.defAt[p]].list[i].bits}, true
}

func (setScope) def(sn *Snapshot, p uint32, h hit) *setDef {
	si := sn.tree.sets
	return &si.defs[si.defAt[p]].list[h.i]
}

func (s setScope) text(sn *Snapshot, p uint32, h hit) string { return s.def(sn, p, h).text }

func (s setScope) good(sn *Snapshot, p uint32, h hit) (string, bool) {
	d := s.def(sn, p, h)
	return d.good, d.bad && d.good != ""
}

func (s setScope) origin(sn *Snapshot, p uint32, h hit) *Origin {
	d := s.def(sn, p, h)
	b := &sn.tree.sets.blocks[d.block]
	return &Origin{File: b.file, Line: d.line, Set: b.name}
}

func (setScope) lock(*Snapshot, Subject, uint32) string        { return "" }
func (setScope) lockOrigin(*Snapshot, Subject, uint32) *Origin { return nil }

func (setScope) names(sn *Snapshot, su Subject, add func(uint32)) {
	if su.Context == 0 && sn.supposed(su) == nil {
		return
	}
	for p, at := range sn.tree.sets.defAt {
		if at != 0 {
			add(uint32(p))
		}
	}
}

// serverScope is the scope server: the properties files, with meta and
// settings.
type serverScope struct{}

func (serverScope) scope() string { return ScopeServer }

func (serverScope) find(sn *Snapshot, _ Subject, p uint32) (hit, bool) {
	v := sn.tree.server.at(p)
	if v == nil {
		return hit{}, false
	}
	return hit{bits: v.bits}, true
}

func (serverScope) text(sn *Snapshot, p uint32, _ hit) string { return sn.tree.server.at(p).text }

func (serverScope) good(sn *Snapshot, p uint32, _ hit) (string, bool) {
	g, ok := sn.tree.goods[p]
	return g, ok
}

func (serverScope) origin(sn *Snapshot, p uint32, _ hit) *Origin {
	v := sn.tree.server.at(p)
	return &Origin{File: sn.tree.files[v.file-1], Line: int(v.line)}
}

func (serverScope) lock(sn *Snapshot, _ Subject, p uint32) string {
	if int(p) >= len(sn.tree.final) || sn.tree.final[p] == 0 {
		return ""
	}
	return sn.tree.path[sn.tree.final[p]-1].scope()
}

func (serverScope) lockOrigin(sn *Snapshot, _ Subject, p uint32) *Origin {
	m := sn.tree.meta[p]
	return &Origin{File: m.finalFile, Line: m.finalLine}
}

func (serverScope) names(sn *Snapshot, _ Subject, add func(uint32)) {
	sn.tree.server.each(add)
}
