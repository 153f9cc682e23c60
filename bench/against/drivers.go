package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// driver measures some figures of both builds.
type driver struct {
	name    string
	figures []string // that it has of both builds
	measure func(ctx context.Context, figures []string, limit time.Duration) error
}

// drivers are those of the processes, which know both builds by their binaries,
// and the benchmarks that both modules have.
func (j *job) drivers(ctx context.Context) ([]driver, error) {
	var all []driver
	for _, name := range []string{"load", "cluster"} {
		binary := filepath.Join(j.dir, name)
		folder := filepath.Join(j.root, "bench", name)
		if _, err := output(ctx, filepath.Dir(folder), "go", "build", "-o", binary, "./"+name); err != nil {
			return nil, err
		}
		list, err := output(ctx, folder, binary, "-list")
		if err != nil {
			return nil, err
		}
		all = append(all, driver{name, lines(list), func(ctx context.Context, figures []string, limit time.Duration) error {
			args := []string{
				"-folder", folder, "-sluice", j.own.sluice, "-against", j.old.sluice, "-figure", strings.Join(figures, ","),
				"-runs", strconv.Itoa(j.runs), "-again", strconv.Itoa(j.again), "-limit", limit.String(),
			}
			if j.verbose {
				args = append(args, "-v")
			}
			cmd := exec.CommandContext(ctx, binary, args...)
			cmd.Stdout, cmd.Stderr = j.out, j.log
			return cmd.Run()
		}})
	}
	both, err := j.benchmarks(ctx)
	if err != nil {
		return nil, err
	}
	return append(all, driver{"commands", commandNames(), j.compareCommands}, driver{"in process", both, j.compareBenchmarks}), nil
}

// benchmarks are the names that both builds have.
func (j *job) benchmarks(ctx context.Context) ([]string, error) {
	var lists [2][]string
	for i, b := range []build{j.old, j.own} {
		list, err := output(ctx, filepath.Join(b.folder, "bench"), b.bench, "-test.list", "^"+benchmark)
		if err != nil {
			return nil, err
		}
		lists[i] = lines(list)
	}
	return slices.DeleteFunc(lists[1], func(name string) bool { return !slices.Contains(lists[0], name) }), nil
}

func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
}

// output runs a program to its end; a failure has all that it said.
func output(ctx context.Context, in, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = in
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", cmd, in, err, said.Bytes())
	}
	return strings.TrimSpace(said.String()), nil
}
