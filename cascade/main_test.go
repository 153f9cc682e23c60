package cascade

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/testkit"
)

// torture asks for the full counts of what runs in short rounds else.
var torture = flag.Bool("torture", false, "full counts instead of short rounds")

func rounds(short, full int) int {
	if *torture {
		return full
	}
	return short
}

// childRoot names the roots, separated by colons, of an engine that this binary
// runs instead of tests: some faults hit a whole process.
const (
	childRoot  = "SLUICE_TEST_ROOT"
	childState = "SLUICE_TEST_STATE"
)

func TestMain(m *testing.M) {
	if roots := os.Getenv(childRoot); roots != "" {
		if err := serveChild(strings.Split(roots, ":"), os.Getenv(childState)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// Most tests wait for timers, not for a processor.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("12"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// serveChild runs an engine and answers questions: a line in, a line out.
func serveChild(roots []string, state string) error {
	schema, err := NewSchema(nil)
	if err != nil {
		return err
	}
	e, err := Open(Options{Roots: roots, Schema: schema, State: state, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { err = e.Run(ctx) })
	defer running.Wait()
	defer cancel()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		question, arg, _ := strings.Cut(in.Text(), " ")
		var answer any
		switch question {
		case "get":
			v, _ := e.Snapshot().Get(Subject{}, arg)
			answer = v.Text
		case "status":
			answer = e.Status()
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return in.Err()
}

// child is a process that runs serveChild.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr testkit.Log
	ended  bool
}

// startChild runs an engine in a process of its own, below the given command.
func startChild(t *testing.T, root, state string, wrap ...string) *child {
	t.Helper()
	args := append(wrap, os.Args[0])
	c := &child{t: t, cmd: exec.Command(args[0], args[1:]...)}
	c.cmd.Env = append(os.Environ(), childRoot+"="+root, childState+"="+state)
	c.cmd.Stderr = &c.stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	c.out.Buffer(nil, 16<<20)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the child's log:\n%s", c.stderr.String())
		}
	})
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as a power cut would: nothing runs in it any more.
func (c *child) kill() {
	if c.ended {
		return
	}
	c.ended = true
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
	_ = c.cmd.Wait() // it was killed
}

func (c *child) ask(question string, answer any) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, question+"\n"); err != nil {
		c.t.Fatalf("child: %v\n%s", err, c.stderr.String())
	}
	if !c.out.Scan() {
		c.t.Fatalf("child ended: %v\n%s", c.out.Err(), c.stderr.String())
	}
	if err := json.Unmarshal(c.out.Bytes(), answer); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) get(name string) (v string) {
	c.t.Helper()
	c.ask("get "+name, &v)
	return v
}

func (c *child) status() (s Status) {
	c.t.Helper()
	c.ask("status", &s)
	return s
}

func command(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// slack is what a machine that runs all tests at once is given. With it a limit of
// saveLimit is still below tree.FallbackScan, which finds what no event has told.
const slack = tree.FallbackScan - saveLimit - 500*time.Millisecond

// within polls until the condition holds.
func within(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	if !*torture {
		limit += slack
	}
	testkit.Within(t, limit, what, cond)
}

// throughout polls whether a condition that holds now does so for a while.
func throughout(t testing.TB, span time.Duration, what string, cond func() bool) {
	t.Helper()
	end, tick := time.After(span), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		if !cond() {
			t.Fatalf("not throughout %v: %s", span, what)
		}
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openEngine(t testing.TB, opt Options) *Engine {
	t.Helper()
	if opt.Schema == nil {
		opt.Schema = testSchema(t)
	}
	e, err := Open(opt)
	must(t, err)
	return e
}

// running opens an engine on the roots and runs it until the test ends.
func running(t testing.TB, opt Options) *Engine {
	t.Helper()
	e := openEngine(t, opt)
	start(t, e)
	return e
}

func start(t testing.TB, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	within(t, 5*time.Second, "the engine watches", func() bool { return e.Status().Watch.Mode == WatchInotify })
}

func reload(t testing.TB, e *Engine) ReloadResult {
	t.Helper()
	r, err := e.Reload(context.Background())
	must(t, err)
	return r
}

// text is the value of the server view, or "(undefined)".
func text(sn *Snapshot, name string) string {
	if v, ok := sn.Get(Subject{}, name); ok {
		return v.Text
	}
	return "(undefined)"
}

func report(e *Engine, path string) FileReport {
	for _, r := range e.Snapshot().Files() {
		if r.Path == path {
			return r
		}
	}
	return FileReport{}
}

func status(e *Engine, path string) string { return report(e, path).Status }

func rewrite(t testing.TB, path, data string) {
	t.Helper()
	must(t, os.WriteFile(path+".tmp", []byte(data), 0o644))
	must(t, os.Rename(path+".tmp", path))
}

func mkdir(t testing.TB, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755))
	return path
}

func in(dir, name string) string { return filepath.Join(dir, name) }
