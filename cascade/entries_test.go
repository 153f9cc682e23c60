package cascade

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// TestSubscribe calls on changes of the effective value only, in order.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const enabled, count, span = "com.openexchange.websockets.enabled", "com.openexchange.websockets.count", "com.openexchange.websockets.span"
	e := openEngine(t, Options{Roots: []string{dir}})
	var calls []string
	cancel := e.Subscribe([]string{enabled, count, span, "plain"}, func(ch []EffectiveChange) {
		for _, c := range ch {
			_, short, _ := strings.Cut(c.Property, "websockets.")
			calls = append(calls, fmt.Sprintf("%s%v>%v", short, c.Old, c.New))
		}
	})
	for _, step := range []struct{ text, want string }{
		{enabled + "=true\n", ""}, // as the default
		{enabled + "= TRUE \n", ""},
		{enabled + "=no\n", ""}, // the last good value
		{enabled + "=false\n", "enabledtrue>false"},
		{"", "enabledfalse>true"},
		{count + "=8\n", ""},
		{count + "=9\n", "count8>9"},
		{count + "=nine\n", ""}, // the last good value
		{count + "=ten\n", ""},
		{count + "=10\n", "count9>10"},
		{count + "=0\n" + span + "=10000\n", ""},
		{count + "=12\n" + span + "=1m\n", "count10>12,span10s>1m0s"},
		{span + "=60s\n", "count12>8"},
		{span + "=60s\nplain=\n", "<nil>>"},
		{span + "=60s\nplain=x\n", ">x"},
		{"plain=x\nother=1\n", "span1m0s>10s"},
		{"", "x><nil>"},
	} {
		calls = nil
		write(t, dir, "a.properties", step.text)
		reload(t, e)
		if got := strings.Join(calls, ","); got != step.want {
			t.Errorf("%q: %s, want %s", step.text, got, step.want)
		}
	}
	cancel()
	calls = nil
	write(t, dir, "a.properties", "plain=y\n")
	if reload(t, e); len(calls) > 0 {
		t.Errorf("called after cancel: %v", calls)
	}
}

// TestSubscribersCancelAndSubscribe lets subscribers end themselves and each
// other from within their calls, and begin others: nothing hangs, who was
// cancelled is not called again, and who is new is called from the next swap on.
func TestSubscribersCancelAndSubscribe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}})
	var calls []string
	var cancelSelf, cancelSwap, cancelVictim func()
	cancelSelf = e.Subscribe([]string{"p"}, func([]EffectiveChange) {
		calls = append(calls, "self")
		cancelSelf()
		cancelSelf() // again
		cancelVictim()
		e.OnSwap(func(_, _ *Snapshot) { calls = append(calls, "new") })
	})
	cancelSwap = e.OnSwap(func(_, _ *Snapshot) {
		calls = append(calls, "swap")
		cancelSwap()
	})
	cancelVictim = e.Subscribe([]string{"p"}, func([]EffectiveChange) { calls = append(calls, "victim") })
	for i, want := range []string{"self swap", "new", "new"} {
		calls = nil
		write(t, dir, "a.properties", fmt.Sprintf("p=%d\n", i))
		reload(t, e)
		if got := strings.Join(calls, " "); got != want {
			t.Errorf("swap %d calls %q, want %q", i+1, got, want)
		}
	}
}

