package cascade

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// world is a random tree and directory as data. Its resolver reads the rules of
// docs/reference/cascade.md word by word, over maps and lists of text: it
// shares no code with the engine, and is slow and plain.
type world struct {
	path      []string // the scopes
	server    map[string][]modelPair
	sets      map[string][]modelSet // file -> blocks
	meta      map[string][]modelPair
	contexts  map[uint32]*Context
	users     map[Subject]*User
	overrides map[Key]Override
	now       time.Time
}

type modelPair struct{ name, value string }

type modelSet struct {
	name     string
	expr     modelExpr
	adds     []string
	priority int
	props    []modelPair
}

// modelExpr is a tag, or an operator over others.
type modelExpr struct {
	op   string // "", "!", "&", "|"
	tag  string
	subs []modelExpr
}

func (x modelExpr) String() string {
	switch x.op {
	case "":
		return x.tag
	case "!":
		return "!(" + x.subs[0].String() + ")"
	}
	var parts []string
	for _, s := range x.subs {
		parts = append(parts, "("+s.String()+")")
	}
	return strings.Join(parts, " "+x.op+" ")
}

func (x modelExpr) match(tags map[string]bool) bool {
	switch x.op {
	case "":
		return tags[x.tag]
	case "!":
		return !x.subs[0].match(tags)
	case "&":
		return !slices.ContainsFunc(x.subs, func(s modelExpr) bool { return !s.match(tags) })
	}
	return slices.ContainsFunc(x.subs, func(s modelExpr) bool { return s.match(tags) })
}

func (x modelExpr) tags() []string {
	if x.op == "" {
		return []string{x.tag}
	}
	var all []string
	for _, s := range x.subs {
		all = append(all, s.tags()...)
	}
	return all
}

// rolloutTag is a roll-out: 1 name, 2 percent, 3 by context.
var rolloutTag = regexp.MustCompile(`^rollout\.([A-Za-z0-9_-]+)\.([1-9][0-9]?|100)(\.context)?$`)

func inRollout(tag string, su Subject) bool {
	m := rolloutTag.FindStringSubmatch(tag)
	if m == nil || su.Context == 0 || m[3] == "" && su.User == 0 {
		return false
	}
	if m[3] != "" {
		su.User = 0
	}
	finish := func(x *big.Int) *big.Int {
		word := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(1))
		x.Xor(x, new(big.Int).Rsh(x, 30))
		x.And(x.Mul(x, new(big.Int).SetUint64(0xbf58476d1ce4e5b9)), word)
		x.Xor(x, new(big.Int).Rsh(x, 27))
		x.And(x.Mul(x, new(big.Int).SetUint64(0x94d049bb133111eb)), word)
		return x.Xor(x, new(big.Int).Rsh(x, 31))
	}
	sum := sha256.Sum256([]byte("rollout." + m[1]))
	x := finish(new(big.Int).SetUint64(uint64(su.Context)<<32 + uint64(su.User)))
	x = finish(x.Xor(x, new(big.Int).SetBytes(sum[:8])))
	bucket := x.Rsh(x.Mul(x, big.NewInt(100)), 64).Int64() + 1
	percent, _ := strconv.ParseInt(m[2], 10, 64)
	return bucket <= percent
}

func inOrder[V any](m map[string][]V) []V {
	var all []V
	for _, file := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[file]...)
	}
	return all
}

func (w *world) serverValue(name string) (string, bool) {
	value, ok := "", false
	for _, p := range inOrder(w.server) {
		if p.name == name {
			value, ok = p.value, true
		}
	}
	return value, ok
}

func (w *world) override(su Subject, name string) (Override, bool) {
	o, ok := w.overrides[Key{Subject: su, Property: name}]
	return o, ok && (o.Expires.IsZero() || o.Expires.After(w.now))
}

func (w *world) tags(su Subject) map[string]bool {
	tags := map[string]bool{}
	if su.Context != 0 {
		tags[strconv.Itoa(int(su.Context))] = true
		if c := w.contexts[su.Context]; c != nil {
			if c.Name != "" {
				tags[c.Name] = true
			}
			for _, t := range c.Tags {
				tags[t] = true
			}
		}
	}
	if u := w.users[su]; u != nil {
		for _, p := range u.Permissions {
			tags["uc"+p] = true
		}
	}
	for _, scope := range w.path {
		if scope == ScopeContextSets {
			continue
		}
		v, _ := w.in(scope, su, PropTypes, nil)
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				tags[t] = true
			}
		}
	}
	for _, s := range inOrder(w.sets) {
		for _, t := range s.expr.tags() {
			if inRollout(t, su) {
				tags[t] = true
			}
		}
	}
	for again := su.Context != 0; again; {
		again = false
		for _, s := range inOrder(w.sets) {
			if !s.expr.match(tags) {
				continue
			}
			for _, t := range s.adds {
				if !tags[t] {
					tags[t], again = true, true
				}
			}
			if again {
				break
			}
		}
	}
	return tags
}

// in is what one scope says.
func (w *world) in(scope string, su Subject, name string, tags map[string]bool) (string, bool) {
	switch scope {
	case ScopeUser:
		if su.User != 0 {
			o, ok := w.override(su, name)
			return cond(ok, o.Value), ok
		}
	case ScopeContext:
		if su.Context != 0 {
			o, ok := w.override(Subject{Context: su.Context}, name)
			return cond(ok, o.Value), ok
		}
	case ScopeContextSets:
		all := inOrder(w.sets)
		slices.SortStableFunc(all, func(a, b modelSet) int { return cmp.Compare(b.priority, a.priority) })
		for _, s := range all {
			if su.Context == 0 || !s.expr.match(tags) {
				continue
			}
			for _, p := range s.props {
				if p.name == name {
					return p.value, true
				}
			}
		}
	case ScopeServer:
		return w.serverValue(name)
	}
	return "", false
}

func cond(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

// locked is the index in the path of the first scope that may say something.
func (w *world) locked(su Subject, name string) int {
	at := func(scope string) int { return slices.Index(w.path, scope) }
	final := -1
	for _, p := range inOrder(w.meta) {
		if p.name == name && at(p.value) >= 0 {
			final = at(p.value)
		}
	}
	if final >= 0 && at(ScopeServer) >= 0 {
		return final
	}
	if o, ok := w.override(Subject{Context: su.Context}, name); ok && su.Context != 0 && at(ScopeContext) >= 0 && at(o.Final) >= 0 {
		return at(o.Final)
	}
	if o, ok := w.override(su, name); ok && su.User != 0 && at(ScopeUser) >= 0 && at(o.Final) >= 0 {
		return at(o.Final)
	}
	return 0
}

// resolve returns the text and its scope; "" is not defined.
func (w *world) resolve(su Subject, name string, tags map[string]bool) (value, scope string) {
	for _, scope := range w.path[w.locked(su, name):] {
		if v, ok := w.in(scope, su, name, tags); ok {
			return v, scope
		}
	}
	return "", ""
}
