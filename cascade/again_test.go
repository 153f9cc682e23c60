package cascade

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestAgainIsFromNothing changes random trees at random, and holds each tree that was
// gone on with against one that is made from nothing: by the same engine with the same
// last good entries, and by a new one where none counts.
func TestAgainIsFromNothing(t *testing.T) {
	gone, anew, compared := 0, 0, 0
	for seed := range uint64(rounds(25, 2000)) {
		r := rand.New(rand.NewPCG(seed, 42))
		dirs := []string{t.TempDir(), t.TempDir()}
		w := &againTree{r: r, dirs: dirs, clean: seed%2 == 0}
		for range 12 + r.IntN(10) {
			w.put(t, w.path(), w.text)
		}
		for i := range 6 { // so that one change is a small part of the tree
			w.put(t, fmt.Sprintf("still/%d.properties", i), func(string) string { return w.properties() })
		}
		e := openEngine(t, Options{Roots: dirs, TolerateBadFiles: true, Schema: againSchema(t)})
		defer e.Subscribe([]string{"plain.one"}, func([]EffectiveChange) {})()
		for step := range 25 {
			old := e.Snapshot()
			what := w.edit(t)
			if r.IntN(4) == 0 {
				what += ", " + w.edit(t)
			}
			result := reload(t, e)
			sn := e.Snapshot()
			if t.Failed() || sn == old {
				continue
			}
			full := build(e.set, e.opt.Schema, sn.names.Fork(), old.tree.carry, e.opt.Getenv)
			if diff := sameCompiled(full, sn.tree); diff != "" {
				t.Fatalf("seed %d, step %d, %s: %s", seed, step, what, diff)
			}
			if sn.tree.made.after(old.tree) {
				gone++
				then, also := *old, *sn
				then.tree, also.tree = treeOf(old.tree), treeOf(sn.tree)
				if all := changes(&then, &also); !reflect.DeepEqual(all, result.Changed) {
					t.Fatalf("seed %d, step %d, %s: changed %+v, want %+v", seed, step, what, result.Changed, all)
				}
			} else {
				anew++
			}
			if len(errorsOf(sn)) > 0 {
				continue // what was good before may count
			}
			compared++
			w.sameAsNew(t, sn, fmt.Sprintf("seed %d, step %d, %s", seed, step, what))
		}
	}
	if gone < anew/2 || anew == 0 || compared < anew/3 {
		t.Errorf("%d trees were gone on with, %d made anew, %d compared with those of a new engine", gone, anew, compared)
	}
}

// againSchema has properties of one member alone, and some that must fit together.
func againSchema(t *testing.T) *Schema {
	t.Helper()
	s := testSchema(t).Together(Group{
		Names: []string{"com.openexchange.websockets.count", "com.openexchange.websockets.mode"},
		Check: func(v []any) error {
			if v[0] == int64(64) && v[1] == "remember" {
				return errors.New("64 are too many to remember")
			}
			return nil
		},
	})
	s.decls[s.byName["com.openexchange.websockets.hosts"]].Local = true
	return s
}

// treeOf is a tree that follows none, with sets of its own.
func treeOf(from *compiled) *compiled {
	t := *from
	t.made = made{}
	t.sets = &setIndex{blocks: from.sets.blocks, defs: from.sets.defs, defAt: from.sets.defAt}
	return &t
}

// sameAsNew compares what callers see with a new engine.
func (w *againTree) sameAsNew(t *testing.T, sn *Snapshot, at string) {
	t.Helper()
	fresh := openEngine(t, Options{Roots: w.dirs, TolerateBadFiles: true, Schema: againSchema(t)}).Snapshot()
	if sn.Digest() != fresh.Digest() || sn.SharedDigest() != fresh.SharedDigest() {
		t.Fatalf("%s: digest %s %s, want %s %s", at, sn.Digest(), sn.SharedDigest(), fresh.Digest(), fresh.SharedDigest())
	}
	for what, pair := range map[string][2]any{
		"findings": {sn.Findings(), fresh.Findings()},
		"files":    {sn.Files(), fresh.Files()},
		"names":    {sn.AllNames(), fresh.AllNames()},
		"lint":     {sn.Lint(), fresh.Lint()},
		"patterns": {sn.schema.secretPatterns(), fresh.schema.secretPatterns()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Fatalf("%s: %s\n%+v, want\n%+v", at, what, pair[0], pair[1])
		}
	}
	for _, su := range []Subject{{}, {Context: 1}, {Context: 2, User: 3}} {
		for _, name := range fresh.AllNames() {
			have, want := sn.Explain(su, name, ExplainOptions{Verbose: true}), fresh.Explain(su, name, ExplainOptions{Verbose: true})
			have.Generation, want.Generation = 0, 0
			if !reflect.DeepEqual(have, want) {
				t.Fatalf("%s: %s for %v\n%+v, want\n%+v", at, name, su, have, want)
			}
		}
	}
}

