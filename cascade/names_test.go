package cascade

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestNamesAreForgotten replaces a file's keys again and again: what nobody
// uses any more leaves, and what overrides use keeps its values.
func TestNamesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.properties", "com.openexchange.websockets.enabled=true\n")
	e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	if err != nil {
		t.Fatal(err)
	}
	su := Subject{Context: 1, User: 2}
	if err := e.Apply(Batch{Overrides: []Override{
		{Key: Key{Subject: su, Property: "own.key"}, Value: "kept", Final: ScopeUser},
		{Key: Key{Subject: su, Property: "com.openexchange.websockets.enabled"}, Value: "false"},
	}}); err != nil {
		t.Fatal(err)
	}
	most := 0
	for round := range 4 {
		var b strings.Builder
		for i := range 50_000 {
			fmt.Fprintf(&b, "key.%d.%d=%d\n", round, i, round)
		}
		write(t, dir, "b.properties", b.String())
		r, err := e.Reload(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if want := 50_000; round == 0 && len(r.Changed) != want {
			t.Fatalf("round %d: %d changes, want %d", round, len(r.Changed), want)
		} else if round > 0 && len(r.Changed) != 2*want {
			t.Fatalf("round %d: %d changes, want %d", round, len(r.Changed), 2*want)
		}
		sn := e.Snapshot()
		most = max(most, len(sn.names.List))
		if v, ok := sn.Get(su, "own.key"); !ok || v.Text != "kept" {
			t.Fatalf("round %d: own.key is %q, %t", round, v.Text, ok)
		}
		if e.Bool("com.openexchange.websockets.enabled").For(su) {
			t.Fatalf("round %d: the override of the declared property is lost", round)
		}
	}
	if most > spareNames+4*50_000 {
		t.Errorf("%d names were kept", most)
	}
}
