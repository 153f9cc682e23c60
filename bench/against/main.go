// Command against compares this tree with a revision of it: the same drivers
// measure a build of each in turn. docs/bench.md tells how to read what it
// prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
)

// mostTime bounds a whole comparison, the builds included, with some minutes for
// a run that has begun.
const mostTime = 55 * time.Minute

// benchmark is what the names of in-process figures begin with.
const benchmark = "Benchmark"

// job is a comparison.
type job struct {
	rev      string
	figures  []string
	runs     int
	again    int
	limit    time.Duration
	verbose  bool
	root     string // of this tree
	dir      string // temporary
	old, own build
	out, log io.Writer
}

func main() { process.Main("against", command) }

func command(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	j := job{out: stdout, log: stderr}
	flags := flag.NewFlagSet("against", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: against REV -figure NAMES [flags]")
		flags.PrintDefaults()
	}
	names := flags.String("figure", "", "comma list of figures; without it, the names of all are printed")
	flags.IntVar(&j.runs, "runs", 5, "pairs of runs of each figure")
	flags.IntVar(&j.again, "again", 2, "times that a noisy run is done again")
	flags.DurationVar(&j.limit, "limit", mostTime, "how long all may take together, at most "+mostTime.String())
	flags.BoolVar(&j.verbose, "v", false, "print the numbers of each run")
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		j.rev, args = args[0], args[1:]
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if j.rev == "" || flags.NArg() > 0 || j.runs < 1 || j.again < 0 || j.limit <= 0 || j.limit > mostTime {
		flags.Usage()
		return errors.New("name a revision first, then the flags")
	}
	end := time.Now().Add(j.limit)
	ctx, cancel := context.WithTimeout(ctx, mostTime)
	defer cancel()
	if j.dir, err = os.MkdirTemp("", "sluice-against-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(j.dir)) }()
	if j.root, err = output(ctx, ".", "git", "rev-parse", "--show-toplevel"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.dropWorktree()) }()
	if err := j.build(ctx); err != nil {
		return err
	}
	drivers, err := j.drivers(ctx)
	if err != nil {
		return err
	}
	if *names == "" {
		for _, d := range drivers {
			fmt.Fprintf(stdout, "%s: %s\n", d.name, strings.Join(d.figures, ", "))
		}
		return nil
	}
	j.figures = strings.Split(*names, ",")
	return j.measure(ctx, drivers, end)
}

// measure hands each driver its figures, with its share of the time.
func (j *job) measure(ctx context.Context, drivers []driver, end time.Time) error {
	chosen := make([][]string, len(drivers))
	for _, f := range j.figures {
		i := slices.IndexFunc(drivers, func(d driver) bool { return slices.Contains(d.figures, f) })
		if i < 0 {
			return fmt.Errorf("there is no figure %q in both builds: without -figure, the names of all are printed", f)
		}
		chosen[i] = append(chosen[i], f)
	}
	left := len(j.figures)
	var failed error
	for i, d := range drivers {
		if len(chosen[i]) == 0 {
			continue
		}
		share := time.Until(end) * time.Duration(len(chosen[i])) / time.Duration(left)
		left -= len(chosen[i])
		if share <= 0 {
			failed = errors.Join(failed, fmt.Errorf("no time is left for %s", strings.Join(chosen[i], ", ")))
			continue
		}
		fmt.Fprintf(j.out, "\n%s, %s against this tree:\n", d.name, j.rev)
		failed = errors.Join(failed, d.measure(ctx, chosen[i], share))
	}
	return failed
}

// build is a built tree, and where its programs are.
type build struct {
	folder string // of the sources
	sluice string
	bench  string // test binary of the module bench
}

// build checks the revision out and builds both sides.
func (j *job) build(ctx context.Context) error {
	j.own = build{folder: j.root, sluice: filepath.Join(j.dir, "own"), bench: filepath.Join(j.dir, "own.test")}
	j.old = build{folder: filepath.Join(j.dir, "tree"), sluice: filepath.Join(j.dir, "old"), bench: filepath.Join(j.dir, "old.test")}
	if _, err := output(ctx, j.root, "git", "worktree", "add", "--detach", j.old.folder, j.rev); err != nil {
		return err
	}
	for _, b := range []build{j.old, j.own} {
		fmt.Fprintln(j.log, "building", b.folder)
		if _, err := output(ctx, b.folder, "go", "build", "-o", b.sluice, "."); err != nil {
			return err
		}
		if _, err := output(ctx, filepath.Join(b.folder, "bench"), "go", "test", "-c", "-o", b.bench, "."); err != nil {
			return err
		}
	}
	return nil
}

// dropWorktree forgets the checked out revision, also after an interrupt.
func (j *job) dropWorktree() error {
	if _, err := os.Stat(j.old.folder); j.old.folder == "" || err != nil {
		return nil // it was not made
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := output(ctx, j.root, "git", "worktree", "remove", "--force", j.old.folder)
	return err
}