// sameCompiled says what differs between two trees; "": nothing.
func sameCompiled(want, have *compiled) string {
	for what, pair := range map[string][2]any{
		"digest":   {want.digest, have.digest},
		"shared":   {want.shared, have.shared},
		"files":    {want.files, have.files},
		"keys":     {want.keys, have.keys},
		"contents": {want.contents, have.contents},
		"final":    {want.final, have.final},
		"meta":     {want.meta, have.meta},
		"goods":    {want.goods, have.goods},
		"unused":   {want.unused, have.unused},
		"path":     {want.path, have.path},
		"findings": {want.findings, have.findings},
		"reports":  {want.reports, have.reports},
		"carry":    {want.carry, have.carry},
		"tokens":   {want.made.tokens, have.made.tokens},
		"plain":    {want.made.plain, have.made.plain},
		"sums":     {want.made.sums, have.made.sums},
		"kinds":    {[][]int{want.made.meta, want.made.sets, want.made.settings}, [][]int{have.made.meta, have.made.sets, have.made.settings}},
		"used":     {want.server.used, have.server.used},
		"blocks":   {blocksOf(want.sets), blocksOf(have.sets)},
		"defs":     {defsOf(want.sets), defsOf(have.sets)},
		"base":     {want.sets.base, have.sets.base},
		"unfit":    {want.unfit, have.unfit},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fmt.Sprintf("%s\n%+v, want\n%+v", what, pair[1], pair[0])
		}
	}
	for p := range uint32(pageSize * max(len(want.server.pages), len(have.server.pages))) {
		a, b := want.server.at(p), have.server.at(p)
		if (a == nil) != (b == nil) || a != nil && *a != *b {
			return fmt.Sprintf("property %d: %+v, want %+v", p, b, a)
		}
	}
	return ""
}

func blocksOf(si *setIndex) (out []string) {
	for _, b := range si.blocks {
		out = append(out, fmt.Sprint(b.file, b.name, b.line, b.priority, b.expr, b.addTags, b.stale))
	}
	return append(out, fmt.Sprint(si.rank))
}

func defsOf(si *setIndex) (out []setDef) {
	for p := range si.defAt {
		out = append(out, si.list(uint32(p))...)
	}
	return out
}

// againTree is a tree of two roots on the disk.
type againTree struct {
	r    *rand.Rand
	dirs []string
	have []string // of files, whole paths
	// clean trees have no error, so that a new engine is to say the same.
	clean bool
}

var againProps = append([]string{
	"a", "b.c", "b.d", "some.password", PropScopes, PropShrinkHold, PropSecrets,
}, modelProps...)

func (w *againTree) path() string {
	return pick(w.r, []string{
		"a.properties", "b.properties", "d/c.properties", "d/a.properties", "e/z.properties", "zz.properties", "hazelcast/h.properties",
		"contextSets/a.yml", "contextSets/b.yml", "meta/a.yml", "meta/z.yml", "settings/s.properties", "settings/s.yml",
	})
}

func (w *againTree) put(t *testing.T, rel string, text func(rel string) string) {
	t.Helper()
	path := filepath.Join(pick(w.r, w.dirs), rel)
	write(t, filepath.Dir(path), filepath.Base(path), text(rel))
	if !slices.Contains(w.have, path) {
		w.have = append(w.have, path)
	}
}

// one picks a text; in a clean tree, of those before the first that is wrong.
func (w *againTree) one(good []string, wrong ...string) string {
	if w.clean {
		return pick(w.r, good)
	}
	return pick(w.r, append(slices.Clone(good), wrong...))
}

