package tree

import "testing"

// FuzzManifest reads anything as a manifest: what it accepts it also writes.
func FuzzManifest(f *testing.F) {
	b, err := (&manifest{Files: []GoodFile{{Root: "/etc", Path: "\xff a%\n.properties", Good: "1", Clean: "2"}}}).encode()
	must(f, err)
	f.Add(b)
	f.Add([]byte("x\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again manifest
		if m.decode(b) != nil {
			return
		}
		out, err := m.encode()
		must(t, err)
		must(t, again.decode(out))
		if len(m.Files) != len(again.Files) {
			t.Fatalf("%v, then %v", m, again)
		}
		for i := range m.Files {
			if m.Files[i] != again.Files[i] {
				t.Errorf("%v, then %v", m.Files[i], again.Files[i])
			}
		}
	})
}
