package cascade

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// setBlock is one block of a contextSets file, compiled.
type setBlock struct {
	file     string
	name     string
	line     int
	priority int
	expr     *tagexpr.Expr // nil: the block never matches
	prog     tagexpr.Program
	addTags  []string
	addBits  []int
	stale    bool // the block is wrong now, and this is its last good form
}

// setDef is a property that a block defines.
type setDef struct {
	block uint32
	line  int
	text  string
	bits  uint32
	good  string // the last good text where text does not fit the type
	bad   bool   // text does not fit the type
}

// setIndex is the context sets of one load. Its blocks and definitions never
// change; the memo of which blocks match which tags fills up as subjects are
// seen, within bounds.
type setIndex struct {
	blocks []setBlock // in the order of files and documents
	rank   []uint32   // block -> its place in the order of look-up
	defs   []setDefs  // 0 is empty
	defAt  []uint32   // property number -> index into defs

	bit      map[string]int // every tag that an expression reads or a block adds
	names    []string       // bit -> tag
	mentions [][]uint32     // bit -> blocks with addTags whose expression reads it
	adders   []uint32       // blocks with addTags
	words    int
	rollouts []rolloutGroup // whose tags the expressions read

	epoch   uint32            // tells the signatures of this index from older ones
	base    []uint64          // tags that every subject has: the server's types
	baseSig uint32            // signature of base alone
	idSig   map[uint32]uint32 // signature of base and a context id that is a tag
	pairs   [pairCache]atomic.Pointer[pairEntry]

	mu      sync.RWMutex
	sigs    [][]uint64
	sigOf   map[string]uint32
	classes map[string]*class
}

// setDefs are the definitions of one property, in the order of look-up.
type setDefs struct {
	list []setDef
	mask []uint64 // bit per rank of the blocks in list
}

// class is what all subjects with the same relevant tags share.
type class struct {
	matched []uint64 // bit per rank of the blocks that match
}

// first finds the first definition of a property whose block matches.
func (si *setIndex) first(defs uint32, c *class) (uint32, bool) {
	before := 0
	for w, m := range si.defs[defs].mask {
		if hit := m & c.matched[w]; hit != 0 {
			below := m & (hit&-hit - 1)
			return uint32(before + bits.OnesCount64(below)), true
		}
		before += bits.OnesCount64(m)
	}
	return 0, false
}

// pairEntry remembers the class of a context's signature, a permission set and
// the roll-outs that a subject is in.
type pairEntry struct {
	sig, perms uint32
	rollouts   uint64
	class      *class
}

const (
	// pairCache entries cover the pairs of context kinds and permission sets
	// of a large installation; a collision costs a map look-up.
	pairCache = 4096
	// maxSigs and maxClasses bound the memo where every context has tags of
	// its own; beyond them it starts over.
	maxSigs    = 1 << 18
	maxClasses = 1 << 16
)

var setEpoch atomic.Uint32

// seal makes the index ready for look-ups: blocks, defs and defAt are filled.
func (si *setIndex) seal(serverTypes []string) {
	si.epoch = setEpoch.Add(1)
	si.bit = map[string]int{}
	tagBit := func(tag string) int {
		if b, ok := si.bit[tag]; ok {
			return b
		}
		b := len(si.names)
		si.bit[tag] = b
		si.names = append(si.names, tag)
		si.addRollout(tag, b)
		return b
	}
	for i := range si.blocks {
		b := &si.blocks[i]
		if b.expr != nil {
			b.prog = b.expr.Compile(tagBit)
		}
		for _, t := range b.addTags {
			b.addBits = append(b.addBits, tagBit(t))
		}
		if b.expr != nil && len(b.addBits) > 0 {
			si.adders = append(si.adders, uint32(i))
		}
	}
	si.mentions = make([][]uint32, len(si.names))
	for _, i := range si.adders {
		for _, t := range si.blocks[i].expr.Tags() {
			si.mentions[si.bit[t]] = append(si.mentions[si.bit[t]], i)
		}
	}
	si.words = (len(si.names) + 63) / 64
	si.base = make([]uint64, si.words)
	for _, t := range serverTypes {
		si.setBit(si.base, t)
	}
	si.sigOf, si.classes = map[string]uint32{}, map[string]*class{}
	si.baseSig = si.sig(si.base)
	si.idSig = map[uint32]uint32{}
	for t := range si.bit {
		if id, err := ParseID(t); err == nil && t[0] != '0' {
			b := slices.Clone(si.base)
			si.setBit(b, t)
			si.idSig[id] = si.sig(b)
		}
	}
}