// TestOpenWithoutSchema is told what is missing, and does not panic later.
func TestOpenWithoutSchema(t *testing.T) {
	t.Parallel()
	if _, err := Open(Options{Roots: []string{t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "Options.Schema") {
		t.Errorf("without a schema: %v", err)
	}
}

// TestSubscriberPanics lets one subscriber panic: the others are called, the
// new values are in force, and the next reload works.
func TestSubscriberPanics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log testkit.Log
	e := openEngine(t, Options{Roots: []string{dir}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var first, last atomic.Int32
	defer e.Subscribe([]string{"p"}, func([]EffectiveChange) { first.Add(1) })()
	defer e.Subscribe([]string{"p"}, func([]EffectiveChange) { panic("the subscriber is broken") })()
	defer e.OnSwap(func(_, _ *Snapshot) { panic(errors.New("so is this one")) })()
	defer e.OnSwap(func(_, sn *Snapshot) {
		if text(sn, "p") == text(e.Snapshot(), "p") {
			last.Add(1)
		}
	})()
	for i := range 3 {
		write(t, dir, "a.properties", fmt.Sprintf("p=%d\n", i))
		reload(t, e)
	}
	if first.Load() != 3 || last.Load() != 3 || e.panics.Load() != 6 || text(e.Snapshot(), "p") != "2" {
		t.Errorf("%d and %d calls, %d panics, p is %s", first.Load(), last.Load(), e.panics.Load(), text(e.Snapshot(), "p"))
	}
	if n := strings.Count(log.String(), "the subscriber is broken"); n != 3 {
		t.Errorf("logged %d times", n)
	}
}

// TestSecretsStaySecret gives secrets values that are wrong in every way: no
// finding, change or log line repeats one.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	schema, err := NewSchema(nil, []Declaration{
		{Name: "my.secret.count", Kind: Int, Default: "1", Secret: true},
		{Name: "my.password.on", Kind: Bool, Default: "false"},
		{Name: "my.key", Kind: Enum, Enum: []string{"a"}, Default: "a", Secret: true},
	})
	must(t, err)
	dir := t.TempDir()
	var log testkit.Log
	e := openEngine(t, Options{Roots: []string{dir}, Schema: schema, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	write(t, dir, "a.properties", strings.ReplaceAll("my.secret.count=X\nmy.password.on=X\nmy.key=X\nother.token=X\nlower.apiKey=X\n", "X", hidden))
	write(t, dir, "contextSets/s.yml", strings.ReplaceAll("s:\n  withTags: \"1\"\n  my.secret.count: X\n  my.key: X\n  my.password.on: X\n  cookie.salt: X\n", "X", hidden))
	r := reload(t, e)
	write(t, dir, "a.properties", "my.secret.count=2\n")
	r2 := reload(t, e)
	var all bytes.Buffer
	for _, p := range []*ReloadResult{&r, &r2} {
		for _, c := range p.Changed {
			fmt.Fprintf(&all, "%s %s %s %s\n", c.Property, deref(c.Old), deref(c.New), c.Because)
		}
		fmt.Fprintln(&all, p.Errors)
	}
	for _, f := range e.Snapshot().Lint() {
		fmt.Fprintln(&all, f)
	}
	for _, su := range []Subject{{}, {Context: 1}} {
		for _, name := range e.Snapshot().Names(su) {
			x := e.Snapshot().Explain(su, name, ExplainOptions{Verbose: true})
			fmt.Fprintln(&all, deref(x.Value), x.Effective, x.Summary, x.Warnings)
			for _, st := range x.Steps {
				fmt.Fprintln(&all, deref(st.Value))
			}
		}
	}
	if s := all.String() + log.String(); strings.Contains(s, hidden) {
		for line := range strings.Lines(s) {
			if strings.Contains(line, hidden) {
				t.Errorf("the secret is in %s", line)
			}
		}
	}
	if len(r.Errors) < 5 {
		t.Errorf("errors %v", r.Errors)
	}
}

func deref(s *string) string {
	if s == nil {
		return "nil"
	}
	return *s
}

// TestScopePath follows the path through errors: what is left of it counts, and
// where nothing is left the last good one.
func TestScopePath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}})
	for _, c := range []struct{ text, want, code string }{
		{"", "user context contextSets server", ""},
		{"server,user", "server user", ""},
		{"user, contxt, server", "user server", "unknown-scope"},
		{"nothing, at all", "user server", "no-scope"},
		{",", "user server", "no-scope"},
		{"context,context", "context", "duplicate-scope"},
		{"Server", "context", "no-scope"},
		{"reseller, server", "reseller server", ""},
	} {
		data := PropScopes + "=" + c.text + "\n"
		if c.text == "" {
			data = ""
		}
		write(t, dir, "a.properties", data)
		reload(t, e)
		var got []string
		for _, p := range e.Snapshot().tree.path {
			got = append(got, p.scope())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: the path is %q, want %q", c.text, got, c.want)
		}
		codes := []string{}
		for _, f := range e.Snapshot().Findings() {
			codes = append(codes, f.Code)
		}
		if c.code == "" && len(codes) > 0 || c.code != "" && !slices.Contains(codes, c.code) {
			t.Errorf("%q: findings %q, want %q", c.text, codes, c.code)
		}
	}
}

// TestEntriesCarry breaks one entry at a time, by its place: each keeps its own
// last good form, and what was removed in between does not come back.
func TestEntriesCarry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}})
	set := func(file, name, tags, value string) {
		write(t, dir, "contextSets/"+file, fmt.Sprintf("%s:\n  withTags: %q\n  p: %s\n  com.openexchange.websockets.count: %s\n", name, tags, value, value))
	}
	get := func(name string) any {
		v, _ := e.Snapshot().Get(Subject{Context: 7}, name)
		if v.Declared {
			return v.Effective
		}
		return v.Text
	}
	expect := func(p string, count int64) {
		t.Helper()
		reload(t, e)
		if get("p") != p || get("com.openexchange.websockets.count") != count {
			t.Errorf("p is %v, count %v; want %s and %d", get("p"), get("com.openexchange.websockets.count"), p, count)
		}
	}
	set("a.yml", "s", "7", "1")
	set("b.yml", "s", "8", "2")
	expect("1", 1)
	set("a.yml", "s", "7 &", "3") // the whole block stays
	expect("1", 1)
	set("a.yml", "s", "7", "4")
	expect("4", 4)
	set("a.yml", "s", "7", "many") // the value of this place stays
	expect("many", 4)
	set("a.yml", "s", "8", "3")
	expect("", 8)
	set("a.yml", "other", "7 &", "5") // another block: nothing to fall back on
	expect("", 8)
	set("a.yml", "other", "7", "6")
	expect("6", 6)
	write(t, dir, "contextSets/a.yml", "other:\n  withTags: \"7\"\n  p: {a: b}\n") // the entry p stays, count is gone
	expect("6", 8)
	write(t, dir, "contextSets/a.yml", "other:\n  withTags: \"7\"\n")
	expect("", 8)
	write(t, dir, "contextSets/a.yml", "other:\n  withTags: \"7\"\n  p: {a: b}\n") // it was removed: nothing comes back
	expect("", 8)
	write(t, dir, "contextSets/a.yml", "other:\n  withTags: \"!(7 | 8\"\n")
	expect("", 8)
}

