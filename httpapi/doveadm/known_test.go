package doveadm

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// What is known is the same over a restart, and against a map.
func TestKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known")
	var k Known
	if err := k.Load(path); err != nil || k.Len() != 0 {
		t.Fatal(err, k.Len())
	}
	want := map[uint32]time.Time{}
	now := time.Unix(1_900_000_020, 0)
	for range 50_000 {
		user, at := 1+rand.Uint32N(20_000), now
		if rand.IntN(4) == 0 {
			at = time.Time{}
		}
		k.Put(7, user, at)
		want[user] = at
	}
	check := func(k *Known) {
		t.Helper()
		n := 0
		for user, at := range want {
			if got := k.Registered(7, user); !got.Equal(at.Truncate(time.Minute)) && !(at.IsZero() && got.IsZero()) {
				t.Fatalf("%d: %v, want %v", user, got, at)
			}
			if !at.IsZero() {
				n++
			}
		}
		if k.Len() != n || !k.Registered(8, 1).IsZero() {
			t.Errorf("%d are known, want %d", k.Len(), n)
		}
	}
	check(&k)
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	var again Known
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	check(&again)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var damaged Known
	if err := damaged.Load(path); err == nil || damaged.Len() != 0 {
		t.Errorf("a damaged file: %v, %d", err, damaged.Len())
	}
}

// A million users take at most 24 bytes each.
func TestKnownMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var k Known
	for user := range uint32(1_000_000) {
		k.Put(user/1000+1, user+1, time.Unix(1_900_000_000, 0))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / 1e6
	t.Logf("%.1f bytes a user", each)
	if each > 24 {
		t.Errorf("%.1f bytes a user", each)
	}
	runtime.KeepAlive(&k)
}
