package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// killedCalls are the system calls that make a file and write to it.
const killedCalls = "openat,flock,mmap,pwrite64,fdatasync,fsync,ftruncate,renameat,unlinkat"

// A process that is killed at any instant has kept what it has acknowledged.
func TestKill(t *testing.T) {
	// A new file now and then: the first instants of one count as well.
	const perFile, longest = 20, 150 * time.Millisecond
	var path string
	var a *account
	total := 0
	for round := range rounds(8, 200) {
		if round%min(perFile, 4+round/4*4) == 0 {
			path, a = filepath.Join(t.TempDir(), FileName), newAccount()
		}
		c := startChild(t, path)
		at := time.Duration(rand.Int64N(int64(longest)))
		if round%8 == 7 { // also while it starts
			time.AfterFunc(at/2, func() { _ = c.cmd.Process.Kill() })
		}
		c.tell(order{Do: "load", Text: "r" + strconv.Itoa(round), Writers: 4, Size: rand.IntN(3000)})
		if l, ok := c.line(); ok && l != "ready" {
			t.Fatalf("round %d: the child said %q", round, l)
		}
		time.AfterFunc(at, func() { _ = c.cmd.Process.Kill() })
		before := len(a.acked)
		a.drain(c)
		c.kill()
		total += len(a.acked) - before
		a.verify(t, path)
		if t.Failed() {
			t.Fatalf("round %d, killed after %v", round, at)
		}
	}
	t.Logf("%d acknowledged writes", total)
	if total == 0 {
		t.Error("nothing was acknowledged")
	}
}

// The same at each system call on the file, beginning with those that make it, or
// those that open one that is there.
func TestKillAtCall(t *testing.T) {
	const making, writing = 50, 150
	for _, c := range []struct {
		name         string
		calls, short int
	}{{"new", making, 4}, {"old", writing, 4}} {
		acked := 0
		for k := 1; k <= c.calls; k += c.calls / rounds(c.short, c.calls) {
			t.Run(fmt.Sprintf("%s %d", c.name, k), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), FileName)
				if c.name == "old" {
					newAccount().verify(t, path)
				}
				p := startChild(t, path, tool(t, "strace", "strace", "-f", "-qq", "-o", "/dev/null",
					"-P", path, "-P", path+unfinished, "-P", filepath.Dir(path),
					"-e", "trace="+killedCalls, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", killedCalls, k)).Args...)
				p.tell(order{Do: "load", Text: "k", Writers: 2, Count: 200, Size: 500})
				if l, ok := p.line(); ok && l != "ready" {
					t.Fatalf("the child said %q", l)
				}
				a := newAccount()
				a.drain(p)
				p.kill()
				if a.done {
					t.Error("it was not killed")
				}
				acked += len(a.acked)
				a.verify(t, path)
			})
		}
		t.Logf("%s: %d acknowledged writes", c.name, acked)
	}
}
