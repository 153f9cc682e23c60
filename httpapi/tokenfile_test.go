package httpapi

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"
)

// A file of tokens is followed as Kubernetes replaces it, and what is wrong in
// it takes nothing away that is right.
func TestTokenFileFollowsItsFile(t *testing.T) {
	w := newWorld(t, tree)
	mount := t.TempDir()
	file := filepath.Join(mount, "tokens")
	version := func(name, data string, mode os.FileMode) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Join(mount, name), 0o755))
		must(t, os.WriteFile(filepath.Join(mount, name, "tokens"), []byte(data), 0o600))
		must(t, os.Chmod(filepath.Join(mount, name, "tokens"), mode))
		must(t, os.Symlink(name, filepath.Join(mount, "..new")))
		must(t, os.Rename(filepath.Join(mount, "..new"), filepath.Join(mount, "..data")))
	}
	first, second, third := auth.NewTokenText(), auth.NewTokenText(), auth.NewTokenText()
	version("..1", "scraper viewer "+first+"\n", 0o440)
	must(t, os.Symlink(filepath.Join("..data", "tokens"), file))
	f, err := auth.LoadTokenFile(file, w.server.Logger)
	must(t, err)
	w.server.TokenFile = f
	w.admin = w.tcp
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	defer running.Wait()
	defer cancel()

	good := func(text string) bool {
		return w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+text).status == 200
	}
	if !good(first) || good(second) {
		t.Fatal("not the tokens of the file are good")
	}
	w.ask("GET", "/admin/v1/config", "").refused(t, 401, "unauthorized")

	// Rotation: for a while both are good, then the new one alone.
	version("..2", "scraper viewer "+first+"\nnew viewer "+second+"\n", 0o440)
	w.poll("both are good", func() bool { return good(second) })
	if !good(first) {
		t.Error("the old one is gone before its time")
	}
	for _, tok := range f.List() {
		if tok.LastUsed.IsZero() {
			t.Errorf("%s was never used", tok.Name)
		}
	}
	version("..3", "new viewer "+second+"\n", 0o440)
	w.poll("the old one is not", func() bool { return !good(first) })

	// A line that is wrong counts for nothing; the others do.
	version("..4", "new viewer "+second+"\nthird editor "+third[:40]+"\n", 0o440)
	w.poll("it is told", func() bool { return strings.Contains(w.logs.String(), file+":2:14: error: this is no token") })
	if !good(second) || good(third[:40]) {
		t.Error("a wrong line is more than nothing, or takes a right one with it")
	}
	if got := w.askWith(second, "/metrics"); !strings.Contains(got, "sluice_auth_token_file_failed 1") {
		t.Error("the metric does not say so")
	}

	// A file that everybody may read is not read, nor one that is gone: what was
	// good stays.
	version("..5", "third editor "+third+"\n", 0o444)
	w.poll("it is told what to do", func() bool { return strings.Contains(w.logs.String(), "chmod o=") })
	if !good(second) || good(third) {
		t.Error("a file that everybody may read counts")
	}
	must(t, os.Remove(file))
	w.poll("that it is gone is told", func() bool { return strings.Contains(w.logs.String(), "no such file") })
	if !good(second) {
		t.Error("without the file nothing is good")
	}
	must(t, os.Symlink(filepath.Join("..data", "tokens"), file))
	version("..6", "# nobody\n", 0o440)
	w.poll("without a token nobody gets in", func() bool { return !good(second) })
	w.ask("GET", "/admin/v1/config", "").refused(t, 401, "unauthorized")
	version("..7", "third editor "+third+"\n", 0o400)
	w.poll("and then somebody does", func() bool { return good(third) })
	if got := w.askWith(third, "/metrics"); !strings.Contains(got, "sluice_auth_token_file_failed 0") {
		t.Error("the metric is not quiet")
	}
	logs := w.logs.String()
	for _, text := range []string{first, second, third} {
		if strings.Contains(logs, text[4:40]) {
			t.Error("a token is in the log")
		}
	}
}

func (w *world) askWith(text, path string) string {
	w.t.Helper()
	return w.ask("GET", path, "", "Authorization: Bearer "+text).body
}

func TestTokenFileRefusals(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	save(t, path("good"), []byte("a viewer "+auth.NewTokenText()))
	for _, mode := range []os.FileMode{0o604, 0o602, 0o601, 0o777} {
		must(t, os.Chmod(path("good"), mode))
		_, err := auth.LoadTokenFile(path("good"), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "chmod o=") || !strings.Contains(err.Error(), path("good")) {
			t.Errorf("%o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o400, 0o440, 0o660} {
		must(t, os.Chmod(path("good"), mode))
		if _, err := auth.LoadTokenFile(path("good"), slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%o: %v", mode, err)
		}
	}
	save(t, path("big"), make([]byte, auth.MaxTokenFile+1))
	must(t, syscall.Mkfifo(path("fifo"), 0o600))
	for name, want := range map[string]string{"missing": "no such file", ".": "regular file", "big": "regular file", "fifo": "regular file"} {
		if _, err := auth.LoadTokenFile(path(name), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An expired token of the file is none that opens anything.
func TestTokenFileExpires(t *testing.T) {
	w := newWorld(t, tree)
	file, text := filepath.Join(t.TempDir(), "tokens"), auth.NewTokenText()
	save(t, file, []byte("a viewer "+text+" "+time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)))
	f, err := auth.LoadTokenFile(file, w.server.Logger)
	must(t, err)
	w.server.TokenFile = f
	w.admin = w.tcp
	a := w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+text)
	a.refused(t, 401, "unauthorized")
	if !strings.Contains(a.body, "has expired") {
		t.Error(a.body)
	}
	w.ask("GET", "/admin/v1/config", "").refused(t, 401, "unauthorized")
}
