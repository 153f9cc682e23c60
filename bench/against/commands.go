package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// The tree of the figures of whole processes.
const (
	treeFiles      = 500
	treeProperties = 50_000
	treeSets       = 200
)

// How often each run does what is measured: long beside the 10 ms in which the
// kernel counts.
const (
	checks   = 5
	reloads  = 25
	explains = 20_000
)

// commandFigures are measured in the processor's time of the process, so that
// other work on the machine counts little.
var commandFigures = []struct {
	name string
	cpu  func(ctx context.Context, binary, tree string) (time.Duration, error)
	n    int
}{
	{"check", checkTime, checks},
	{"reload", reloadTime, reloads},
	{"explain", explainTime, explains},
	{"import", importTime, 1},
}

func commandNames() (list []string) {
	for _, f := range commandFigures {
		list = append(list, f.name)
	}
	return list
}

// compareCommands alternates the binaries of both builds, over one tree.
func (j *job) compareCommands(ctx context.Context, figures []string, limit time.Duration) (err error) {
	tree, err := os.MkdirTemp(j.dir, "etc-")
	if err != nil {
		return err
	}
	if err := writeTree(tree); err != nil {
		return err
	}
	began := time.Now()
	var rows []table.Row
	for i, name := range figures {
		f := commandFigures[slices.Index(commandNames(), name)]
		due := began.Add(limit / time.Duration(len(figures)) * time.Duration(i+1))
		row := table.Row{Label: name + ": CPU ms", Foreign: -1}
		for round := range j.runs {
			start := time.Now()
			order := []build{j.old, j.own}
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, b := range order {
				fmt.Fprintf(j.log, "%s, %s, run %d of %d\n", name, filepath.Base(b.sluice), round+1, j.runs)
				cpu, err := f.cpu(ctx, b.sluice, tree)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", name, b.sluice, err)
				}
				ms := float64(cpu.Microseconds()) / 1000 / float64(f.n)
				if j.verbose {
					fmt.Fprintf(j.out, "%s of %s: %.3f ms\n", name, filepath.Base(b.sluice), ms)
				}
				if b == j.old {
					row.Before = append(row.Before, ms)
				} else {
					row.After = append(row.After, ms)
				}
			}
			if took := time.Since(start); time.Now().Add(took).After(due) && round+1 < j.runs {
				fmt.Fprintf(j.log, "%s: the time is up after %d of %d runs\n", name, round+1, j.runs)
				break
			}
		}
		rows = append(rows, row)
	}
	return table.PrintRows(j.out, rows)
}

// writeTree writes the files, among them what lets the driver in.
func writeTree(dir string) error {
	files := map[string]string{}
	for f := range treeFiles {
		var b strings.Builder
		for k := range treeProperties / treeFiles {
			fmt.Fprintf(&b, "com.openexchange.component%d.some.property%d=value %d of file %d\n", f, k, k, f)
		}
		files[fmt.Sprintf("etc/part%d/file%d.properties", f%10, f)] = b.String()
	}
	var b strings.Builder
	for s := range treeSets {
		fmt.Fprintf(&b, "set%d:\n  withTags: brand%d & (webmail | ucWebMail) & !beta%d\n  com.openexchange.set%d: x\n", s, s, s%7, s)
	}
	files["etc/contextSets/brands.yml"] = b.String()
	files, err := sluice.TokenFiles(files)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func checkTime(ctx context.Context, binary, tree string) (sum time.Duration, err error) {
	for range checks {
		cmd := exec.CommandContext(ctx, binary, "check", "--etc", filepath.Join(tree, "etc"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w\n%s", err, out)
		}
		sum += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return sum, nil
}

// reloadTime saves one of the files before each reload.
func reloadTime(ctx context.Context, binary, tree string) (time.Duration, error) {
	round := 0
	return serving(ctx, binary, tree, reloads, http.MethodPost, "/admin/v1/config/reload", func() error {
		round++
		text := fmt.Sprintf("com.openexchange.component0.some.property0=round %d\n", round)
		return os.WriteFile(filepath.Join(tree, "etc/zz.properties"), []byte(text), 0o600)
	})
}

func explainTime(ctx context.Context, binary, tree string) (time.Duration, error) {
	return serving(ctx, binary, tree, explains, http.MethodGet, "/admin/v1/contexts/7/users/3/properties/com.openexchange.websockets.enabled", nil)
}

// serve starts a server of the tree, and returns it with its admin listener.
func serve(ctx context.Context, binary, tree string) (*process.Server, string, error) {
	s, err := process.Launch(ctx, false, []string{
		binary, "serve", "--etc", filepath.Join(tree, "etc"), "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1",
	}, nil, 2)
	if err != nil {
		return nil, "", err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d", s.Ports[1])
	return s, admin, s.Up(ctx, admin+"/readyz")
}

// serving is what a server uses for so many equal requests; before is done before
// each.
func serving(ctx context.Context, binary, tree string, n int, method, path string, before func() error) (used time.Duration, err error) {
	s, admin, err := serve(ctx, binary, tree)
	if err != nil {
		return 0, err
	}
	defer s.Stop()
	ask := func() error {
		req, err := http.NewRequestWithContext(ctx, method, admin+path, nil)
		if err != nil {
			return err
		}
		if err := sluice.Authorize(req); err != nil {
			return err
		}
		r, err := s.HTTP.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s %s: %s %.300s", method, path, r.Status, answer))
		}
		return errors.Join(err, r.Body.Close())
	}
	for i := range n + 1 {
		if i == 1 { // the first one warms up
			if err := s.Quiet(ctx); err != nil {
				return 0, err
			}
			if used, err = process.CPUTime(s.PID()); err != nil {
				return 0, err
			}
		}
		if before != nil {
			if err := before(); err != nil {
				return 0, err
			}
		}
		if err := ask(); err != nil {
			return 0, err
		}
	}
	after, err := process.CPUTime(s.PID())
	return after - used, err
}
