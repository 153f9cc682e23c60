package cascade

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestUnchanged changes files, directory and overrides: what cannot concern a
// property is known not to.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	const sets = `a:
  withTags: gold
  com.openexchange.websockets.enabled: "false"
b:
  withTags: silver
  other: x
`
	override := func(property, value string) Batch {
		return Batch{Overrides: []Override{{Key: Key{Subject: Subject{Context: 1, User: 2}, Property: property}, Value: value}}}
	}
	for name, c := range map[string]struct {
		files map[string]string
		batch Batch
		want  bool
	}{
		"nothing":                            {want: true},
		"another property":                   {files: map[string]string{"p.properties": enabledProp + "=true\nother=2\n"}, want: true},
		"the same value in another file":     {files: map[string]string{"p.properties": "other=1\n", "q.properties": enabledProp + "=true\n"}, want: true},
		"the property":                       {files: map[string]string{"p.properties": enabledProp + "=false\n"}},
		"the property is gone":               {files: map[string]string{"p.properties": "other=1\n"}},
		"a set that does not name it":        {files: map[string]string{"contextSets/s.yml": sets + "c:\n  withTags: x\n  other: y\n"}, want: true},
		"a set that names it":                {files: map[string]string{"contextSets/s.yml": sets + "c:\n  withTags: x\n  " + enabledProp + ": true\n"}},
		"the expression of one that does":    {files: map[string]string{"contextSets/s.yml": "a:\n  withTags: gold | silver\n  " + enabledProp + ": \"false\"\n"}},
		"a set that adds tags":               {files: map[string]string{"contextSets/s.yml": sets + "c:\n  withTags: x\n  addTags: gold\n"}},
		"a priority":                         {files: map[string]string{"contextSets/s.yml": sets + "c:\n  withTags: gold\n  priority: 5\n  other: z\n"}, want: true},
		"tags of the server":                 {files: map[string]string{"t.properties": PropTypes + "=gold\n"}},
		"the path":                           {files: map[string]string{"t.properties": PropScopes + "=server\n"}},
		"strict accounts":                    {files: map[string]string{"t.properties": PropStrict + "=true\n"}},
		"metadata":                           {files: map[string]string{"meta/m.yml": enabledProp + ":\n  final: server\n"}},
		"metadata of another":                {files: map[string]string{"meta/m.yml": "other:\n  final: server\n"}, want: true},
		"another override":                   {batch: override("other", "1"), want: true},
		"an override":                        {batch: override(enabledProp, "false")},
		"an override that says the same":     {batch: Batch{Overrides: []Override{{Key: Key{Subject: Subject{Context: 1, User: 1}, Property: enabledProp}, Value: "true", Reason: "again"}}}, want: true},
		"an override that locks":             {batch: Batch{Overrides: []Override{{Key: Key{Subject: Subject{Context: 1, User: 1}, Property: enabledProp}, Value: "true", Final: ScopeUser}}}},
		"an override is gone":                {batch: Batch{DeleteOverrides: []Key{{Subject: Subject{Context: 1, User: 1}, Property: enabledProp}}}},
		"tags of a user":                     {batch: override(PropTypes, "gold")},
		"a context as it was":                {batch: Batch{Contexts: []Context{{ID: 1, Name: "one", Enabled: true, Tags: []string{"silver"}}}}, want: true},
		"tags of a context":                  {batch: Batch{Contexts: []Context{{ID: 1, Name: "one", Enabled: true, Tags: []string{"gold"}}}}},
		"a context that is disabled":         {batch: Batch{Contexts: []Context{{ID: 1, Name: "one", Tags: []string{"silver"}}}}},
		"a new user":                         {batch: Batch{Users: []User{{Context: 1, ID: 9, Enabled: true}}}},
		"a user as it was":                   {batch: Batch{Users: []User{{Context: 1, ID: 1, Enabled: true, Permissions: []string{"WebMail"}}}}, want: true},
		"permissions of a user":              {batch: Batch{Users: []User{{Context: 1, ID: 1, Enabled: true}}}},
		"a value that does not fit its type": {files: map[string]string{"p.properties": enabledProp + "=perhaps\nother=1\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "p.properties", enabledProp+"=true\nother=1\n")
			write(t, dir, "contextSets/s.yml", sets)
			e := openEngine(t, Options{Roots: []string{dir}})
			must(t, e.Apply(Batch{
				Contexts:  []Context{{ID: 1, Name: "one", Enabled: true, Tags: []string{"silver"}}},
				Users:     []User{{Context: 1, ID: 1, Enabled: true, Permissions: []string{"WebMail"}}},
				Overrides: []Override{{Key: Key{Subject: Subject{Context: 1, User: 1}, Property: enabledProp}, Value: "true"}},
			}))
			old := e.Snapshot()
			for file, text := range c.files {
				write(t, dir, file, text)
			}
			reload(t, e)
			must(t, e.Apply(c.batch))
			if got := e.Snapshot().Unchanged(old, enabledProp); got != c.want {
				t.Errorf("unchanged: %t", got)
			}
		})
	}
}

// TestUnchangedIsTrue changes random worlds: where nothing changed by what is
// compared, no subject's account or property did.
func TestUnchangedIsTrue(t *testing.T) {
	names := []string{enabledProp, "com.openexchange.websockets.mode"}
	unchanged := 0
	for seed := range uint64(rounds(40, 4000)) {
		r := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		w := randomWorld(r)
		w.write(t, dir)
		e := openEngine(t, Options{Roots: []string{dir}})
		must(t, e.Apply(w.batch()))
		for range 6 {
			old := e.Snapshot()
			w.change(t, r, e)
			w.write(t, dir)
			reload(t, e)
			now := e.Snapshot()
			if !now.Unchanged(old, names...) {
				continue
			}
			unchanged++
			for _, su := range w.subjects() {
				if a, b := old.Account(su), now.Account(su); a != b {
					t.Errorf("seed %d: the account of %v was %v and is %v", seed, su, a, b)
				}
				for _, n := range names {
					a, had := old.Get(su, n)
					b, has := now.Get(su, n)
					if fmt.Sprint(a, had) != fmt.Sprint(b, has) {
						t.Errorf("seed %d: %s of %v was %+v and is %+v", seed, n, su, a, b)
					}
				}
			}
		}
	}
	if unchanged == 0 {
		t.Error("every change was taken for one that may concern the properties")
	}
}
