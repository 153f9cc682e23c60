package cascade

import (
	"slices"
	"strconv"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
)

// class returns which context sets match a subject that has a context. The
// usual case, no tags from overrides, takes two or three table look-ups.
func (sn *Snapshot) class(su Subject) *class {
	if h := sn.supposed(su); h != nil {
		return h.class
	}
	si, t := sn.tree.sets, sn.tables
	if sn.platform != nil {
		return si.classOf(sn.tagBits(su)) // tags come from more than one place
	}
	types := t.Count(typesID)
	if types.User > 0 && sn.tree.users && su.User != 0 {
		if _, ok := (overrideScope{user: true}).find(sn, su, typesID); ok {
			return si.classOf(sn.tagBits(su))
		}
	}
	sig, ok := sn.contextSig(su.Context, types.Context > 0 && sn.tree.contexts)
	if !ok {
		return si.classOf(sn.tagBits(su))
	}
	perms := t.Permissions(su)
	return si.pairClass(su, sig, perms, t.PermissionTags(perms))
}

// contextSig numbers the tags that a context gives to all of its users.
func (sn *Snapshot) contextSig(id uint32, types bool) (sig uint32, ok bool) {
	si := sn.tree.sets
	sh, rec := sn.tables.Record(id, 0)
	if sh == nil {
		if types {
			if _, ok := (overrideScope{}).find(sn, Subject{Context: id}, typesID); ok {
				return 0, false
			}
		}
		if sig, ok = si.idSig[id]; !ok {
			sig = si.baseSig
		}
		return sig, true
	}
	// Whatever changes the context's own tags makes a new shard.
	known := sh.Signature(rec)
	if v := known.Load(); uint32(v>>32) == si.epoch {
		return uint32(v), true
	}
	if si.full() {
		return 0, false
	}
	sig = si.sig(sn.tagBits(Subject{Context: id}))
	known.Store(uint64(si.epoch)<<32 | uint64(sig))
	return sig, true
}

// tagBits are the tags of a subject before addTags, as far as context sets
// know them.
func (sn *Snapshot) tagBits(su Subject) []uint64 {
	si := sn.tree.sets
	b := slices.Clone(si.base)
	sn.ownTags(su, func(tag, _ string) { si.setBit(b, tag) })
	return b
}

// ownTags calls add with each tag that a subject has before addTags, and where
// it comes from; of roll-outs those that a context set reads.
func (sn *Snapshot) ownTags(su Subject, add func(tag, from string)) {
	if su.Context != 0 {
		sn.platform.chain(su.Context, func(r *Reseller) bool {
			for _, t := range r.Taxonomies {
				add(t, ScopeReseller)
			}
			return true
		})
		add(strconv.FormatUint(uint64(su.Context), 10), "contextId")
		for _, c := range []*tables.Entry{sn.platform.context(su.Context), sn.tables.Context(su.Context)} {
			if c == nil {
				continue
			}
			if c.Name != "" {
				add(c.Name, "contextName")
			}
			for _, t := range c.Tags {
				add(t, "context")
			}
		}
	}
	if su.User != 0 {
		for _, tables := range sn.allTables() {
			for _, t := range tables.PermissionTags(tables.Permissions(su)) {
				add(t, "permission")
			}
		}
	}
	for _, pr := range sn.tree.path {
		if pr.scope() == ScopeContextSets {
			continue
		}
		if h, ok := pr.find(sn, su, typesID); ok {
			for _, t := range splitList(pr.text(sn, typesID, h)) {
				add(t, "types:"+pr.scope())
			}
		}
	}
	if !sn.theirs {
		sn.tree.sets.rolloutTags(su, add)
	}
}

// Tag is a tag of a subject. From is reseller, contextId, contextName, context,
// permission, types:SCOPE, addTags:SET or rollout.
type Tag struct {
	Tag  string `json:"tag"`
	From string `json:"from"`
}

// WhatIf adds tags and permission names to those that a subject has, for an
// explanation of what would be.
type WhatIf struct {
	Tags        []string
	Permissions []string // without the prefix uc
}

