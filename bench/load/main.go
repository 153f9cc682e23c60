// Command load measures the sockets of Sluice and of its peers in one run, the
// servers pinned to the first core and itself to the second. What each figure
// means is in docs/bench.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cores of the servers and of this program: each has one of its own, so that
// the figures are those of one core whatever the machine has.
const (
	serverCore = 0
	driverCore = 1
)

// rig is what the figures are measured with.
type rig struct {
	folder string // this program's sources, with the peers
	sluice string // binary
	usual  string // binary
	pinned bool   // servers to serverCore
	extent extent
}

type options struct {
	runs    int
	figures []figure
	peers   []peer
	verbose bool
	foreign float64 // share above which a run is done again
	again   int     // times that a noisy run is done again
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	r := rig{pinned: true, extent: full}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.folder, "folder", "load", "folder of this program's sources, with the peers")
	flags.StringVar(&r.sluice, "sluice", "", "binary to measure, instead of one built from the sources beside")
	flags.IntVar(&o.runs, "runs", 5, "runs of each figure, alternated between the peers")
	flags.BoolVar(&o.verbose, "v", false, "print the numbers of each run")
	flags.IntVar(&o.again, "again", 2, "times that a noisy run is done again; the quietest counts")
	percent := flags.Float64("foreign", 12, "a run is noisy when other processes use more than that of the two cores, in percent")
	only := flags.String("figure", "", "comma list of figures instead of all: "+strings.Join(names(figures), ", "))
	against := flags.String("peer", "", "comma list of peers instead of all: "+strings.Join(names(peers), ", "))
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 || o.runs < 1 || o.again < 0 {
		return fmt.Errorf("%q is no use of it: -h tells the flags", args)
	}
	o.foreign = *percent / 100
	var err error
	if o.figures, err = choose(figures, *only); err != nil {
		return err
	}
	if o.peers, err = choose(peers, *against); err != nil {
		return err
	}
	if err := pin(); err != nil {
		return err
	}
	// On its one core, one thread serves the sockets while others publish.
	runtime.GOMAXPROCS(2)
	built, err := os.MkdirTemp("", "sluice-load-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(built)
	if err := r.prepare(ctx, built, o.peers); err != nil {
		return err
	}
	return r.compare(ctx, o, stdout, stderr)
}

// pin has the program start again on its core, unless it is there.
func pin() error {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	if own.Count() == 1 && own.IsSet(driverCore) {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("%w: install the package util-linux", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(taskset, append([]string{"taskset", "-c", fmt.Sprint(driverCore), self}, os.Args[1:]...), os.Environ())
}

// prepare builds the servers that will be started.
func (r *rig) prepare(ctx context.Context, dir string, chosen []peer) error {
	var err error
	if r.folder, err = filepath.Abs(r.folder); err != nil {
		return err
	}
	build := func(in, name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in %s: %w\n%s", cmd, in, err, out)
		}
		return nil
	}
	for _, p := range chosen {
		switch {
		case p.label == labelSluice && r.sluice == "":
			r.sluice = filepath.Join(dir, "sluice")
			err = build(filepath.Join(r.folder, "..", ".."), "go", "build", "-o", r.sluice, ".")
		case p.label == labelUsual:
			r.usual = filepath.Join(dir, "usual")
			err = build(r.folder, "go", "build", "-o", r.usual, "./usual")
		case p.label == labelSocketIO:
			for _, tool := range []string{"node", "npm"} {
				if _, err := exec.LookPath(tool); err != nil {
					return fmt.Errorf("%w: install the packages nodejs and npm", err)
				}
			}
			err = build(filepath.Join(r.folder, "socketio"), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// named is a figure or a peer.
type named interface{ name() string }

func names[T named](all []T) []string {
	var list []string
	for _, x := range all {
		list = append(list, x.name())
	}
	return list
}

// choose returns those of a comma list, or all for an empty one.
func choose[T named](all []T, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var chosen []T
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(all, func(x T) bool { return x.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no %q: choose from %s", name, strings.Join(names(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
