package cascade

import (
	"slices"
	"sync/atomic"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/cascade/tree"
)

// made is what a tree keeps of how it was made, so that the next one takes from it
// what did not change.
type made struct {
	number   uint64       // of the tree, from 1
	from     uint64       // of the tree whose table was gone on from; 0: none
	touched  []uint32     // properties of the server scope that may differ from there
	files    []*tree.File // tree.Set.Sorted of that time
	sums     []sumLines   // of files
	reports  int          // of files: the source has one more
	meta     []int        // files of these kinds
	sets     []int
	settings []int
	tokens   []int    // files whose server values have tokens: they may differ each time
	plain    bool     // the sets have no token, no finding and no last good form
	types    []string // that the sets were sealed with
}

// trees counts the trees of all engines.
var trees atomic.Uint64

// after reports whether the tree was made from another one, and names what may differ.
func (m *made) after(t *compiled) bool { return m.from != 0 && m.from == t.made.number }

// mostChanged is the part of the files, one in so many, from which a tree is made
// anew: then there is little to keep.
const mostChanged = 4

// since finds what changed since a tree, and reports whether again can go on from
// it. What concerns all files, or comes seldom, is not among that: a file that came
// or went, metadata, settings, and the patterns that hide values.
func (b *builder) since(from *compiled) bool {
	if from == nil || len(b.files) == 0 || len(from.made.files) != len(b.files) || &from.made.files[0] != &b.files[0] || from.made.reports != len(b.files) {
		return false
	}
	var changed []int
	for i, f := range b.files {
		had := from.contents[i]
		if f.Have == had && f.Status == from.reports[i].Status {
			continue
		}
		if f.Status == "" || f.Have != had && (f.Kind == tree.KindMeta || isSetting(f) || namesPatterns(f.Have) || namesPatterns(had)) {
			return false
		}
		if changed = append(changed, i); len(changed) > len(b.files)/mostChanged {
			return false
		}
	}
	b.from, b.changed = from, changed
	return true
}

func namesPatterns(c *tree.Contents) bool {
	return c != nil && slices.ContainsFunc(c.Entries, func(e propfile.Entry) bool { return e.Key == PropSecrets })
}

// again is build where since was true. It costs what the changed files hold, and a
// look at each other file.
func (b *builder) again(fs *tree.Set) *compiled {
	t, from := b.t, b.from
	t.made = made{
		from: from.made.number, files: b.files, sums: slices.Clone(from.made.sums),
		meta: from.made.meta, sets: from.made.sets, settings: from.made.settings,
	}
	t.files, t.keys, t.contents = from.files, from.keys, slices.Clone(from.contents)
	b.paths, b.keys = t.files, t.keys
	for _, i := range b.changed {
		f := b.files[i]
		if t.contents[i] = f.Have; f.Have != nil {
			b.number(f.Have)
		}
		t.made.sums[i] = b.sumLines(f)
	}
	b.digests()
	b.reportAgain(fs.Findings)
	b.serverAgain()
	b.preferences()
	b.rest()
	slices.Sort(t.made.touched)
	t.made.touched = slices.Compact(t.made.touched)
	return t
}

// reportAgain makes the reports of files that changed, and of those with findings,
// which may have come from any part of the tree.
func (b *builder) reportAgain(roots []finding.Finding) {
	t := b.t
	t.made.reports = len(b.files)
	t.findings = append(t.findings, roots...)
	t.reports = slices.Clone(b.from.reports[:len(b.files)])
	b.at = make([]int, len(b.files))
	next := 0 // of changed
	for i, f := range b.files {
		b.at[i] = i
		changed := next < len(b.changed) && b.changed[next] == i
		if changed {
			next++
		} else if len(f.Findings) == 0 && len(t.reports[i].Errors) == 0 {
			continue
		}
		r := b.fileReport(i)
		switch {
		case !changed:
			r.Digest = t.reports[i].Digest
		case f.Have != nil:
			r.Digest = f.Digest.String()
		}
		t.reports[i] = r
		t.findings = append(t.findings, r.Errors...)
	}
}

// serverAgain takes the values of changed files, and of those with tokens, into the
// table of before. What a file no longer sets comes from the last one that does.
func (b *builder) serverAgain() {
	b.values = b.from.server.edit()
	again := make([]bool, len(b.files))
	for _, i := range append(slices.Clone(b.changed), b.from.made.tokens...) {
		again[i] = true
	}
	if gone := b.gone(); gone != nil {
		for i, f := range b.files {
			if again[i] || f.Have == nil {
				continue
			}
			for j, p := range f.Have.IDs {
				if gone.has(p) {
					e := &f.Have.Entries[j] // without tokens
					b.setServer(p, e.Value, i, e.Line)
				}
			}
			for _, e := range f.Have.Settings {
				if p, known := b.names.From.ID(e.Name); known && gone.has(p) && e.Value.Defined && !e.Value.Invalid {
					b.setServer(p, e.Value.Text, i, e.Value.Line)
				}
			}
		}
	}
	for i := range again {
		if again[i] {
			b.serverFile(i)
		}
	}
}

// numberSet is a set of numbers of properties.
type numberSet []uint64

func (s numberSet) add(p uint32)      { s[p/64] |= 1 << (p % 64) }
func (s numberSet) has(p uint32) bool { return s[p/64]&(1<<(p%64)) != 0 }

// gone takes values out of the table that changed files set and no longer do; nil:
// there is none.
func (b *builder) gone() (gone numberSet) {
	for _, i := range b.changed {
		had := b.from.contents[i]
		if had == nil {
			continue
		}
		now := map[uint32]bool{}
		if c := b.files[i].Have; c != nil {
			for _, p := range c.IDs {
				now[p] = true
			}
		}
		for _, p := range had.IDs {
			v := b.values.at(p)
			if v == nil || int(v.file) != i+1 || now[p] {
				continue
			}
			if gone == nil {
				gone = make(numberSet, len(b.names.List)/64+1)
			}
			gone.add(p)
			b.values.set(p, serverVal{})
			b.t.made.touched = append(b.t.made.touched, p)
		}
	}
	return gone
}

// sameSets reports whether the sets of the tree before are those of this one.
func (b *builder) sameSets() bool {
	if b.from == nil || !b.from.made.plain || b.from.sets.full() || !slices.Equal(b.from.made.types, b.t.made.types) {
		return false
	}
	return !slices.ContainsFunc(b.changed, func(i int) bool { return b.files[i].Kind == tree.KindSets })
}
