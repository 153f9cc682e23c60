package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/cascade"
)

// torture asks for the full counts of what runs in short rounds else.
var torture = flag.Bool("torture", false, "full counts instead of short rounds")

func rounds(short, full int) int {
	if *torture {
		return full
	}
	return short
}

// childStore names the file of a store that this binary serves instead of
// running tests: some faults hit a whole process.
const childStore = "SLUICE_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childStore); path != "" {
		if err := serveChild(path); err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// order is what a child is told to do; it answers each with a line.
type order struct {
	Do      string // put, look or load
	Key     uint32 // a context, and its override
	Text    string // the reason, the context's name and the beginning of the value
	Size    int    // of the value
	Writers int    // of a load
	Count   int    // of each of them; 0: for ever
}

// seen is what the parts of a store show of a key.
type seen struct {
	Record, Context, Engine, Log string
	Err                          string
}

type served struct {
	s      *Store
	mu     sync.Mutex
	engine map[cascade.Key]string
	out    sync.Mutex
}

func serveChild(path string) error {
	// strace counts the calls of each thread: the file is made by one, and
	// written to by another.
	runtime.LockOSThread()
	var owner sync.Once
	c := &served{engine: map[cascade.Key]string{}}
	var err error
	if c.s, err = Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	if err := c.s.Load(func(b cascade.Batch) error { c.apply(b, nil); return nil }); err != nil {
		return err
	}
	c.s.Start(func(b cascade.Batch, e []Entry) {
		owner.Do(runtime.LockOSThread)
		c.apply(b, e)
	})
	c.say("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			return err
		}
		switch o.Do {
		case "put":
			c.say(c.put(o.Key, o.Text, o.Size))
		case "look":
			b, err := json.Marshal(c.look(o.Key))
			if err != nil {
				return err
			}
			c.say(string(b))
		case "load":
			c.load(&o)
		}
	}
	return errors.Join(in.Err(), c.s.Close())
}

// say writes one line with one call: a kill leaves a whole line or none.
func (c *served) say(line string) {
	c.out.Lock()
	defer c.out.Unlock()
	_, _ = os.Stdout.WriteString(strings.ReplaceAll(line, "\n", " ") + "\n")
}

func (c *served) apply(b cascade.Batch, _ []Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range b.DeleteOverrides {
		delete(c.engine, k)
	}
	for _, o := range b.Overrides {
		c.engine[o.Key] = o.Value
	}
}

const childProperty = "p"

func overrideOf(context uint32) Key {
	return OverrideKey(cascade.Subject{Context: context}, childProperty)
}

func (c *served) put(key uint32, text string, size int) string {
	return c.do(text,
		Change{Key: ContextKey(key), Body: &Context{Name: text, Enabled: true}},
		Change{Key: overrideOf(key), Body: &Override{Value: text + strings.Repeat(" ", size)}})
}

func (c *served) do(text string, changes ...Change) string {
	e, err := c.s.Do(context.Background(), Write{Actor: "child", Reason: text, Action: "test", Changes: changes})
	switch {
	case err == nil:
		return fmt.Sprintf("ack %d %s", e.Revision, text)
	case errors.As(err, new(*FailedError)):
		return "failed " + text + " " + err.Error()
	}
	return "refused " + text + " " + err.Error()
}

func (c *served) look(key uint32) (l seen) {
	note := func(r *Record, err error) *Record {
		if err != nil {
			l.Err += err.Error()
		}
		return r
	}
	if r := note(c.s.Get(overrideOf(key))); r != nil {
		l.Record = strings.TrimRight(r.Body.(*Override).Value, " ")
	}
	if r := note(c.s.Get(ContextKey(key))); r != nil && !r.Deleted {
		l.Context = r.Body.(*Context).Name
	}
	list, _, err := c.s.Log(0, 1, nil)
	note(nil, err)
	for _, e := range list {
		l.Log = e.Reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.Engine = strings.TrimRight(c.engine[cascade.Key{Subject: cascade.Subject{Context: key}, Property: childProperty}], " ")
	return l
}

// load has writers write numbered values, each to contexts of its own; now and
// then one of the contexts goes, with its override.
func (c *served) load(o *order) {
	const keys, deleteEach = 5, 7
	var wg sync.WaitGroup
	for w := range o.Writers {
		wg.Go(func() {
			for i := 0; o.Count == 0 || i < o.Count; i++ {
				key, text := uint32(1+w*keys+i%keys), o.Text+"-"+strconv.Itoa(w)+"-"+strconv.Itoa(i)
				if i%deleteEach == deleteEach-1 {
					c.say(c.do(text, Change{Key: ContextKey(uint32(1 + w*keys + (i-1)%keys))}))
					continue
				}
				c.say(c.put(key, text, o.Size))
			}
		})
	}
	wg.Wait()
	c.say("done")
}

// child is a process that serves a store.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	errs strings.Builder
	gone bool
}

// childLife bounds a child that hangs.
const childLife = 2 * time.Minute

// startChild serves a store in another process, wrapped by a command.
func startChild(t *testing.T, path string, wrap ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), childLife)
	t.Cleanup(cancel)
	args := append(wrap, exe)
	c := &child{t: t, cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	c.cmd.Env = append(os.Environ(), childStore+"="+path)
	c.cmd.Stderr = &c.errs
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// line returns the next line; ok is false where the process has ended.
func (c *child) line() (string, bool) {
	ok := c.out.Scan()
	return c.out.Text(), ok
}

func (c *child) ready() {
	c.t.Helper()
	if l, _ := c.line(); l != "ready" {
		c.kill()
		c.t.Fatalf("the child said %q %s", l, &c.errs)
	}
}

func (c *child) tell(o order) {
	b, err := json.Marshal(o)
	if err == nil {
		_, err = c.in.Write(append(b, '\n'))
	}
	if err != nil && !c.gone {
		c.t.Logf("the child takes no orders: %v", err)
	}
}

func (c *child) ask(o order) string {
	c.t.Helper()
	c.tell(o)
	l, ok := c.line()
	if !ok {
		c.kill()
		c.t.Fatalf("the child has ended: %s", &c.errs)
	}
	return l
}

func (c *child) look(key uint32) (l seen) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.ask(order{Do: "look", Key: key})), &l); err != nil {
		c.t.Fatal(err)
	}
	return l
}

// kill is a SIGKILL, and waits for the end.
func (c *child) kill() {
	if c.gone {
		return
	}
	c.gone = true
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
