// Package testkit is what the tests of all packages share: waiting for a
// condition, tools of Debian packages, what processes and servers say,
// certificates, and blocks of the documentation. Only tests and packages that
// serve tests import it.
package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds everything that a test waits for. It is no statement about
// speed: it is what a machine may need that runs all tests at once.
const Patience = 60 * time.Second

// pollEvery is short next to what conditions take, and costs little.
const pollEvery = 5 * time.Millisecond

// Poll waits for a condition.
func Poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, Patience, what, ok)
}

// Within waits for a condition, with a patience of the test's own.
func Within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(limit), time.NewTicker(pollEvery)
	defer deadline.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Tool finds a command of a Debian package, also where Debian puts daemons;
// without it the test fails.
func Tool(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install the Debian package %s (just setup; testdata/needs.md)", name, pkg)
	return ""
}

// Log collects what a process or a server writes while the test reads it.
type Log struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Reset forgets what was written.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// Open calls a constructor whose failure ends the test: Open(t, websockets.New, opts).
func Open[O, T any](t testing.TB, open func(O) (T, error), opts O) T {
	t.Helper()
	v, err := open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
