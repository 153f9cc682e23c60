package cascade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

func (l *linter) fail(file string, line int, code, format string, args ...any) {
	l.out = append(l.out, finding.Finding{Path: file, Line: line, Severity: finding.Error, Code: code, Text: fmt.Sprintf(format, args...)})
}

// rollouts finds uses of roll-outs that mean something else where nothing
// computes them. The existing system has no such tag: what asks for one is off
// there, but what asks for its absence is on for everybody, and so is what asks
// for the absence of a tag that only members of a roll-out are given.
func (l *linter) rollouts() {
	si := l.sn.tree.sets
	derived := l.derivedTags()
	for i := range si.blocks {
		b := &si.blocks[i]
		for _, t := range b.addTags {
			if isRolloutLike(t) {
				l.fail(b.file, b.line, "rollout-given", "context set %s adds %s, which is computed: give a tag of another name, or ask for it in withTags", b.name, t)
			}
		}
		if b.expr == nil {
			continue
		}
		for _, t := range b.expr.Tags() {
			if _, ok := parseRollout(t); !ok && isRolloutLike(t) {
				l.warn(b.file, b.line, "bad-rollout", "context set %s: nobody has the tag %s: a roll-out is rollout.NAME.P or rollout.NAME.P.context, NAME letters, digits, - and _ (at most %d), P from 1 to %d",
					b.name, t, maxRolloutName, rolloutBuckets)
			}
		}
		for _, t := range b.expr.Negated() {
			if _, ok := parseRollout(t); ok {
				l.fail(b.file, b.line, "rollout-negated", "context set %s asks for the absence of %s: a greater percentage would take it from users, and in the existing system, which has no roll-outs, it is on for all: put what these users get into a set that asks for the roll-out", b.name, t)
			} else if by := derived[t]; by != nil {
				l.fail(b.file, b.line, "rollout-negated", "context set %s asks for the absence of %s, which context set %s (%s:%d) gives to those in a roll-out: a greater percentage would take it from users, and in the existing system, which has no roll-outs, it is on for all",
					b.name, t, by.name, by.file, by.line)
			}
		}
	}
	l.storedRollouts()
}

// derivedTags are the tags that sets add because of a roll-out, each with the
// first set that does so.
func (l *linter) derivedTags() map[string]*setBlock {
	si := l.sn.tree.sets
	derived := map[string]*setBlock{}
	for again := true; again; {
		again = false
		for _, i := range si.adders {
			b := &si.blocks[i]
			because := slices.ContainsFunc(b.expr.Tags(), func(t string) bool {
				_, ok := parseRollout(t)
				return ok || derived[t] != nil
			})
			for _, t := range b.addTags {
				if because && derived[t] == nil {
					derived[t], again = b, true
				}
			}
		}
	}
	return derived
}

// maxStoredRollouts is how many contexts are named one by one.
const maxStoredRollouts = 10

// storedRollouts finds contexts that are given a roll-out's tag, which puts
// them in beside those that are in by their bucket.
func (l *linter) storedRollouts() {
	var ids []uint32
	tags := map[uint32]string{}
	l.sn.tables.EachContext(func(c *Context) {
		if at := slices.IndexFunc(c.Tags, isRolloutLike); at >= 0 {
			ids, tags[c.ID] = append(ids, c.ID), c.Tags[at]
		}
	})
	slices.Sort(ids)
	var list []string
	for i, id := range ids {
		if i == maxStoredRollouts {
			list = append(list, fmt.Sprintf("%d more", len(ids)-i))
			break
		}
		list = append(list, fmt.Sprintf("%d (%s)", id, tags[id]))
	}
	if len(list) > 0 {
		l.warn(l.sn.source, 0, "rollout-given", "tags of roll-outs are computed, and these contexts are given one: %s: use a tag of another name", strings.Join(list, ", "))
	}
}

// impossible reports an assignment of tags that no subject can have: in the
// first 10 % of a roll-out, and not in the first 20 %. order is what
// rolloutOrder returns.
func impossible(order [][2]int, m uint64) bool {
	return slices.ContainsFunc(order, func(o [2]int) bool { return m>>o[0]&1 == 1 && m>>o[1]&1 == 0 })
}

// rolloutOrder lists the pairs of tags of which the first implies the second.
func rolloutOrder(tags []string) (order [][2]int) {
	for i, a := range tags {
		ra, ok := parseRollout(a)
		if !ok {
			continue
		}
		for j, b := range tags {
			if rb, ok := parseRollout(b); ok && ra.name == rb.name && ra.byContext == rb.byContext && ra.percent < rb.percent {
				order = append(order, [2]int{i, j})
			}
		}
	}
	return order
}