func (w *againTree) value(name string) string {
	if v := map[string][]string{
		"com.openexchange.websockets.enabled": {"true", "false"}, "com.openexchange.websockets.count": {"1", "63", "64"},
		"com.openexchange.websockets.mode": {"calculate", "remember"},
	}[name]; w.clean && v != nil {
		return pick(w.r, v)
	}
	if v := modelValues[name]; v != nil && w.r.IntN(3) > 0 {
		return pick(w.r, v)
	}
	switch name {
	case PropScopes:
		return w.one([]string{"user, context, contextSets, server", "user, contextSets, server", "server"}, "", "nobody")
	case PropSecrets:
		return pick(w.r, []string{"", "b.*", "*c, a"})
	case PropShrinkHold:
		return w.one([]string{"100", "200"}, "x")
	}
	return pick(w.r, []string{
		"1", "2", "3", "x", "", "true", "{{HOME_OF:none}}", "{{UNKNOWN}}", "{{file<a.properties> a:none}}", "{{file<c.properties> b.c}}", "two words",
	})
}

func (w *againTree) properties() string {
	var b strings.Builder
	for range w.r.IntN(8) {
		name := pick(w.r, againProps)
		if name == PropScopes && w.r.IntN(4) > 0 {
			continue
		}
		fmt.Fprintf(&b, "%s=%s\n", strings.ReplaceAll(name, " ", "\\ "), strings.ReplaceAll(w.value(name), "\\", "\\\\"))
	}
	return b.String()
}

func (w *againTree) text(rel string) string {
	if !w.clean && w.r.IntN(25) == 0 {
		return pick(w.r, []string{"=no key\n", "a: [\n", "x: 1\nx\n", ""})
	}
	if strings.HasSuffix(rel, ".properties") {
		return w.properties()
	}
	var b strings.Builder
	for i := range 1 + w.r.IntN(4) {
		name := pick(w.r, againProps)
		switch strings.Split(rel, "/")[0] {
		case "contextSets":
			tags := w.one([]string{"1", "2 & !t1", "t2 | 1", "{{WITH:t1}}"}, "t1 & | t2", "t1 & t2 | 1")
			fmt.Fprintf(&b, "set%d:\n  withTags: %q\n  %q: %q\n", i, tags, name, w.value(name))
			if w.r.IntN(3) == 0 {
				fmt.Fprintf(&b, "  addTags: %s\n", pick(w.r, modelTags))
			}
		case "meta":
			fmt.Fprintf(&b, "%q:\n  %s\n", name, w.one([]string{
				"final: server", "value: 7", "value: '{{HOME_OF:none}}'", "protected: true", "preferencePath: x/y",
			}, "final: nowhere", "protected: perhaps"))
		default:
			fmt.Fprintf(&b, "%q: %q\n", name, w.value(name))
		}
	}
	return b.String()
}

// edit changes the tree a little, and says how.
func (w *againTree) edit(t *testing.T) string {
	t.Helper()
	at := w.r.IntN(len(w.have))
	path := w.have[at]
	rel := strings.TrimPrefix(strings.TrimPrefix(path, w.dirs[0]+"/"), w.dirs[1]+"/")
	switch w.r.IntN(12) {
	case 0:
		if len(w.have) < 8 {
			return "nothing"
		}
		must(t, os.Remove(path))
		w.have = slices.Delete(w.have, at, at+1)
		return "removed " + rel
	case 1:
		to := w.path()
		w.put(t, to, w.text)
		return "put " + to
	case 2:
		to := filepath.Join(filepath.Dir(path), "moved"+filepath.Base(path))
		must(t, os.Rename(path, to))
		w.have[at] = to
		return "renamed " + rel
	case 3, 4: // lines move from one file to another
		other := pick(w.r, w.have)
		if filepath.Ext(other) != ".properties" || filepath.Ext(path) != ".properties" || other == path {
			return "nothing"
		}
		a, err := os.ReadFile(path)
		must(t, err)
		b, err := os.ReadFile(other)
		must(t, err)
		lines := strings.SplitAfter(string(a), "\n")
		cut := w.r.IntN(len(lines))
		must(t, os.WriteFile(path, []byte(strings.Join(lines[:cut], "")), 0o600))
		must(t, os.WriteFile(other, append(b, strings.Join(lines[cut:], "")...), 0o600))
		return "lines of " + rel + " to " + other
	}
	must(t, os.WriteFile(path, []byte(w.text(rel)), 0o600))
	return "wrote " + rel
}
