package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The clients that App Suite front ends of all generations use send and take
// binary data and acks, in each namespace.
func TestRealClients(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing: install the Debian package nodejs, or run `just setup`")
	}
	modules, err := filepath.Abs("../../../testdata/clients")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "node_modules")); err != nil {
		t.Fatalf("the npm clients are missing: run `just setup` (%v)", err)
	}
	_, url := serveSlowly(t)
	want := []string{
		`["auth",{}]`,
		`["message-back",1,"bytes 1,2",{"a":["bytes 3"]}]`,
		`["acked","bytes 4",{"x":"bytes "}]`,
		`["question","q","bytes 7"]`,
		`["answer","a","bytes 9"]`,
		`["disconnect","io client disconnect"]`,
	}
	for _, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		for _, namespace := range []string{"/", "/custom"} {
			t.Run(lib+namespace, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				cmd := exec.CommandContext(ctx, node, "testdata/client.js", modules, lib, url+namespace)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%v: %s", err, stderr.String())
				}
				if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}
