package cascade

import (
	"errors"
	"strings"
	"testing"
)

// wantWarning wants one warning of an explanation that has all these texts.
func wantWarning(t *testing.T, e *Engine, su Subject, name string, texts ...string) {
	t.Helper()
	x := e.Snapshot().Explain(su, name, ExplainOptions{})
	for _, w := range x.Warnings {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(w, text)
		}
		if all && x.Differs() {
			return
		}
	}
	t.Errorf("%s: warnings %q (differs: %t), want one with %q", name, x.Warnings, x.Differs(), texts)
}

// TestUnusedFileIsTold explains a property of files that do not count as they
// are: what is in force and what the file says are both named.
func TestUnusedFileIsTold(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", "a=1\nsecret.password=one\n")
	write(t, k.dir, "contextSets/c.yml", "c:\n  withTags: \"7\"\n  c: \"1\"\n")
	e := k.open()
	write(t, k.dir, "a.properties", "a=2\nb=3\nsecret.password=two\n\\u12\n")
	write(t, k.dir, "contextSets/c.yml", "c:\n  withTags: \"7\"\n  c: \"2\"\n\tx\n")
	reload(t, e)
	wantWarning(t, e, Subject{}, "a", "a.properties is not used as it is now", "line 1 now says 2", "in force is 1")
	wantWarning(t, e, Subject{}, "b", "line 2 now says 3", "nothing of it is in force")
	wantWarning(t, e, Subject{Context: 7}, "c", "contextSets/c.yml is not used as it is now", "line 3 now says 2", "in force is 1")
	x := e.Snapshot().Explain(Subject{}, "secret.password", ExplainOptions{})
	if text := strings.Join(x.Warnings, ""); strings.Contains(text, "two") || strings.Contains(text, "one") || !strings.Contains(text, "line 3 now sets it") {
		t.Errorf("a secret: %q", x.Warnings)
	}
	if x := e.Snapshot().Explain(Subject{}, "other", ExplainOptions{}); len(x.Warnings) > 0 {
		t.Errorf("a property that no such file sets: %q", x.Warnings)
	}
}

// TestStaleSetIsTold breaks the expression of a set that goes on to match by its
// last good form: explanation, status and the finding say so.
func TestStaleSetIsTold(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "contextSets/c.yml", "c:\n  withTags: \"7 & !8\"\n  addTags: more\n  c: \"1\"\nd:\n  withTags: more\n  d: \"1\"\n")
	e := k.open()
	write(t, k.dir, "contextSets/c.yml", "c:\n  withTags: \"7 &\"\n  addTags: more\n  c: \"1\"\nd:\n  withTags: more\n  d: \"1\"\n")
	reload(t, e)
	wantWarning(t, e, Subject{Context: 7}, "c", "context set c (contextSets/c.yml:1) matches by its last good form (7 & !8)")
	wantWarning(t, e, Subject{Context: 7}, "d", "context set c", "adds tags by its last good form")
	fs := report(e, "contextSets/c.yml").Errors
	if len(fs) != 1 || !strings.HasSuffix(fs[0].Text, `its last good form applies, with "7 & !8"`) || strings.Contains(fs[0].Text, "never matches") {
		t.Errorf("findings %v", fs)
	}
	if f := e.Snapshot().Findings(); len(f) != 1 || f[0].Text != fs[0].Text {
		t.Errorf("findings of the snapshot %v", f)
	}
}

// TestTogether changes properties that must fit together to values that do not:
// all of them keep the last good ones, over a restart too, else their defaults.
func TestTogether(t *testing.T) {
	t.Parallel()
	const count, delay = "com.openexchange.websockets.count", "com.openexchange.websockets.delay"
	open := func(k *lastGoodTree, state string) *Engine {
		return openEngine(t, Options{Roots: []string{k.dir}, State: state, Schema: testSchema(t).Together(Group{
			Names: []string{count, delay},
			Check: func(v []any) error {
				if v[0].(int64) > v[1].(int64) {
					return errors.New("the count is above the delay: lower it")
				}
				return nil
			},
		})})
	}
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", count+"=10\n"+delay+"=20\n")
	e := open(k, k.state)
	told := 0
	defer e.Subscribe([]string{count, delay}, func([]EffectiveChange) { told++ })()
	for _, text := range []string{count + "=30\n" + delay + "=20\n", count + "=x\n" + delay + "=25\n"} {
		write(t, k.dir, "a.properties", text)
		reload(t, e)
		for _, e := range []*Engine{e, open(k, k.state)} {
			k.want(e, Subject{}, count, "10")
			k.want(e, Subject{}, delay, "20")
			wantWarning(t, e, Subject{}, delay, "the last good value 20 applies")
		}
		if told > 0 {
			t.Error("subscribers are told of what is not in force")
		}
	}
	write(t, k.dir, "a.properties", count+"=30\n"+delay+"=20\n")
	off := open(k, "")
	k.want(off, Subject{}, count, "8")
	k.want(off, Subject{}, delay, "1000")
	if fs := off.Snapshot().Findings(); len(fs) != 2 || fs[0].Code != "bad-together" || !strings.Contains(fs[0].Text, "the defaults 8, 1000 apply") {
		t.Errorf("findings %v", fs)
	}
	write(t, k.dir, "a.properties", count+"=30\n"+delay+"=40\n")
	reload(t, e)
	k.want(e, Subject{}, count, "30")
	if told != 1 {
		t.Errorf("subscribers were told %d times", told)
	}
}

// TestPending changes what is read at the start only: both values are shown
// until the files say again what is in force.
func TestPending(t *testing.T) {
	t.Parallel()
	const port = "com.openexchange.websockets.port"
	schema, err := NewSchema(nil, []Declaration{{Name: port, Kind: Int, Default: "8011", Server: true, Restart: true}})
	must(t, err)
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}, Schema: schema})
	for range 2 { // after a reload by itself too
		write(t, dir, "a.properties", "# port\n"+port+"=9000\n")
		reload(t, e)
		wantWarning(t, e, Subject{}, port, "in force is 8011", "9000, the value after a restart", "a.properties:2")
	}
	x := e.Snapshot().Explain(Subject{}, port, ExplainOptions{})
	if p := e.Status().Pending; len(p) != 1 || p[0].Property != port || p[0].InForce != int64(8011) || p[0].Next != int64(9000) || x.Effective != int64(8011) {
		t.Errorf("pending %+v, effective %v", p, x.Effective)
	}
	write(t, dir, "a.properties", "")
	reload(t, e)
	x = e.Snapshot().Explain(Subject{}, port, ExplainOptions{})
	if p := e.Status().Pending; len(p) > 0 || x.Differs() {
		t.Errorf("pending %+v, %q", p, x.Warnings)
	}
}
