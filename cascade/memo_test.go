package cascade

import (
	"sync"
	"testing"
)

// TestMemoKeepsSubjectsApart asks for more subjects than the smallest tables
// hold, over more swaps than they have epochs, from several readers: nobody
// ever gets the answer of another subject or of an older snapshot.
func TestMemoKeepsSubjectsApart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.properties", "com.openexchange.websockets.enabled=true\n")
	e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := e.Bool("com.openexchange.websockets.enabled")
	const users, rounds = 6000, 300
	for round := range rounds {
		// Each round switches off those whose number and round are alike.
		off := Override{Key: Key{Subject: Subject{Context: 1, User: uint32(round%users) + 1}, Property: "com.openexchange.websockets.enabled"}, Value: "false"}
		if err := e.Apply(Batch{Overrides: []Override{off}}); err != nil {
			t.Fatal(err)
		}
		sn := e.Snapshot()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for u := range uint32(users) {
					if got, want := h.In(sn, Subject{Context: 1, User: u + 1}), u > uint32(round); got != want {
						t.Errorf("round %d, user %d: %t, want %t", round, u+1, got, want)
						return
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
	}
}
