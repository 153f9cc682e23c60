package cascade

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed47708276/sluice/cascade/tables"
)

// TestAgreesWithModel resolves every property for every subject of random
// worlds with the engine and with the plain rules, while the worlds change.
func TestAgreesWithModel(t *testing.T) {
	for seed := range uint64(rounds(12, 2000)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			w := randomWorld(r)
			w.write(t, dir)
			e := openEngine(t, Options{Roots: []string{dir}})
			must(t, e.Apply(w.batch()))
			w.agree(t, e)
			for range 4 {
				w.change(t, r, e)
				w.write(t, dir)
				reload(t, e)
				w.agree(t, e)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// change changes a part of the world: files in the world alone, the directory
// in the engine too.
func (w *world) change(t *testing.T, r *rand.Rand, e *Engine) {
	t.Helper()
	switch r.IntN(6) {
	case 0:
		w.randomPath(r)
	case 1:
		w.randomSets(r, "contextSets/b.yml", r.IntN(5)+1)
	case 2:
		delete(w.sets, "contextSets/a.yml")
		delete(w.meta, "meta/a.yaml")
	case 3:
		w.randomProperties(r, "f0/new.properties")
		delete(w.server, "f0/a.properties")
	case 4:
		b := Batch{}
		for k := range w.overrides {
			if r.IntN(3) == 0 {
				b.DeleteOverrides = append(b.DeleteOverrides, k)
				delete(w.overrides, k)
			}
		}
		for range 10 {
			w.randomOverride(r)
		}
		b.Overrides = slices.Collect(maps.Values(w.overrides))
		must(t, e.Apply(b))
	case 5:
		id := 1 + uint32(r.IntN(4))
		delete(w.contexts, id)
		for su := range w.users {
			if su.Context == id {
				delete(w.users, su)
			}
		}
		for k := range w.overrides {
			if k.Context == id {
				delete(w.overrides, k)
			}
		}
		must(t, e.Apply(Batch{DeleteContexts: []uint32{id}}))
		w.contexts[id] = &Context{ID: id, Enabled: true, Tags: some(r, modelTags, 3)}
		must(t, e.Apply(Batch{Contexts: []Context{*w.contexts[id]}}))
	}
}

// agree compares every way to a value with the model.
func (w *world) agree(t *testing.T, e *Engine) {
	t.Helper()
	sn := e.Snapshot()
	enabled := e.Bool("com.openexchange.websockets.enabled")
	for _, su := range w.subjects() {
		tags := w.tags(su)
		var have []string
		for _, tag := range sn.Tags(su) {
			have = append(have, tag.Tag)
		}
		if want := slices.Sorted(maps.Keys(tags)); !slices.Equal(have, want) {
			t.Fatalf("tags of %v: %q, want %q", su, have, want)
		}
		var names []string
		for _, name := range append([]string{PropScopes, "never.defined"}, modelProps...) {
			text, scope := w.resolve(su, name, tags)
			if scope != "" {
				names = append(names, name)
			}
			v, _ := sn.Get(su, name)
			if v.Scope == ScopeDefault {
				v.Scope, v.Text = "", ""
			}
			if v.Text != text || v.Scope != scope {
				t.Fatalf("%s for %v: %q in %q, want %q in %q\n%+v", name, su, v.Text, v.Scope, text, scope, sn.Explain(su, name, ExplainOptions{Verbose: true}))
			}
			if name == "com.openexchange.websockets.enabled" && enabled.For(su) != (scope == "" || strings.EqualFold(strings.TrimSpace(text), "true")) {
				t.Fatalf("%s for %v is %t, the text is %q", name, su, enabled.For(su), text)
			}
			if name == "com.openexchange.websockets.count" {
				w.agreeCount(t, su, text, ValueOf[int64](sn, su, name))
			}
			if err := consistent(sn, su, name); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(names)
		if got := sn.Names(su); !slices.Equal(got, names) {
			t.Fatalf("names of %v: %q, want %q", su, got, names)
		}
	}
}

// agreeCount allows for text that does not fit what was good before, which the
// model does not remember.
func (w *world) agreeCount(t *testing.T, su Subject, text string, got int64) {
	t.Helper()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 1 && n <= 64 && got != n || got < 1 || got > 64 {
		t.Fatalf("count for %v is %d, the text is %q", su, got, text)
	}
}

// consistent compares the ways to a value that one snapshot has.
func consistent(sn *Snapshot, su Subject, name string) error {
	v, ok := sn.Get(su, name)
	x := sn.Explain(su, name, ExplainOptions{Verbose: true, ShowSecrets: true})
	value, scope := "", ""
	if x.Value != nil {
		value = *x.Value
	}
	if x.Scope != nil {
		scope = *x.Scope
	}
	switch {
	case ok != (x.Scope != nil), scope != v.Scope:
		return fmt.Errorf("%s for %v: Get says %v %+v, Explain %+v", name, su, ok, v, x)
	case scope != ScopeDefault && value != v.Text:
		return fmt.Errorf("%s for %v: Get says %q, Explain %q", name, su, v.Text, value)
	case !reflect.DeepEqual(x.Effective, effectiveJSON(v.Effective)):
		return fmt.Errorf("%s for %v: Get says %v, Explain %v", name, su, v.Effective, x.Effective)
	}
	// Of text that is no boolean the last good value is in force, if there is one.
	want, declared := v.Effective.(bool)
	if !declared {
		want = tables.BoolBits(v.Text) == tables.BitTrue
	}
	if b, found := sn.Bool(su, name); found != ok || b != want {
		return fmt.Errorf("%s for %v: Get says %q, Bool %t, %t", name, su, v.Text, b, found)
	}
	wins := 0
	for _, st := range x.Steps {
		if st.Status == Wins {
			wins++
			if st.Scope != scope || *st.Value != value || !reflect.DeepEqual(st.Origin, x.Origin) {
				return fmt.Errorf("%s for %v: the winning step is %+v of %+v", name, su, st, x)
			}
		}
		for _, s := range st.Sets {
			if st.Status == Wins && s.Matched {
				if s.Set != st.Origin.Set || s.File != st.Origin.File || s.Line != st.Origin.Line {
					return fmt.Errorf("%s for %v: the first set that matches is %+v, not %+v", name, su, s, st.Origin)
				}
				break
			}
		}
	}
	if wins != 0 && scope == ScopeDefault || wins != 1 && scope != "" && scope != ScopeDefault {
		return fmt.Errorf("%s for %v: %d winning steps in %+v", name, su, wins, x)
	}
	if _, err := json.Marshal(x); err != nil {
		return err
	}
	return nil
}

// TestConsistentDuringReloads reads while files and overrides change: within a
// snapshot every way to a value agrees.
func TestConsistentDuringReloads(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(42, 42))
	dir := t.TempDir()
	w := randomWorld(r)
	w.write(t, dir)
	e := openEngine(t, Options{Roots: []string{dir}})
	must(t, e.Apply(w.batch()))
	var stop atomic.Bool
	var readers sync.WaitGroup
	enabled := e.Bool("com.openexchange.websockets.enabled")
	for i := range 3 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			for !stop.Load() {
				sn, su, name := e.Snapshot(), pick(r, w.subjects()), pick(r, modelProps)
				if err := consistent(sn, su, name); err != nil {
					t.Error(err)
					return
				}
				if b, _ := sn.Bool(su, "com.openexchange.websockets.enabled"); b != enabled.In(sn, su) {
					t.Errorf("the handle disagrees for %v", su)
				}
			}
		})
	}
	for range rounds(25, 3000) {
		w.change(t, r, e)
		w.write(t, dir)
		reload(t, e)
	}
	stop.Store(true)
	readers.Wait()
}