// hypothesis is what a WhatIf makes of a subject.
type hypothesis struct {
	su    Subject
	tags  []Tag
	class *class
}

// supposed is what is supposed of a subject; nil: nothing.
func (sn *Snapshot) supposed(su Subject) *hypothesis {
	if sn.hypothesis == nil || sn.hypothesis.su != su {
		return nil
	}
	return sn.hypothesis
}

// Suppose returns a snapshot in which the subject has more tags, and everybody
// else those that they have. Without a context the tags stand alone, as those of
// a context that is not known by its id.
func (sn *Snapshot) Suppose(su Subject, w WhatIf) *Snapshot {
	if len(w.Tags)+len(w.Permissions) == 0 {
		return sn
	}
	c := *sn
	c.hypothesis = &hypothesis{su: su}
	c.hypothesis.tags, c.hypothesis.class = sn.tagsAndClass(su, w)
	if sn.held != nil {
		h := *sn.held
		h.accepted = h.accepted.Suppose(su, w)
		c.held = &h
	}
	return &c
}

// Tags lists the tags of a subject, sorted, each with the first place that it
// comes from.
func (sn *Snapshot) Tags(su Subject) []Tag {
	if h := sn.supposed(su); h != nil {
		return h.tags
	}
	tags, _ := sn.tagsAndClass(su, WhatIf{})
	return tags
}

func (sn *Snapshot) tagsAndClass(su Subject, w WhatIf) ([]Tag, *class) {
	si := sn.tree.sets
	from := map[string]string{}
	b := make([]uint64, si.words)
	add := func(tag, source string) {
		if _, have := from[tag]; !have {
			from[tag] = source
		}
		si.setBit(b, tag)
	}
	sn.ownTags(su, add)
	for _, t := range w.Tags {
		add(t, "context")
	}
	for _, p := range w.Permissions {
		add("uc"+p, "permission")
	}
	c := si.classOf(b)
	// Without a context no set applies, so none adds its tags either.
	if su.Context != 0 || len(w.Tags)+len(w.Permissions) > 0 {
		si.fixpoint(b, func(block, bit int) { add(si.names[bit], "addTags:"+si.blocks[block].name) })
	}
	tags := make([]Tag, 0, len(from))
	for t, f := range from {
		tags = append(tags, Tag{t, f})
	}
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Tag, b.Tag) })
	return tags, c
}

// Account tells whether the directory serves a subject.
type Account uint8

// The states of a subject in the directory. An unknown context or user is
// open unless sluice.directory.strict is true.
const (
	AccountOpen Account = iota
	ContextDisabled
	ContextDeleted
	ContextUnknown // refused: strict
	UserDisabled
	UserDeleted
	UserUnknown // refused: strict
	// AccountUnread: the platform's database decides, and it could not be asked yet.
	AccountUnread
)

// String is the state in JSON.
func (a Account) String() string {
	return [...]string{"open", "contextDisabled", "contextDeleted", "contextUnknown", "userDisabled", "userDeleted", "userUnknown", "unread"}[a]
}

// Account returns the state of a subject; while a change is held, that before
// it.
func (sn *Snapshot) Account(su Subject) Account {
	if sn.held != nil {
		return sn.held.accepted.Account(su)
	}
	strict := sn.boolean(Subject{}, strictID, false)
	if sn.platform != nil {
		// Whoever is closed in one of the two is closed.
		if a := sn.platform.account(su); a != AccountOpen {
			return a
		}
		strict = false // the platform knows it
	}
	switch sh, rec := sn.tables.Record(su.Context, 0); {
	case sh == nil && strict:
		return ContextUnknown
	case sh == nil:
	case rec&tables.RecDeleted != 0:
		return ContextDeleted
	case rec&tables.RecEnabled == 0:
		return ContextDisabled
	}
	if su.User == 0 {
		return AccountOpen
	}
	switch sh, rec := sn.tables.Record(su.Context, su.User); {
	case sh == nil && strict:
		return UserUnknown
	case sh == nil:
	case rec&tables.RecDeleted != 0:
		return UserDeleted
	case rec&tables.RecEnabled == 0:
		return UserDisabled
	}
	return AccountOpen
}
