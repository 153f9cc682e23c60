package store

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fault is strace attached to a child.
type fault struct {
	t   *testing.T
	cmd *exec.Cmd
}

// attach has calls of a running child go wrong.
func attach(t *testing.T, c *child, calls, inject string) *fault {
	t.Helper()
	f := &fault{t, tool(t, "strace", "strace", "-f", "-p", strconv.Itoa(c.cmd.Process.Pid),
		"-e", "trace="+calls, "-e", "inject="+calls+":"+inject)}
	errs, err := f.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	// It says so when it is attached to all threads.
	lines := bufio.NewScanner(errs)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		t.Fatalf("strace said %q", lines.Text())
	}
	go func() {
		for lines.Scan() { // it would wait for its reader
		}
	}()
	return f
}

// end detaches it: the child goes on as if nothing had been.
func (f *fault) end() {
	if f.cmd.ProcessState == nil {
		_ = f.cmd.Process.Signal(syscall.SIGTERM)
		_ = f.cmd.Wait()
	}
}

// faultChild is a child with what it has been told and what it must show.
type faultChild struct {
	*child
	*account
	last string // the last text of the one key that was acknowledged
	n    int
}

const faultKey = 7

// put writes the next text, and reports whether it was acknowledged. What look-ups
// show is that or what there was before.
func (f *faultChild) put(size int) bool {
	f.t.Helper()
	f.n++
	text := "f-" + strconv.Itoa(f.n)
	l := f.ask(order{Do: "put", Key: faultKey, Text: text, Size: size})
	if !f.take(l) {
		f.t.Fatalf("the child said %q", l)
	}
	_, ok := f.acked[text]
	if ok {
		f.last = text
	} else if !strings.HasPrefix(f.refused[text], "failed the store cannot be written: ") {
		f.t.Errorf("refused with %q", f.refused[text])
	}
	if got, want := f.look(faultKey), (seen{f.last, f.last, f.last, f.last, ""}); got != want {
		f.t.Errorf("after %q: look-ups show %+v, not %+v", l, got, want)
	}
	return ok
}

// until writes until a write is acknowledged, or is not.
func (f *faultChild) until(acked bool, size int) {
	f.t.Helper()
	const most = 50 // each large value may have room in the file
	for range most {
		if f.put(size) == acked {
			return
		}
	}
	f.t.Errorf("after %d writes none was acknowledged=%t: %v", most, acked, f.refused)
}

// A call that fails refuses the write, which leaves nothing behind; look-ups go
// on, and so do writes when it is over.
func TestFailingCalls(t *testing.T) {
	type kind struct {
		calls string
		size  int // of the values: large ones have the file grow
		short int // up to which count of calls
		full  int
	}
	const grows = 40 << 10
	// A commit syncs the pages, then the meta page: the second sync that fails
	// leaves one that is not on the disk.
	kinds := []kind{{"pwrite64", 100, 1, 14}, {"fdatasync", 100, 2, 6}, {"fsync", grows, 1, 3}, {"ftruncate", grows, 1, 3}}
	for _, k := range kinds {
		for _, errno := range []string{"EIO", "ENOSPC"} {
			for n := 1; n <= rounds(k.short, k.full); n++ {
				for _, lasting := range []bool{false, true} {
					when := strconv.Itoa(n)
					if lasting {
						when += "+"
					}
					t.Run(fmt.Sprintf("%s %s %s", k.calls, errno, when), func(t *testing.T) {
						path := filepath.Join(t.TempDir(), FileName)
						f := &faultChild{child: startChild(t, path), account: newAccount()}
						f.ready()
						f.until(true, 10)
						fault := attach(t, f.child, k.calls, "error="+errno+":when="+when)
						f.until(false, k.size)
						for range 3 {
							if ok := f.put(k.size); ok && lasting && n == 1 && k.size != grows {
								t.Error("acknowledged, although all calls fail")
							}
						}
						if !lasting { // the count of the other threads is still to come
							f.until(true, 10)
						}
						fault.end()
						f.until(true, 10)
						f.until(true, k.size)
						f.kill()
						f.verify(t, path)
					})
				}
			}
		}
	}
}

// A process that is killed while its disk fails leaves what it has acknowledged
// and nothing else.
func TestKilledWhileFailing(t *testing.T) {
	for _, calls := range []string{"pwrite64", "fdatasync", "pwrite64,fdatasync,fsync,ftruncate"} {
		t.Run(calls, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			f := &faultChild{child: startChild(t, path), account: newAccount()}
			f.ready()
			f.until(true, 10)
			fault := attach(t, f.child, calls, "error=EIO:when=3+")
			f.until(false, 10)
			f.put(10)
			f.kill()
			fault.end()
			f.verify(t, path)
		})
	}
}
