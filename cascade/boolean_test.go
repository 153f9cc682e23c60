package cascade

import (
	"slices"
	"strings"
	"testing"
)

const enabledProp = "com.openexchange.websockets.enabled"

// TestBooleanKeepsItsLastGoodValue saves a boolean that is neither true nor
// false in each place that can hold one: what was in force stays, over a
// restart too, and everything that is shown names both. Without a last good
// value it is false.
func TestBooleanKeepsItsLastGoodValue(t *testing.T) {
	t.Parallel()
	su := Subject{Context: 7, User: 3}
	for _, c := range []struct{ name, file, good, bad, at string }{
		{"server", "a.properties", enabledProp + "=true\n", enabledProp + "=ture\n", "a.properties:1"},
		{"set", "contextSets/s.yml", "s:\n  withTags: \"7\"\n  " + enabledProp + ": true\n", "s:\n  withTags: \"7\"\n  " + enabledProp + ": ture\n", "contextSets/s.yml:3"},
		{"meta", "meta/m.yml", enabledProp + ": {value: \"true\"}\n", enabledProp + ": {value: \"ture\"}\n", "meta/m.yml:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newLastGoodTree(t)
			write(t, k.dir, c.file, c.good)
			e := k.open()
			write(t, k.dir, c.file, c.bad)
			reload(t, e)
			const both = `"ture" is neither true nor false; the last good value true applies`
			look := func(e *Engine) {
				t.Helper()
				k.want(e, su, enabledProp, "true")
				if !e.Bool(enabledProp).For(su) {
					t.Error("the typed look-up says false")
				}
				x := e.Snapshot().Explain(su, enabledProp, ExplainOptions{})
				if want := c.at + ": " + both; !slices.Contains(x.Warnings, want) || !strings.Contains(x.Summary, "is true (ture does not fit its type)") {
					t.Errorf("explained as %q, %q, want %q", x.Summary, x.Warnings, want)
				}
				if got := e.Snapshot().Findings(); len(got) != 1 || !strings.Contains(got[0].Text, `the last good value "true" applies`) {
					t.Errorf("findings %v", got)
				}
			}
			look(e)
			// A restart, of which the running engine above knows nothing.
			look(k.open())
			off := openEngine(t, Options{Roots: []string{k.dir}})
			k.want(off, su, enabledProp, "false")
			if got := off.Snapshot().Findings(); len(got) != 1 || !strings.Contains(got[0].Text, "it counts as false") {
				t.Errorf("without a state folder: %v", got)
			}
		})
	}
}

// TestDirectoryFileKeepsLastGoodValue does the same with an override of the
// directory file.
func TestDirectoryFileKeepsLastGoodValue(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	su := Subject{Context: 7, User: 3}
	file := func(value string) {
		write(t, k.dir, "../directory.yml", "contexts:\n  - id: 7\n    users:\n      - {id: 3, config: {"+enabledProp+": \""+value+"\"}}\n")
	}
	open := func() *Engine {
		return openEngine(t, Options{Roots: []string{k.dir}, State: k.state, Source: NewDirectoryFile(in(k.dir, "../directory.yml"))})
	}
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	file("true")
	e := open()
	file("ture")
	reload(t, e)
	k.want(e, su, enabledProp, "true")
	k.want(open(), su, enabledProp, "true")
	if got := e.Snapshot().Findings(); len(got) != 1 || !strings.Contains(got[0].Text, "its last good value applies where there is one") {
		t.Errorf("findings %v", got)
	}
	file("false")
	reload(t, e)
	k.want(e, su, enabledProp, "false")
}

// TestCandidateLeavesNoAnswers asks a candidate for a user, then changes
// something else: what the candidate answered is nobody else's answer.
func TestCandidateLeavesNoAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openEngine(t, Options{Roots: []string{dir}})
	h, su := e.Bool(enabledProp), Subject{Context: 7, User: 3}
	off := Batch{Overrides: []Override{{Key: Key{Subject: su, Property: enabledProp}, Value: "false"}}}
	then, _, err := e.Candidate(t.Context(), nil, off)
	must(t, err)
	if h.In(then, su) {
		t.Fatal("the candidate does not switch off")
	}
	must(t, e.Apply(Batch{Contexts: []Context{{ID: 9, Enabled: true}}}))
	if !h.For(su) {
		t.Error("a plan has switched a user off")
	}
}
