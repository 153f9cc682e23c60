package cascade

import (
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// Snapshot is one state of everything: files, directory and overrides. It
// never changes; any number of goroutines may read it, for as long as they
// like. Two reads from one snapshot never see different loads.
type Snapshot struct {
	tree       *compiled
	tables     *tables.Tables
	names      *tables.Names
	schema     *Schema
	generation uint64
	revision   string          // of the directory and the overrides
	source     string          // the directory file, "" where there is none
	slips      map[Key]slip    // of the directory file
	loaded     time.Time       // when the files were read
	memo       tables.Memo     // answers, with the epoch of this snapshot
	hypothesis *hypothesis     // nil but in what Suppose returns
	held       *held           // a change of files that the gate does not follow yet; nil: none
	flags      map[string]Flag // Options.Flags
	started    map[string]any  // values that are read at the start only, as they were then
	blind      *Snapshot       // of candidate trees: the same without what tokens look up
	platform   *platform       // nil: its database is not read
	theirs     bool            // what the platform's middleware has: see PlatformView
}

// tree is what the files say, compiled.
type compiled struct {
	made     made // how, for the next one
	digest   string
	shared   string           // digest without what is local
	files    []string         // display paths; a value's file is an index into it
	keys     []string         // of files, as the engine's tree.Set knows them
	contents []*tree.Contents // of files, in force; nil where there are none
	server   serverTable
	final    []uint8 // by property number, as far as meta says something: 1 + index into path of the scope that meta locks, 0: none
	meta     map[uint32]*metaInfo
	goods    map[uint32]string // declared properties whose server value does not fit: the last good text
	unused   []unusedFile      // files that are not used as they are now
	unfit    map[uint32]unfit  // declared properties that do not fit together
	sets     *setIndex
	path     []provider // the scopes, most specific first
	standard bool       // path is the default one
	locks    []provider // those of path, least specific first: who may lock
	contexts bool       // path has the scope context
	users    bool       // path has the scope user
	findings []finding.Finding
	reports  []FileReport
	carry    carry // last good entries for the next load
}

// metaInfo is what meta files and settings folders say of a property.
type metaInfo struct {
	final          string
	finalFile      string
	finalLine      int
	protected      *bool
	preferencePath string
}

// hit is where a provider found a value.
type hit struct {
	sh   *tables.Shard // user and context scope
	i    uint32        // slot, or index into the definitions of the property
	bits uint32
}

// Generation counts the swaps of this engine, from 1.
func (sn *Snapshot) Generation() uint64 { return sn.generation }

// Digest identifies the contents of the files; it is the same on every member
// that has the same files.
func (sn *Snapshot) Digest() string { return sn.schema.shownDigest(sn.tree.digest) }

// SharedDigest is that of what all members of a cluster are to have alike: the
// contents in force without the properties that each member has for itself.
func (sn *Snapshot) SharedDigest() string { return sn.schema.shownDigest(sn.tree.shared) }

// Revision identifies the directory and the overrides.
func (sn *Snapshot) Revision() string {
	if sn.source == "" {
		return sn.revision
	}
	// Of a directory file it is the head of the digest.
	return sn.schema.shownDigest(sn.revision)[:len(sn.revision)]
}

// Schema returns the declarations that the snapshot was read with.
func (sn *Snapshot) Schema() *Schema { return sn.schema }

// Loaded is when the files were read.
func (sn *Snapshot) Loaded() time.Time { return sn.loaded }

// Findings are the errors and warnings of the files, sorted. The caller does
// not change them.
func (sn *Snapshot) Findings() []finding.Finding { return sn.tree.findings }

// Files reports each file of the tree, sorted by path, with the digests as they
// are shown.
func (sn *Snapshot) Files() []FileReport {
	out := slices.Clone(sn.tree.reports)
	for i := range out {
		out[i].Digest = sn.schema.shownDigest(out[i].Digest)
	}
	return out
}

// Degraded reports whether any file or entry has an error.
func (sn *Snapshot) Degraded() bool { return finding.HasErrors(sn.tree.findings) }

// find walks the path. The index is that of the winning scope, -1 where no
// scope defines the property. It is the only resolver: every other way to a
// value calls it.
func (sn *Snapshot) find(su Subject, p uint32) (hit, int) {
	i := 0
	if sn.lockable(p) {
		i, _ = sn.lock(su, p)
	}
	if sn.tree.standard && sn.platform == nil && su.User != 0 && int(p) < len(sn.schema.decls) && sn.hypothesis == nil {
		return sn.findStandard(su, p, i)
	}
	for path := sn.tree.path; i < len(path); i++ {
		if h, ok := path[i].find(sn, su, p); ok {
			return h, i
		}
	}
	return hit{}, -1
}

// lockable reports whether anything may lock the property.
func (sn *Snapshot) lockable(p uint32) bool {
	return int(p) < len(sn.tree.final) && sn.tree.final[p] != 0 || sn.tables.Count(p).Final > 0 || sn.platform != nil && sn.platform.tables.Count(p).Final > 0
}

// lock returns the index into the path of the first scope that may define the
// property, and who locked the scopes before it (nil: nobody did).
func (sn *Snapshot) lock(su Subject, p uint32) (int, provider) {
	for _, pr := range sn.tree.locks {
		scope := pr.lock(sn, su, p)
		if scope == "" {
			continue
		}
		for i, s := range sn.tree.path {
			if s.scope() == scope {
				return i, pr
			}
		}
		// A scope that is not in the path locks nothing (the load reports it).
	}
	return 0, nil
}

// boolean is the typed look-up of a declared boolean; def is the code's
// default.
func (sn *Snapshot) boolean(su Subject, p uint32, def bool) bool {
	if sn.held != nil && p == sn.held.p {
		return sn.held.accepted.boolean(su, p, def)
	}
	if sn.supposed(su) != nil {
		return sn.resolveBool(su, p, def)
	}
	set, word := sn.memo.Key(su)
	if bits := sn.memo.Get(p, set, word); bits != 0 {
		return bits == tables.BitTrue
	}
	value := sn.resolveBool(su, p, def)
	sn.memo.Put(p, set, word, value)
	return value
}

func (sn *Snapshot) resolveBool(su Subject, p uint32, def bool) bool {
	if h, i := sn.find(su, p); i >= 0 {
		return h.bits == tables.BitTrue
	}
	return def
}

// Value is a resolved property.
type Value struct {
	Text      string // the winning text as it stands
	Scope     string // ScopeDefault where only the code defines it
	Effective any    // typed, of declared properties; see Declaration.Parse
	Declared  bool
	Err       error // the winning text does not fit the type
}

// Get resolves one property; ok is false where nothing defines it. While a
// change is held, the switch is what it was before it.
func (sn *Snapshot) Get(su Subject, name string) (v Value, ok bool) {
	if sn.held.of(name) {
		return sn.held.accepted.Get(su, name)
	}
	d := sn.schema.Lookup(name)
	v.Declared = d != nil
	p, known := sn.names.ID(name)
	if known {
		if h, i := sn.find(su, p); i >= 0 {
			pr := sn.tree.path[i]
			v.Text, v.Scope = pr.text(sn, p, h), pr.scope()
			if d != nil {
				v.Effective, v.Err = sn.effective(d, p, pr, h, v.Text)
				if g, u, bad := sn.together(d, p, v.Scope); bad {
					v.Effective, v.Err = g, u.err
				}
			}
			return v, true
		}
	}
	if d == nil || d.NoDefault {
		return v, false
	}
	v.Text, v.Scope = d.Default, ScopeDefault
	v.Effective, v.Err = d.Parse(d.Default)
	if g, u, bad := sn.together(d, p, v.Scope); bad && known {
		v.Effective, v.Err = g, u.err
	}
	return v, true
}

// Bool resolves a property as a boolean by its name: only true (trimmed, any
// case) is true. ok is false where nothing defines it.
func (sn *Snapshot) Bool(su Subject, name string) (value, ok bool) {
	p, known := sn.names.ID(name)
	if !known {
		return false, false
	}
	if int(p) < len(sn.schema.decls) && !sn.schema.decls[p].NoDefault {
		return sn.boolean(su, p, sn.schema.defaults[p]), true
	}
	h, i := sn.find(su, p)
	return h.bits == tables.BitTrue, i >= 0
}

// effective types the winning text. Where it does not fit, the last good value
// counts, else a boolean is false and everything else is its default.
func (sn *Snapshot) effective(d *Declaration, p uint32, pr provider, h hit, text string) (any, error) {
	v, err := d.Parse(text)
	if err == nil {
		return v, nil
	}
	if good, ok := pr.good(sn, p, h); ok {
		if v, e := d.Parse(good); e == nil {
			return v, err
		}
	}
	switch {
	case d.Kind == Bool:
		return false, err
	case d.NoDefault:
		return nil, err
	}
	v, _ = d.Parse(d.Default) // NewSchema has checked it
	return v, err
}

// Source is the path of the directory file, "" where there is none.
func (sn *Snapshot) Source() string { return sn.source }
