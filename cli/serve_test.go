package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cli"
)

const plainKey = "com.openexchange.test.value"

func (p *process) value(name string) string {
	p.t.Helper()
	var x struct{ Value *string }
	p.request("GET", "/admin/v1/properties/"+name, "", &x)
	if x.Value == nil {
		return ""
	}
	return *x.Value
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestKilledBesideABadFile kills a server, breaks a file, and starts again: it
// serves what was good.
func TestKilledBesideABadFile(t *testing.T) {
	tree, state := newTree(t), t.TempDir()
	put(t, tree, "own.properties", plainKey+"=good\n")
	p := launch(t, tree, state)
	if got := p.value(plainKey); got != "good" {
		t.Fatalf("value %q", got)
	}
	p.signal(syscall.SIGKILL)
	<-p.exited
	put(t, tree, "own.properties", "a=\\uZZZZ\n")

	p = launch(t, tree, state)
	if got := p.value(plainKey); got != "good" {
		t.Errorf("after the restart: %q", got)
	}
	var ready struct{ Status string }
	if code := p.request("GET", "/readyz", "", &ready); code != 200 || ready.Status != "degraded" {
		t.Errorf("readyz: %d %s", code, ready.Status)
	}

	// Without a last good tree it does not start with values nobody chose.
	p = start(t, tree, t.TempDir())
	if code := p.wait(); code != 1 || !strings.Contains(p.log(), "own.properties:1:3: ") {
		t.Errorf("exit code %d\n%s", code, p.log())
	}
	launch(t, tree, t.TempDir(), "--tolerate-bad-files")
}

// TestHeldState starts a second server on the same state folder.
func TestHeldState(t *testing.T) {
	tree, state := newTree(t), t.TempDir()
	launch(t, tree, state)
	began := time.Now()
	p := start(t, tree, state)
	if code := p.wait(); code != 1 || !strings.Contains(p.log(), "the state folder "+state+" is held by a running server") {
		t.Errorf("exit code %d\n%s", code, p.log())
	}
	t.Logf("refused after %s", time.Since(began))
}

// TestReload reloads by command and by signal, and tells what changed. The
// server notices each change itself but holds a file that shrank, here for
// longer than the test takes: only a reload can have applied it.
func TestReload(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "hold.properties", cascade.PropShrinkHold+"=600000\n")
	filler := strings.Builder{}
	for i := range 20 {
		fmt.Fprintf(&filler, "com.openexchange.test.filler%d=x\n", i)
	}
	put(t, tree, "own.properties", filler.String()+plainKey+"=one\n")
	p := launch(t, tree, t.TempDir())
	shrink := func(value string) {
		t.Helper()
		was := p.value(plainKey)
		put(t, tree, "own.properties", plainKey+"="+value+"\n")
		p.poll("the shrunk file is held", func() bool {
			var status json.RawMessage
			p.request("GET", "/admin/v1/config", "", &status)
			return strings.Contains(string(status), `"held"`)
		})
		if got := p.value(plainKey); got != was {
			t.Errorf("beside a held file: %q, want %q", got, was)
		}
	}

	shrink("two")
	code, out, errs := run("reload", "--server", p.admin)
	if code != 0 || p.value(plainKey) != "two" {
		t.Errorf("reload: %d %s %s, value %q", code, out, errs, p.value(plainKey))
	}
	if want := plainKey + ": one -> two  "; !strings.Contains(out, want) {
		t.Errorf("no %q in %s", want, out)
	}

	put(t, tree, "own.properties", "a=\\uZZZZ\n")
	code, _, errs = run("reload", "--server", p.admin)
	if code != 1 || !strings.Contains(errs, "own.properties:1:3: ") {
		t.Errorf("reload with a bad file: %d %s", code, errs)
	}
	if code := p.request("POST", "/admin/v1/config/reload", "{}", nil); code != http.StatusUnprocessableEntity {
		t.Errorf("reload with a bad file: %d from the API", code)
	}
	if got := p.value(plainKey); got != "two" {
		t.Errorf("beside the bad file: %q", got)
	}

	put(t, tree, "own.properties", filler.String()+plainKey+"=three\n")
	p.poll("a file that grew takes effect by itself", func() bool { return p.value(plainKey) == "three" })
	shrink("four")
	p.signal(syscall.SIGHUP)
	t.Logf("SIGHUP took effect after %s", p.poll("SIGHUP takes effect", func() bool { return p.value(plainKey) == "four" }))

	// The same answers come from the server as from its files.
	for _, ask := range [][]string{{"get", plainKey}, {"get", "--prefix", "com.openexchange."}, {"tags", "--context", "3"}} {
		_, fromServer, _ := run(append(ask, "--server", p.admin, "-o", "json")...)
		_, fromFiles, _ := run(append(ask, "--etc", tree, "-o", "json")...)
		if fromServer != fromFiles || fromServer == "" {
			t.Errorf("%v: the server says\n%s\nits files say\n%s", ask, fromServer, fromFiles)
		}
	}

	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if code, _, errs := run("reload", "--server", p.admin); code != 3 || !strings.Contains(errs, "no server answers") {
		t.Errorf("without a server: %d %s", code, errs)
	}
}

// TestDemo takes the tour that the README promises, without any other program.
func TestDemo(t *testing.T) {
	t.Setenv("PATH", "")
	code, out, errs := run("demo", "--once")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{`received ["ox:mail:new"`, `received ["sluice:disabled"] and was closed with 4403`, "400 disabled", "connected again"} {
		if !strings.Contains(out, want) {
			t.Errorf("the tour does not show %q:\n%s", want, out)
		}
	}
}

// TestTwoOnOnePort refuses a second server on an address of the first, with what
// chooses another, and the first goes on.
func TestTwoOnOnePort(t *testing.T) {
	first := launch(t, newTree(t), t.TempDir())
	for flag, c := range map[string]struct{ addr, want string }{
		"--public": {first.public, "sluice.public.port"}, "--admin": {first.tcp, "sluice.admin.port"},
	} {
		p := start(t, newTree(t), t.TempDir(), flag, strings.TrimPrefix(c.addr, "http://"))
		if code := p.wait(); code != 1 || !strings.Contains(p.log(), "address already in use") || !strings.Contains(p.log(), c.want) {
			t.Errorf("%s: exit code %d, want %q\n%s", flag, code, c.want, p.log())
		}
	}
	if code := first.ready(); code != http.StatusOK {
		t.Errorf("the first is not ready: %d", code)
	}
}
