package cascade

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
)

// A roll-out is the computed tag rollout.NAME.P of the users in the first P
// percent of NAME, or rollout.NAME.P.context of all users of a context that is
// among the first P percent of the contexts. Nothing stores it: each context
// and user has a fixed bucket in each NAME, from 1 to 100, and carries the tags
// whose P is the bucket or more. So a greater P only ever adds.
const (
	rolloutPrefix  = "rollout."
	contextSuffix  = ".context"
	rolloutBuckets = 100
	// maxRolloutName bounds NAME: a word, not a text.
	maxRolloutName = 64
)

// rollout is one such tag.
type rollout struct {
	name      string
	percent   uint32 // 1 to rolloutBuckets
	byContext bool
}

// isRolloutLike reports tags that are written as if they were roll-outs.
func isRolloutLike(tag string) bool { return strings.HasPrefix(tag, rolloutPrefix) }

// parseRollout reads a tag; ok is false for every other tag.
func parseRollout(tag string) (r rollout, ok bool) {
	rest, ok := strings.CutPrefix(tag, rolloutPrefix)
	if !ok {
		return r, false
	}
	rest, r.byContext = strings.CutSuffix(rest, contextSuffix)
	at := strings.LastIndexByte(rest, '.')
	if at < 1 || at > maxRolloutName {
		return r, false
	}
	var percent string
	r.name, percent = rest[:at], rest[at+1:]
	n, err := strconv.ParseUint(percent, 10, 8)
	// One spelling of each: 010 and +10 are no roll-outs.
	if err != nil || n < 1 || n > rolloutBuckets || strconv.FormatUint(n, 10) != percent {
		return r, false
	}
	r.percent = uint32(n)
	return r, !strings.ContainsFunc(r.name, func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// rolloutSeed is what tells one NAME's order of users from another's. It and
// rolloutBucket must never change: users would leave roll-outs that they are in.
func rolloutSeed(name string) uint64 {
	sum := sha256.Sum256([]byte(rolloutPrefix + name))
	return binary.BigEndian.Uint64(sum[:])
}

// rolloutBucket is the place of a context (user 0) or a user, 1 to 100.
func rolloutBucket(seed uint64, ctx, user uint32) uint32 {
	return uint32(tables.Place(tables.Mix(tables.Mix(uint64(ctx)<<32|uint64(user))^seed), rolloutBuckets)) + 1
}

// has reports whether a subject carries the tag. A view without a user is in no
// roll-out by user, one without a context in none at all.
func (r rollout) has(su Subject) (bucket uint32, in bool) {
	if r.byContext {
		su.User = 0
	} else if su.User == 0 {
		return 0, false
	}
	if su.Context == 0 {
		return 0, false
	}
	bucket = rolloutBucket(rolloutSeed(r.name), su.Context, su.User)
	return bucket, bucket <= r.percent
}

// sentence tells where a subject stands in the roll-out.
func (r rollout) sentence(su Subject) string {
	bucket, in := r.has(su)
	who := fmt.Sprintf("user %d", su.User)
	if r.byContext {
		who = fmt.Sprintf("context %d", su.Context)
	}
	switch {
	case bucket == 0 && !r.byContext && su.Context != 0:
		return fmt.Sprintf("only users are in roll-out %s, and no user was named", r.name)
	case bucket == 0:
		return fmt.Sprintf("without a context nobody is in roll-out %s", r.name)
	case in:
		return fmt.Sprintf("%s is in the first %d %% of roll-out %s (bucket %d)", who, r.percent, r.name, bucket)
	}
	return fmt.Sprintf("%s is not in the first %d %% of roll-out %s (bucket %d)", who, r.percent, r.name, bucket)
}

// rolloutGroup is the roll-outs of one NAME, by user or by context, that the
// expressions of an index read.
type rolloutGroup struct {
	seed      uint64
	byContext bool
	levels    []rolloutLevel // smallest percentage first
}

type rolloutLevel struct {
	percent uint32
	bit     int // of the tag in the index
}

// level is how many of the group's tags a subject lacks: it carries those from
// there on.
func (g *rolloutGroup) level(su Subject) int {
	user := su.User
	if g.byContext {
		user = 0
	} else if user == 0 {
		return len(g.levels)
	}
	bucket, n := rolloutBucket(g.seed, su.Context, user), uint32(0)
	for i := range g.levels {
		// 1 where the bucket is beyond it: a branch would be guessed wrongly.
		n += (g.levels[i].percent - bucket) >> 31
	}
	return int(n)
}

// addRollout notes a tag of the index if it is a roll-out.
func (si *setIndex) addRollout(tag string, bit int) {
	r, ok := parseRollout(tag)
	if !ok {
		return
	}
	seed := rolloutSeed(r.name)
	at := -1
	for i := range si.rollouts {
		if g := &si.rollouts[i]; g.seed == seed && g.byContext == r.byContext {
			at = i
		}
	}
	if at < 0 {
		at = len(si.rollouts)
		si.rollouts = append(si.rollouts, rolloutGroup{seed: seed, byContext: r.byContext})
	}
	g := &si.rollouts[at]
	i := 0
	for i < len(g.levels) && g.levels[i].percent < r.percent {
		i++
	}
	g.levels = append(g.levels, rolloutLevel{})
	copy(g.levels[i+1:], g.levels[i:])
	g.levels[i] = rolloutLevel{r.percent, bit}
}

// rolloutKey numbers which roll-outs a subject is in; ok is false where there
// are too many of them to number, which takes more than 24 names.
func (si *setIndex) rolloutKey(su Subject) (key uint64, ok bool) {
	for i := range si.rollouts {
		g := &si.rollouts[i]
		n := uint64(len(g.levels) + 1)
		if key > (math.MaxUint64-n)/n {
			return 0, false
		}
		key = key*n + uint64(g.level(su))
	}
	return key, true
}

// setRollouts sets the bits of the roll-outs that a subject is in.
func (si *setIndex) setRollouts(b []uint64, su Subject) {
	for i := range si.rollouts {
		g := &si.rollouts[i]
		for _, l := range g.levels[g.level(su):] {
			b[l.bit/64] |= 1 << (l.bit % 64)
		}
	}
}

// rolloutTags calls add with each roll-out tag that a subject is in and that
// some context set reads.
func (si *setIndex) rolloutTags(su Subject, add func(tag, from string)) {
	if su.Context == 0 {
		return
	}
	for i := range si.rollouts {
		g := &si.rollouts[i]
		for _, l := range g.levels[g.level(su):] {
			add(si.names[l.bit], TagFromRollout)
		}
	}
}

// TagFromRollout is where a Tag comes from that is computed: see Rollouts of
// Explanation.
const TagFromRollout = "rollout"

// RolloutTrace tells where a subject stands in a roll-out.
type RolloutTrace struct {
	Tag    string  `json:"tag"`
	Name   string  `json:"name"`
	Bucket *uint32 `json:"bucket"` // 1 to 100, fixed for the name; nil: the view has no user or context to number
	In     bool    `json:"in"`
	Text   string  `json:"text"` // the same as a sentence
}

// maxRolloutTraces bounds an explanation.
const maxRolloutTraces = 32

// explainRollouts lists the roll-outs that the sets which define a property ask
// for, and puts those of the winning set into the summary.
func (x *Explanation) explainRollouts(sn *Snapshot, su Subject, p uint32) {
	si := sn.tree.sets
	if len(si.rollouts) == 0 || int(p) >= len(si.defAt) || si.defAt[p] == 0 {
		return
	}
	seen := map[string]bool{}
	for _, def := range si.defs[si.defAt[p]].list {
		b := &si.blocks[def.block]
		if b.expr == nil {
			continue
		}
		wins := x.Scope != nil && *x.Scope == ScopeContextSets && x.Origin.File == b.file && x.Origin.Line == def.line
		for _, tag := range b.expr.Tags() {
			r, ok := parseRollout(tag)
			if !ok {
				continue
			}
			text := r.sentence(su)
			if wins {
				x.rolloutNotes = append(x.rolloutNotes, text)
			}
			if seen[tag] || len(x.Rollouts) == maxRolloutTraces {
				continue
			}
			seen[tag] = true
			t := RolloutTrace{Tag: tag, Name: r.name, Text: text}
			if bucket, in := r.has(su); bucket != 0 {
				t.Bucket, t.In = &bucket, in
			}
			x.Rollouts = append(x.Rollouts, t)
		}
	}
}

// rolloutNote is the sentence on the roll-outs of the set that wins.
func (x *Explanation) rolloutNote() string {
	if len(x.rolloutNotes) == 0 {
		return ""
	}
	s := strings.Join(x.rolloutNotes, "; ")
	return " " + strings.ToUpper(s[:1]) + s[1:] + "."
}
