package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportDirection holds the packages to the one direction of
// docs/architecture.md#imports: cli -> node -> httpapi -> {websockets, remote} -> cascade.
func TestImportDirection(t *testing.T) {
	const module = "github.com/seed47708276/sluice"
	allowed := map[string][]string{
		"":           {"cli"},
		"etc":        {},
		"deploy":     {}, // its tests drive what its scripts build
		"cascade":    {},
		"redispipe":  {},
		"testkit":    {},
		"shared":     {},
		"websockets": {"cascade", "shared", "redispipe"},
		"remote":     {"cascade", "shared", "redispipe"},
		"httpapi":    {"cascade", "shared", "websockets", "remote"},
		"node":       {"cascade", "shared", "websockets", "remote", "httpapi"},
		"cli":        {"cascade", "websockets", "remote", "httpapi", "node", "etc"},
	}
	// What a part must not know, however it came by it.
	foreign := map[string][]string{
		"cascade":    {"net/http", "github.com/redis/go-redis/v9", "github.com/coder/websocket", "github.com/go-chi/chi/v5", "github.com/spf13/cobra"},
		"websockets": {"github.com/go-chi/chi/v5", "github.com/spf13/cobra"},
		"remote":     {"github.com/coder/websocket", "github.com/go-chi/chi/v5", "github.com/spf13/cobra"},
		"httpapi":    {"github.com/spf13/cobra"},
		"node":       {"github.com/spf13/cobra"},
	}
	// Within the cascade: who may import what lies below the resolver, and what that
	// may import of the house.
	below := map[string][]string{
		"cascade/tree":   {"cascade/finding", "cascade/propfile", "cascade/yamlfile"},
		"cascade/tables": {"cascade/people"},
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	part := func(path string) string {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		top, _, _ := strings.Cut(rel, "/")
		return top
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := part(p.ImportPath)
		may, known := allowed[from]
		if !known {
			t.Errorf("%s: the house has no part %q", p.ImportPath, from)
		}
		seen[from] = true
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, module) {
				to := part(imp)
				if to == "testkit" && strings.HasSuffix(p.ImportPath, "test") {
					continue // a package that serves tests
				}
				self, other := strings.TrimPrefix(p.ImportPath, module+"/"), strings.TrimPrefix(imp, module+"/")
				if ok, is := below[self]; is && !slices.Contains(ok, other) {
					t.Errorf("%s imports %s: it lies below the resolver and may import %v only", self, other, ok)
				}
				if _, is := below[other]; is && self != "cascade" {
					t.Errorf("%s imports %s: only the resolver does, whose names are for all", self, other)
				}
				if to != from && !slices.Contains(may, to) {
					t.Errorf("%s imports %s: %q may import %v only", p.ImportPath, imp, from, may)
				}
			} else if slices.Contains(foreign[from], imp) {
				t.Errorf("%s imports %s, which %s must not know", p.ImportPath, imp, from)
			}
		}
	}
	if len(seen) < 4 {
		t.Fatalf("only %d parts found: does go list see the module?", len(seen))
	}
}