func (si *setIndex) setBit(to []uint64, tag string) {
	if b, ok := si.bit[tag]; ok {
		to[b/64] |= 1 << (b % 64)
	}
}

func bitsKey(b []uint64) []byte {
	key := make([]byte, 0, 8*len(b))
	for _, w := range b {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	return key
}

// sig numbers a set of context-level tags.
func (si *setIndex) sig(b []uint64) uint32 {
	key := bitsKey(b)
	si.mu.Lock()
	defer si.mu.Unlock()
	if id, ok := si.sigOf[string(key)]; ok {
		return id
	}
	id := uint32(len(si.sigs))
	si.sigs = append(si.sigs, slices.Clone(b))
	si.sigOf[string(key)] = id
	return id
}

// full reports that no more signatures should be numbered.
func (si *setIndex) full() bool {
	si.mu.RLock()
	defer si.mu.RUnlock()
	return len(si.sigs) >= maxSigs
}

// pairClass is the class of a numbered signature, a permission set and the
// roll-outs of the subject.
func (si *setIndex) pairClass(su Subject, sig, perms uint32, tags []string) *class {
	rollouts, numbered := uint64(0), true
	if len(si.rollouts) > 0 {
		rollouts, numbered = si.rolloutKey(su)
	}
	at := &si.pairs[tables.Mix((uint64(sig)<<32|uint64(perms))^rollouts*0x9e3779b97f4a7c15)%pairCache]
	if p := at.Load(); p != nil && p.sig == sig && p.perms == perms && p.rollouts == rollouts && numbered {
		return p.class
	}
	si.mu.RLock()
	b := slices.Clone(si.sigs[sig])
	si.mu.RUnlock()
	for _, t := range tags {
		si.setBit(b, t)
	}
	si.setRollouts(b, su)
	c := si.classOf(b)
	if numbered {
		at.Store(&pairEntry{sig, perms, rollouts, c})
	}
	return c
}

// classOf finds or computes the class of a subject's tags before addTags.
func (si *setIndex) classOf(b []uint64) *class {
	key := bitsKey(b)
	si.mu.RLock()
	c, ok := si.classes[string(key)]
	si.mu.RUnlock()
	if ok {
		return c
	}
	c = &class{matched: make([]uint64, (len(si.blocks)+63)/64)}
	all := slices.Clone(b)
	si.fixpoint(all, nil)
	for i := range si.blocks {
		if si.blocks[i].expr != nil && si.blocks[i].prog.Eval(all) {
			c.matched[si.rank[i]/64] |= 1 << (si.rank[i] % 64)
		}
	}
	si.mu.Lock()
	defer si.mu.Unlock()
	if len(si.classes) >= maxClasses {
		clear(si.classes)
	}
	si.classes[string(key)] = c
	return c
}

// fixpoint adds the addTags of matching blocks to tags: the first block in
// order that matches and adds something new adds it, then the search starts
// over (docs/reference/cascade.md#tags). A block is looked at again only when a
// tag that its expression reads came: nothing else can have changed its answer.
func (si *setIndex) fixpoint(tags []uint64, added func(block, bit int)) {
	if len(si.adders) == 0 {
		return
	}
	todo := make([]uint64, (len(si.blocks)+63)/64)
	for _, i := range si.adders {
		todo[i/64] |= 1 << (i % 64)
	}
	for w := 0; w < len(todo); {
		if todo[w] == 0 {
			w++
			continue
		}
		i := w*64 + bits.TrailingZeros64(todo[w])
		todo[w] &^= 1 << (i % 64)
		b := &si.blocks[i]
		if !b.prog.Eval(tags) {
			continue
		}
		for _, t := range b.addBits {
			if tags[t/64]&(1<<(t%64)) != 0 {
				continue
			}
			tags[t/64] |= 1 << (t % 64)
			if added != nil {
				added(i, t)
			}
			for _, m := range si.mentions[t] {
				todo[m/64] |= 1 << (m % 64)
				w = min(w, int(m/64))
			}
		}
	}
}
