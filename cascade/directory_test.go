package cascade

import (
	"path/filepath"
	"testing"
)

// TestDirectoryOutlivesRestart starts beside a directory file that went bad:
// nobody who was switched off is switched on by it.
func TestDirectoryOutlivesRestart(t *testing.T) {
	const good = "contexts:\n  - {id: 1, enabled: false}\n  - {id: 2, users: [{id: 3, config: {com.openexchange.websockets.enabled: \"false\"}}]}\n"
	for name, text := range map[string]string{
		"a file error":   "contexts: [\n",
		"an entry error": "contexts:\n  - {id: 1, enabled: perhaps}\n  - {id: 2, users: [{id: three}]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "etc/a.properties", "a=1\n")
			open := func(directory string) *Engine {
				t.Helper()
				write(t, dir, "directory.yml", directory)
				e, err := Open(Options{
					Roots: []string{filepath.Join(dir, "etc")}, Schema: testSchema(t), State: filepath.Join(dir, "state"),
					Source: NewDirectoryFile(filepath.Join(dir, "directory.yml")),
				})
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			check := func(e *Engine) {
				t.Helper()
				sn := e.Snapshot()
				if got := sn.Account(Subject{Context: 1, User: 1}); got != ContextDisabled {
					t.Errorf("context 1 is %v", got)
				}
				if v, ok := sn.Bool(Subject{Context: 2, User: 3}, "com.openexchange.websockets.enabled"); v || !ok {
					t.Error("user 3 in context 2 is switched on")
				}
			}
			check(open(good))
			for range 2 { // the second time beside what the first one kept
				e := open(text)
				check(e)
				if !e.Snapshot().Degraded() {
					t.Error("not degraded")
				}
			}
		})
	}
}

// TestEntriesThatAreNotKnown: overrides alone do not open a strict directory.
func TestEntriesThatAreNotKnown(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/a.properties", "sluice.directory.strict=true\n")
	write(t, dir, "directory.yml", "contexts:\n"+
		"  - {id: 1, known: false, config: {a: x}, users: [{id: 3, config: {a: y}}]}\n"+
		"  - {id: 2, users: [{id: 3, known: false, config: {a: z}}]}\n")
	e, err := Open(Options{
		Roots: []string{filepath.Join(dir, "etc")}, Schema: testSchema(t),
		Source: NewDirectoryFile(filepath.Join(dir, "directory.yml")),
	})
	if err != nil {
		t.Fatal(err)
	}
	sn := e.Snapshot()
	for su, want := range map[Subject]struct {
		account Account
		value   string
	}{
		{Context: 1, User: 0}: {ContextUnknown, "x"}, {Context: 1, User: 3}: {ContextUnknown, "y"},
		{Context: 2, User: 0}: {AccountOpen, ""}, {Context: 2, User: 3}: {UserUnknown, "z"},
	} {
		if got := sn.Account(su); got != want.account {
			t.Errorf("%s is %v, not %v", su, got, want.account)
		}
		if v, _ := sn.Get(su, "a"); v.Text != want.value {
			t.Errorf("%s has %q, not %q", su, v.Text, want.value)
		}
	}
}

// TestDirectorySlipIsTold breaks values of the directory file, then the whole file,
// and explains: what is in force and what the file says are both named, for those
// whom it concerns.
func TestDirectorySlipIsTold(t *testing.T) {
	const enabled = "com.openexchange.websockets.enabled"
	dir := t.TempDir()
	write(t, dir, "etc/a.properties", "a=1\n")
	text := func(user, context string) string {
		return "contexts:\n  - id: 7\n    config: {" + enabled + ": \"" + context + "\"}\n    users:\n      - {id: 3, config: {" + enabled + ": \"" + user + "\"}}\n"
	}
	path := filepath.Join(dir, "directory.yml")
	write(t, dir, "directory.yml", text("true", "true"))
	e := openEngine(t, Options{Roots: []string{filepath.Join(dir, "etc")}, Schema: testSchema(t), Source: NewDirectoryFile(path)})
	warnings := func(su Subject) []string { return e.Snapshot().Explain(su, enabled, ExplainOptions{}).Warnings }
	if w := warnings(Subject{Context: 7, User: 3}); len(w) > 0 {
		t.Errorf("of a good file: %q", w)
	}
	write(t, dir, "directory.yml", text("ture", "true"))
	reload(t, e)
	wantWarning(t, e, Subject{Context: 7, User: 3}, enabled, path+":5: \"ture\" is neither true nor false; its last good value true applies")
	if w := warnings(Subject{Context: 7, User: 4}); len(w) > 0 {
		t.Errorf("of another user: %q", w)
	}
	write(t, dir, "directory.yml", text("true", "flase"))
	reload(t, e)
	wantWarning(t, e, Subject{Context: 7, User: 4}, enabled, path+":3: \"flase\" is neither true nor false; its last good value true applies")
	write(t, dir, "directory.yml", "contexts: [\n")
	reload(t, e)
	wantWarning(t, e, Subject{Context: 7, User: 3}, enabled, "the directory file "+path+" is not used as it is now (", "overrides are those of its last good contents")
	write(t, dir, "directory.yml", text("true", "true"))
	reload(t, e)
	if w := warnings(Subject{Context: 7, User: 3}); len(w) > 0 {
		t.Errorf("after it was put right: %q", w)
	}
}
