package cascade

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tables"
)

var (
	modelProps = []string{
		"com.openexchange.websockets.enabled", "com.openexchange.websockets.count", "com.openexchange.websockets.mode",
		"com.openexchange.websockets.hosts", "plain.one", "plain.two", "io.ox/mail//features/x", "with blank", PropTypes,
	}
	modelValues = map[string][]string{
		"com.openexchange.websockets.enabled": {"true", "false", "TRUE", " true", "yes", ""},
		"com.openexchange.websockets.count":   {"1", "64", "65", "x", "", "08"},
		"com.openexchange.websockets.mode":    {"calculate", "REMEMBER", "no"},
		"com.openexchange.websockets.hosts":   {"", "a", "a, b"},
		PropTypes:                             {"t1", "t2, t3", " t4 ,, 3", ""},
	}
	modelTags  = []string{"t1", "t2", "t3", "t4", "t5", "t6", "acme", "other", "1", "3", "ucWebMail", "ucInfostore", "rollout.a.30", "rollout.a.60", "rollout.b.50.context", "rollout.a.0"}
	modelPaths = [][]string{
		tables.DefaultPath, tables.DefaultPath, tables.DefaultPath,
		{ScopeUser, ScopeContext, ScopeServer},
		{ScopeContextSets, ScopeServer},
		{ScopeServer, ScopeContextSets, ScopeContext, ScopeUser},
		{ScopeContext, ScopeReseller, ScopeContextSets, ScopeServer},
		{ScopeUser, ScopeContextSets},
	}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomWorld(r *rand.Rand) *world {
	w := &world{
		server: map[string][]modelPair{}, sets: map[string][]modelSet{}, meta: map[string][]modelPair{},
		contexts: map[uint32]*Context{}, users: map[Subject]*User{}, overrides: map[Key]Override{},
		now: time.Now(),
	}
	for i := range 1 + r.IntN(4) {
		w.randomProperties(r, fmt.Sprintf("f%d/%c.properties", i%2, 'a'+i))
	}
	w.randomPath(r)
	most := pick(r, []int{6, 6, 6, 60})
	for i := range r.IntN(4) {
		w.randomSets(r, fmt.Sprintf("contextSets/%c.yml", 'a'+i), 1+r.IntN(most))
	}
	for i := range r.IntN(3) {
		for _, p := range modelProps {
			if r.IntN(4) == 0 {
				file := fmt.Sprintf("meta/%c.yaml", 'a'+i)
				w.meta[file] = append(w.meta[file], modelPair{p, pick(r, tables.ScopeOrder)})
			}
		}
	}
	for id := uint32(1); id <= 4; id++ {
		if r.IntN(4) > 0 {
			w.contexts[id] = &Context{ID: id, Name: pick(r, []string{"", "acme", "other"}), Enabled: true, Tags: some(r, modelTags, 3)}
		}
		for u := uint32(1); u <= 3; u++ {
			if r.IntN(3) > 0 {
				w.users[Subject{Context: id, User: u}] = &User{Context: id, ID: u, Enabled: true, Permissions: some(r, []string{"WebMail", "Infostore"}, 2)}
			}
		}
	}
	for range r.IntN(40) {
		w.randomOverride(r)
	}
	return w
}

func some(r *rand.Rand, from []string, most int) []string {
	list := slices.Clone(from)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:r.IntN(most+1)]
}

func randomValue(r *rand.Rand, name string) string {
	if v := modelValues[name]; v != nil {
		return pick(r, v)
	}
	return fmt.Sprintf("value %d", r.IntN(100))
}

// randomProperties fills a file; values are trimmed as files trim them.
func (w *world) randomProperties(r *rand.Rand, file string) {
	w.server[file] = nil
	for range r.IntN(10) {
		name := pick(r, modelProps)
		w.server[file] = append(w.server[file], modelPair{name, strings.TrimSpace(randomValue(r, name))})
	}
}