// TestUnknownFinal keeps the last good lock, of an override too.
func TestUnknownFinal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "etc/a.properties", "p=server\n")
	write(t, dir, "etc/meta/m.yml", "p: {final: server}\n")
	write(t, dir, "d.yml", "contexts:\n  - id: 1\n    config: {p: {value: own}, q: {value: own, final: contxt}}\n")
	_, err := Open(Options{Roots: []string{in(dir, "etc")}, Schema: testSchema(t), Source: NewDirectoryFile(in(dir, "d.yml"))})
	must(t, err)
	e := openEngine(t, Options{Roots: []string{in(dir, "etc")}, Source: NewDirectoryFile(in(dir, "d.yml"))})
	get := func() string { v, _ := e.Snapshot().Get(Subject{Context: 1}, "p"); return v.Text }
	for _, c := range []struct{ meta, want string }{
		{"p: {final: server}\n", "server"},
		{"p: {final: sever}\n", "server"},
		{"p: {final: [server]}\n", "server"},
		{"p: {final: }\n", "own"},
		{"p: {final: sever}\n", "own"},
		{"p: {final: server}\n", "server"},
		{"p: {protected: true}\n", "own"},
		{"p: {final: reseller}\n", "own"},
	} {
		write(t, dir, "etc/meta/m.yml", c.meta)
		if reload(t, e); get() != c.want {
			t.Errorf("%s: p is %s, want %s: %v", strings.TrimSpace(c.meta), get(), c.want, e.Snapshot().Findings())
		}
	}
}

// TestAmbiguousExpressions are reported, and read as the existing system does.
func TestAmbiguousExpressions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "contextSets/s.yml", "s:\n  withTags: a & b | c\n  p: set\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	must(t, e.Apply(Batch{Contexts: []Context{{ID: 1, Tags: []string{"c"}}, {ID: 2, Tags: []string{"a", "c"}}}}))
	for id, want := range map[uint32]string{1: "", 2: "set"} {
		if v, _ := e.Snapshot().Get(Subject{Context: id}, "p"); v.Text != want {
			t.Errorf("context %d: %q, want %q", id, v.Text, want)
		}
	}
	f := e.Snapshot().Findings()
	if len(f) != 1 || f[0].Code != "ambiguous-expression" || !strings.Contains(f[0].Text, `"(a & b) | c"`) || !strings.Contains(f[0].Text, `"a & (b | c)"`) || e.Status().Status != "degraded" {
		t.Errorf("findings %v", f)
	}
}

// TestAddTagsChains resolves chains of tags that run against the order of the
// blocks, add each other, and flip by negation.
func TestAddTagsChains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := rounds(1000, 10_000)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "b%d: {withTags: t%d, addTags: t%d, p%d: x}\n", i, i+1, i, i%10)
	}
	const perFile = 5000
	lines := slices.Collect(strings.Lines(b.String()))
	for i := 0; i*perFile < len(lines); i++ {
		write(t, dir, fmt.Sprintf("contextSets/chain%d.yml", i), strings.Join(lines[i*perFile:min((i+1)*perFile, len(lines))], ""))
	}
	write(t, dir, "contextSets/a.yml", "one: {withTags: ping, addTags: pong}\ntwo: {withTags: pong, addTags: ping}\n")
	write(t, dir, "contextSets/b.yml", "first: {withTags: \"!flip\", addTags: flop}\nsecond: {withTags: flop, addTags: flip}\nend: {withTags: \"!flip\", q: never}\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	must(t, e.Apply(Batch{Contexts: []Context{{ID: 1, Tags: []string{fmt.Sprintf("t%d", n), "ping"}}}}))
	start := time.Now()
	for i := range 10 {
		if v, _ := e.Snapshot().Get(Subject{Context: 1}, fmt.Sprintf("p%d", i)); v.Text != "x" {
			t.Errorf("p%d is %q", i, v.Text)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a chain of %d blocks took %v", n, took)
	}
	var got []string
	chain := 0
	for _, tag := range e.Snapshot().Tags(Subject{Context: 1}) {
		if strings.HasPrefix(tag.Tag, "t") {
			chain++
		} else {
			got = append(got, tag.Tag)
		}
	}
	if chain != n+1 {
		t.Errorf("%d tags of the chain, want %d", chain, n+1)
	}
	if want := []string{"1", "flip", "flop", "ping", "pong"}; !slices.Equal(got, want) {
		t.Errorf("tags %q, want %q", got, want)
	}
	if v, ok := e.Snapshot().Get(Subject{Context: 1}, "q"); ok {
		t.Errorf("q is %q", v.Text)
	}
}
