package cli_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A start removes the copies of trees that plans of the same state folder have
// left when the server was killed.
func TestNoPlanIsLeft(t *testing.T) {
	state := t.TempDir()
	sum := sha256.Sum256([]byte(state))
	left := filepath.Join(os.TempDir(), "sluice-plan-"+hex.EncodeToString(sum[:8])+"-1")
	if err := os.MkdirAll(filepath.Join(left, "0"), 0o700); err != nil {
		t.Fatal(err)
	}
	launch(t, newTree(t), state)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
