package platform

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

var seed = flag.Uint64("platform.seed", 0, "of the random platforms; 0: another one each time")

// world is a platform as the model has it: what was meant, and not how it is
// stored.
type world struct {
	rnd       *rand.Rand
	contexts  map[uint32]*modelContext
	resellers map[uint32]*modelReseller
}

type modelContext struct {
	name, types string
	enabled     bool
	reseller    uint32
	config      map[string]modelValue
	users       map[uint32]*modelUser
}

type modelUser struct {
	enabled bool
	bits    uint32
	config  map[string]modelValue
}

type modelValue struct{ value, final string }

type modelReseller struct {
	parent     uint32
	taxonomies []string
	config     map[string]string
}

var (
	modelNames  = []string{"m.a", "m.b", "m.C", "m.c", "m.d"}
	modelValues = []string{"", "true", "false", " x ", "a;b", "100%", "%3B", `C:\temp`, "ü😀", "a\tb\nc", "=:#!", "x; final=server"}
	modelFinals = []string{"", "", "", cascade.ScopeUser, cascade.ScopeContext, cascade.ScopeReseller, cascade.ScopeContextSets, cascade.ScopeServer}
	modelServer = map[string]string{"m.a": "server", "m.C": "server C"}
	// Of the permissions, bit 0 is WebMail and bit 4 Infostore.
	modelSets = []struct {
		expression string
		match      func(map[string]bool) bool
		name       string
	}{
		{"gold & ucWebMail", func(t map[string]bool) bool { return t["gold"] && t["ucWebMail"] }, "m.a"},
		{`"!ucInfostore & t1"`, func(t map[string]bool) bool { return !t["ucInfostore"] && t["t1"] }, "m.a"},
		{"name7 | 9 | silver", func(t map[string]bool) bool { return t["name7"] || t["9"] || t["silver"] }, "m.b"},
		{"t2", func(t map[string]bool) bool { return t["t2"] }, "m.d"},
	}
)

func (w *world) pick(list []string) string { return list[w.rnd.IntN(len(list))] }

// user makes a user anew, context a context's own.
func (w *world) user() *modelUser {
	u := &modelUser{enabled: w.rnd.IntN(8) > 0, config: map[string]modelValue{}}
	u.bits = uint32(w.rnd.IntN(2)) | uint32(w.rnd.IntN(2))<<4
	for _, n := range modelNames {
		if w.rnd.IntN(4) == 0 {
			u.config[n] = modelValue{value: w.pick(modelValues)}
		}
	}
	return u
}

func (w *world) change(id uint32) {
	c := w.contexts[id]
	c.name, c.enabled, c.reseller = fmt.Sprintf("name%d", id), w.rnd.IntN(8) > 0, uint32(w.rnd.IntN(7))
	c.types = w.pick([]string{"", "t1", "t2", " t1 , t2,, ", "other"})
	c.config = map[string]modelValue{}
	for _, n := range modelNames {
		// Its table takes names that differ by case for one.
		if _, other := c.config["m.C"]; w.rnd.IntN(3) == 0 && (n != "m.c" || !other) {
			c.config[n] = modelValue{w.pick(modelValues), w.pick(modelFinals)}
		}
	}
	for u := range c.users {
		if w.rnd.IntN(2) == 0 {
			c.users[u] = w.user()
		}
	}
}

// sqlText is a literal for MariaDB.
func sqlText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

var javaEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`)

// rows is the platform as it is stored (spec cascade.md 8).
func (w *world) rows() string {
	var b strings.Builder
	b.WriteString("START TRANSACTION;\n")
	for _, table := range []string{"configdb.context", "configdb.context_server2db_pool", "configdb.context2subadmin", "configdb.subadmin", "configdb.subadmin_config_properties", "configdb.subadmin_taxonomies", "oxdb_5.contextAttribute", "oxdb_5.user", "oxdb_5.user_configuration", "oxdb_5.user_attribute", "oxdb_6.contextAttribute", "oxdb_6.user", "oxdb_6.user_configuration", "oxdb_6.user_attribute"} {
		fmt.Fprintf(&b, "DELETE FROM %s;\n", table)
	}
	for id, r := range w.resellers {
		fmt.Fprintf(&b, "INSERT INTO configdb.subadmin (sid, pid, name) VALUES (%d, %d, 'r%d');\n", id, r.parent, id)
		for _, t := range r.taxonomies {
			fmt.Fprintf(&b, "INSERT INTO configdb.subadmin_taxonomies VALUES (%d, '%s');\n", id, t)
		}
		for n, v := range r.config {
			fmt.Fprintf(&b, "INSERT INTO configdb.subadmin_config_properties VALUES (%d, '%s', '%s');\n", id, n, v)
		}
	}
	for id, c := range w.contexts {
		schema := fmt.Sprintf("oxdb_%d", 5+id%2)
		fmt.Fprintf(&b, "INSERT INTO configdb.context (cid, name, enabled) VALUES (%d, '%s', %t);\nINSERT INTO configdb.context_server2db_pool VALUES (2, %d, 3, 3, '%s');\n", id, c.name, c.enabled, id, schema)
		if c.reseller != 0 {
			fmt.Fprintf(&b, "INSERT INTO configdb.context2subadmin VALUES (%d, %d);\n", id, c.reseller)
		}
		if c.types != "" {
			fmt.Fprintf(&b, "INSERT INTO %s.contextAttribute (cid, name, value) VALUES (%d, 'taxonomy/types', '%s');\n", schema, id, c.types)
		}
		for n, v := range c.config {
			stored := strings.NewReplacer("%", "%25", ";", "%3B").Replace(javaEscapes.Replace(v.value))
			if v.final != "" {
				stored += "; protected=false;final=" + v.final
			}
			fmt.Fprintf(&b, "INSERT INTO %s.contextAttribute (cid, name, value) VALUES (%d, 'config/%s', %s);\n", schema, id, n, sqlText(stored))
		}
		for u, m := range c.users {
			fmt.Fprintf(&b, "INSERT INTO %s.user (cid, id, mailEnabled) VALUES (%d, %d, %t);\nINSERT INTO %s.user_configuration VALUES (%d, %d, %d);\n", schema, id, u, m.enabled, schema, id, u, m.bits)
			for n, v := range m.config {
				fmt.Fprintf(&b, "INSERT INTO %s.user_attribute (cid, id, name, value) VALUES (%d, %d, 'config/%s', %s);\n", schema, id, u, n, sqlText(javaEscapes.Replace(v.value)))
			}
		}
	}
	return b.String() + "COMMIT;"
}

// chain are the resellers of a context, the next first.
func (w *world) chain(c *modelContext) (list []*modelReseller) {
	for id, met := c.reseller, map[uint32]bool{}; w.resellers[id] != nil && !met[id]; id = w.resellers[id].parent {
		met[id] = true
		list = append(list, w.resellers[id])
	}
	return list
}

// get is the model of the cascade (spec cascade.md 2.1 and 5.2).
func (w *world) get(context, user uint32, name string) (value, scope string) {
	c := w.contexts[context]
	u := c.users[user]
	tags := map[string]bool{c.name: true, fmt.Sprint(context): true, "ucWebMail": u.bits&1 != 0, "ucInfostore": u.bits&16 != 0}
	for t := range strings.SplitSeq(c.types, ",") {
		tags[strings.TrimSpace(t)] = true
	}
	of := map[string]*string{}
	if v, ok := u.config[name]; ok {
		of[cascade.ScopeUser] = &v.value
	}
	v, ok := c.config[name]
	if ok {
		if v.final != "" { // metadata: then the value is trimmed
			v.value = strings.Trim(v.value, " ")
		}
		of[cascade.ScopeContext] = &v.value
	}
	for _, r := range w.chain(c) {
		for _, t := range r.taxonomies {
			tags[t] = true
		}
		if v, ok := r.config[name]; ok && of[cascade.ScopeReseller] == nil {
			of[cascade.ScopeReseller] = &v
		}
	}
	for i, s := range modelSets {
		if s.name == name && of[cascade.ScopeContextSets] == nil && s.match(tags) {
			text := fmt.Sprintf("set %d", i)
			of[cascade.ScopeContextSets] = &text
		}
	}
	if v, ok := modelServer[name]; ok {
		of[cascade.ScopeServer] = &v
	}
	path := []string{cascade.ScopeUser, cascade.ScopeContext, cascade.ScopeReseller, cascade.ScopeContextSets, cascade.ScopeServer}
	for _, s := range path[max(0, slices.Index(path, v.final)):] {
		if of[s] != nil {
			return *of[s], s
		}
	}
	return "", ""
}

// TestRandomPlatforms reads random platforms from a real MariaDB, and what random
// changes make of them, and compares each answer with the model.
func TestRandomPlatforms(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-platform.seed=%d", *seed)
	var sets, server strings.Builder
	for i, s := range modelSets {
		fmt.Fprintf(&sets, "s%d:\n  withTags: %s\n  %s: set %d\n", i, s.expression, s.name, i)
	}
	for n, v := range modelServer {
		fmt.Fprintf(&server, "%s=%s\n", n, v)
	}
	st := newStand(t, map[string]string{"contextSets/a.yml": sets.String(), "a.properties": server.String()}, time.Hour)
	w := &world{rnd: rand.New(rand.NewPCG(*seed, 0)), contexts: map[uint32]*modelContext{}}
	w.resellers = map[uint32]*modelReseller{
		1: {0, []string{"gold"}, map[string]string{"m.a": "r1", "m.d": "r1"}},
		2: {1, nil, map[string]string{"m.a": "r2"}},
		3: {2, []string{"silver"}, map[string]string{"m.b": "r3"}},
		4: {4, []string{"t1"}, map[string]string{"m.c": "own parent"}},
		5: {6, nil, map[string]string{"m.c": "loop 5"}}, // each is the other's parent
		6: {5, []string{"t2"}, map[string]string{"m.d": "loop 6"}},
	}
	const contexts, users = 30, 3
	for id := uint32(1); id <= contexts; id++ {
		w.contexts[id] = &modelContext{users: map[uint32]*modelUser{}}
		for u := uint32(1); u <= users; u++ {
			w.contexts[id].users[u] = w.user()
			st.connect(cascade.Subject{Context: id, User: u})
		}
		w.change(id)
	}
	for round := range 4 {
		if round > 0 {
			for id := range w.contexts {
				if w.rnd.IntN(3) == 0 {
					w.change(id)
				}
			}
			r := w.resellers[1+uint32(w.rnd.IntN(3))]
			r.config = map[string]string{w.pick(modelNames): fmt.Sprintf("round %d", round)}
		}
		st.sql(w.rows())
		if err := st.p.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		sn, scopes := st.engine.Snapshot(), map[string]int{}
		for id, c := range w.contexts {
			for u, m := range c.users {
				su := cascade.Subject{Context: id, User: u}
				for _, n := range modelNames {
					value, scope := w.get(id, u, n)
					scopes[scope]++
					if got, _ := sn.Get(su, n); got.Text != value || got.Scope != scope {
						x := sn.Explain(su, n, cascade.ExplainOptions{Verbose: true})
						t.Errorf("round %d, %v, %s: %q in %q, the model has %q in %q\n%s\n%+v", round, su, n, got.Text, got.Scope, value, scope, x.Summary, x.Steps)
					}
				}
				want := cascade.AccountOpen
				if !c.enabled {
					want = cascade.ContextDisabled
				} else if !m.enabled {
					want = cascade.UserDisabled
				}
				if got := sn.Account(su); got != want {
					t.Errorf("round %d, %v: account %v, want %v", round, su, got, want)
				}
			}
		}
		for _, s := range []string{cascade.ScopeUser, cascade.ScopeContext, cascade.ScopeReseller, cascade.ScopeContextSets, cascade.ScopeServer, ""} {
			if scopes[s] == 0 {
				t.Errorf("round %d: scope %q never decides: the test shows nothing of it", round, s)
			}
		}
		if t.Failed() {
			return
		}
	}
}
