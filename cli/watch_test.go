package cli_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// watching is a `sluice watch -o json` that runs.
type watching struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu     sync.Mutex
	kinds  []string
	stderr strings.Builder
}

func (p *process) watch(args ...string) *watching {
	p.t.Helper()
	w := &watching{cmd: exec.Command(binary(p.t), append([]string{"watch", "-o", "json", "--server", p.admin}, args...)...), exited: make(chan struct{})}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e struct{ Kind string }
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				e.Kind = lines.Text()
			}
			w.mu.Lock()
			w.kinds = append(w.kinds, e.Kind)
			w.mu.Unlock()
		}
	})
	readers.Go(func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			w.mu.Lock()
			w.stderr.WriteString(lines.Text() + "\n")
			w.mu.Unlock()
		}
	})
	go func() {
		readers.Wait()
		_ = w.cmd.Wait() // its code is asked for
		close(w.exited)
	}()
	p.t.Cleanup(func() {
		_ = w.cmd.Process.Kill() // it may have ended
		<-w.exited
	})
	return w
}

// streams is how many clients watch.
func (p *process) streams() string {
	p.t.Helper()
	res, err := adminClient.Get(adminURL(p.admin, "/metrics"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "sluice_event_streams "); ok {
			return n
		}
	}
	return ""
}

// has reports whether these kinds came, in this order and no others.
func (w *watching) has(kinds ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.kinds, " ") == strings.Join(kinds, " ")
}

func (w *watching) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.String()
}

// Who watches a server that drains and starts again keeps watching: it is told
// that the process is another one, and what that one has done so far.
func TestWatchRestart(t *testing.T) {
	tree, state := newTree(t), t.TempDir()
	put(t, tree, "own.properties", "sluice.drain.spread=5s\n")
	p := launch(t, tree, state)
	l := p.login(17)
	w := p.watch("--kinds", "override,directory")
	p.poll("it watches", func() bool { return p.streams() == "1" })
	p.request("PUT", "/admin/v1/contexts/1337", `{"name":"one"}`, nil)
	p.poll("an event", func() bool { return w.has("directory") })

	// The drain lasts for longer than until the first try to return.
	for _, name := range []string{"a", "b", "c", "d"} {
		p.dial(l, name)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.log())
	}
	again := launch(t, tree, state)
	again.request("PUT", "/admin/v1/contexts/1337/users/17/properties/com.example.p", `{"value":"v","reason":"r"}`, nil)
	p.poll("what the second process did", func() bool { return w.has("directory", "reset", "override") })
	if said := w.said(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "the stream has ended: trying again") {
		t.Errorf("it said %q", said)
	}
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-w.exited
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, w.said())
	}
}
