package remote

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// What happens to a member is told once to the others, and never to itself.
func TestLinkSeen(t *testing.T) {
	s := redistest.Start(t)
	var mu sync.Mutex
	var told []string
	a := newNode(t, way(s), "a", func(o *Options) {
		o.Seen = func(what string, m Member) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, what+" "+m.Name+m.Digest)
		}
	})
	meet(t, a)
	wants := func(want string) {
		t.Helper()
		wait(t, want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(told, want)
		})
	}
	var digest atomic.Value
	digest.Store("1")
	b := newNode(t, way(s), "b", func(o *Options) {
		o.Keep = testLease
		o.Describe = func() Member { return Member{Digest: digest.Load().(string)} }
	})
	wants("joined b1")
	digest.Store("2")
	wants("config b2")
	b.kill()
	wants("lost b2")

	c := newNode(t, way(s), "c")
	wants("joined c")
	c.kill()
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants("left c")
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(told, ", "); got != "joined b1, config b2, lost b2, joined c, left c" {
		t.Errorf("told: %s", got)
	}
}

// The first look tells which configuration the others have.
func TestLinkSeenAtFirst(t *testing.T) {
	s := redistest.Start(t)
	a := newNode(t, way(s), "a")
	meet(t, a)
	told := make(chan string, 10)
	b := newNode(t, way(s), "b", func(o *Options) {
		o.Seen = func(what string, m Member) { told <- what + " " + m.Name }
	})
	meet(t, a, b)
	if got := <-told; got != "config a" {
		t.Errorf("told: %s", got)
	}
}
