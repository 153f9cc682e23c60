package node_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/node"
	"github.com/seed47708276/sluice/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, o node.Options) (*node.Node, error) {
	t.Helper()
	o.Public, o.Admin = "127.0.0.1:0", "127.0.0.1:0"
	return node.Open(o)
}

func TestOpenNeedsState(t *testing.T) {
	if _, err := open(t, node.Options{Roots: []string{t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "State") {
		t.Errorf("a node without a state folder: %v", err)
	}
}

// TestCloseWithoutRun holds that who only opens a node gets everything back: the
// state folder's lock, the listeners and all goroutines.
func TestCloseWithoutRun(t *testing.T) {
	roots, state := []string{t.TempDir()}, filepath.Join(t.TempDir(), "state")
	for range 2 {
		n, err := open(t, node.Options{Roots: roots, State: state, NewState: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, node.Options{Roots: roots, State: state}); err == nil || !strings.Contains(err.Error(), "held by a running server") {
			t.Errorf("a second node in the same state folder: %v", err)
		}
		n.Close()
	}
}

func TestRunEndsAndReloads(t *testing.T) {
	var logs testkit.Log
	n, err := open(t, node.Options{Roots: []string{t.TempDir()}, State: t.TempDir(), NewState: true, Log: &logs})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	if err := n.Reload(ctx); err != nil {
		t.Errorf("reload: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, logs.String())
	}
}
