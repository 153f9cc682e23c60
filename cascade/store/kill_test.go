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
const killedCalls = "openat,pwrite64,fdatasync,fsync,ftruncate,flock,rename,renameat,renameat2,unlink,unlinkat,munmap"

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

// The same at each system call, beginning with those that make the file.
func TestKillAtCall(t *testing.T) {
	const calls = 200
	step := calls / rounds(8, calls)
	acked := 0
	for k := 1; k <= calls; k += step {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Setenv("GOMAXPROCS", "1") // strace counts the calls of each thread
			path := filepath.Join(t.TempDir(), FileName)
			strace := tool(t, "strace", "strace", "-f", "-qq", "-o", "/dev/null",
				"-e", "trace="+killedCalls, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", killedCalls, k))
			c := startChild(t, path, strace.Args...)
			c.tell(order{Do: "load", Text: "k", Writers: 2, Count: 200, Size: 500})
			a := newAccount()
			if l, ok := c.line(); ok && l != "ready" {
				t.Fatalf("the child said %q", l)
			}
			a.drain(c)
			c.kill()
			if a.done {
				t.Errorf("it was not killed")
			}
			acked += len(a.acked)
			a.verify(t, path)
		})
	}
	t.Logf("%d acknowledged writes", acked)
}