// randomPath has a file of its own that wins over every other.
func (w *world) randomPath(r *rand.Rand) {
	w.path = pick(r, modelPaths)
	w.server["z.properties"] = []modelPair{{PropScopes, strings.Join(w.path, " ,")}}
}

func randomExpr(r *rand.Rand, depth int) modelExpr {
	switch n := r.IntN(6); {
	case depth == 0 || n < 2:
		return modelExpr{tag: pick(r, modelTags)}
	case n == 2:
		return modelExpr{op: "!", subs: []modelExpr{randomExpr(r, depth-1)}}
	default:
		return modelExpr{op: pick(r, []string{"&", "|"}), subs: []modelExpr{randomExpr(r, depth-1), randomExpr(r, depth-1)}}
	}
}

func (w *world) randomSets(r *rand.Rand, file string, count int) {
	w.sets[file] = nil
	for i := range count {
		s := modelSet{name: fmt.Sprintf("set%d", i), expr: randomExpr(r, 3), priority: pick(r, []int{0, 0, 0, 5, -5})}
		if r.IntN(3) == 0 {
			s.adds = append(some(r, modelTags[:6], 2), pick(r, modelTags[:6]))
		}
		for _, name := range modelProps {
			if r.IntN(3) == 0 {
				s.props = append(s.props, modelPair{name, randomValue(r, name)})
			}
		}
		w.sets[file] = append(w.sets[file], s)
	}
}

func (w *world) randomOverride(r *rand.Rand) {
	k := Key{Subject: Subject{Context: 1 + uint32(r.IntN(5)), User: uint32(r.IntN(4))}, Property: pick(r, modelProps)}
	o := Override{Key: k, Value: randomValue(r, k.Property), Reason: "test", Actor: "model"}
	if r.IntN(4) == 0 {
		o.Final = pick(r, tables.ScopeOrder)
	}
	switch r.IntN(5) {
	case 0:
		o.Expires = w.now.Add(-time.Hour)
	case 1:
		o.Expires = w.now.Add(time.Hour)
	}
	w.overrides[k] = o
}

// write puts the files of the world into a folder, replacing what is there.
func (w *world) write(t testing.TB, dir string) {
	t.Helper()
	files := map[string]string{}
	key := strings.NewReplacer(" ", `\ `, ":", `\:`)
	for file, pairs := range w.server {
		for _, p := range pairs {
			files[file] += key.Replace(p.name) + " = " + p.value + "\n"
		}
		files[file] += "# end\n"
	}
	for file, sets := range w.sets {
		for _, s := range sets {
			files[file] += fmt.Sprintf("%s:\n  withTags: %q\n  priority: %d\n", s.name, s.expr, s.priority)
			if len(s.adds) > 0 {
				files[file] += fmt.Sprintf("  addTags: %q\n", strings.Join(s.adds, ", "))
			}
			for _, p := range s.props {
				files[file] += fmt.Sprintf("  %q: %q\n", p.name, p.value)
			}
		}
	}
	for file, pairs := range w.meta {
		for _, p := range pairs {
			files[file] += fmt.Sprintf("%q: {final: %s}\n", p.name, p.value)
		}
	}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if _, stays := files[filepath.ToSlash(rel)]; err != nil || d.IsDir() || stays {
			return err
		}
		return os.Remove(path)
	}))
	for name, data := range files {
		write(t, dir, name, data)
	}
}

// batch replaces everything that the engine has by the directory of the world.
func (w *world) batch() Batch {
	b := Batch{}
	for _, c := range w.contexts {
		b.Contexts = append(b.Contexts, *c)
	}
	for _, u := range w.users {
		b.Users = append(b.Users, *u)
	}
	for _, o := range w.overrides {
		b.Overrides = append(b.Overrides, o)
	}
	return b
}

func (w *world) subjects() []Subject {
	list := []Subject{{}}
	for c := uint32(1); c <= 5; c++ {
		for u := uint32(0); u <= 4; u++ {
			list = append(list, Subject{Context: c, User: u})
		}
	}
	return list
}
