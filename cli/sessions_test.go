package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Who reads the state folder cannot log in with what is there, and a session
// outlives a restart all the same.
func TestSecretsOnDisk(t *testing.T) {
	m := &member{process: launch(t, newTree(t), t.TempDir())}
	l := m.login(17)
	m.signal(syscall.SIGTERM)
	if code := m.wait(); code != 0 {
		t.Fatalf("it ends with %d\n%s", code, m.log())
	}
	found := false
	err := filepath.WalkDir(m.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(l.Session)) {
			found = true
		}
		if bytes.Contains(b, []byte(l.Cookie.Value)) {
			t.Errorf("%s has the secret of a session", path)
		}
		return err
	})
	if err != nil || !found {
		t.Fatalf("the session is nowhere: %v", err)
	}
	m.process = launch(t, m.tree, m.state)
	if _, err := m.dial(l, "c"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}
