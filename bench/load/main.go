// Command load measures the sockets of Sluice and of its peers in one run, the
// servers pinned to the first core and itself to the second. See docs/bench.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

var (
	folder  = flag.String("folder", "load", "folder of this program's sources, with the peers")
	runs    = flag.Int("runs", 5, "runs of each figure, alternated between the peers")
	only    = flag.String("figure", "", "comma list of figures instead of all")
	against = flag.String("peer", "", "comma list of peers instead of all")
	verbose = flag.Bool("v", false, "print the numbers of each run")
	binary  = flag.String("sluice", "", "binary to measure, instead of one built from the sources beside")
	usual   = new(string)
)

func main() {
	flag.Parse()
	err := pin()
	if err == nil {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// pin has the program start again on the second core, unless it is there.
func pin() error {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return err
	}
	if own.Count() == 1 && own.IsSet(1) {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("%w: it is of the package util-linux", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(taskset, append([]string{"taskset", "-c", "1", self}, os.Args[1:]...), os.Environ())
}

func run() error {
	built, err := os.MkdirTemp("", "sluice-load-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(built)
	if err := prepare(built); err != nil {
		return err
	}
	// On its one core, a thread serves the sockets while others publish.
	runtime.GOMAXPROCS(2)
	for _, f := range figures {
		if chosen(*only, f.name) {
			if err := f.measure(); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

func chosen(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

// prepare builds the servers.
func prepare(dir string) error {
	command := func(in, name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stderr = in, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", cmd, err)
		}
		return nil
	}
	*usual = filepath.Join(dir, "usual")
	if err := command(*folder, "go", "build", "-o", *usual, "./usual"); err != nil {
		return err
	}
	if *binary == "" {
		*binary = filepath.Join(dir, "sluice")
		if err := command(filepath.Join(*folder, "..", ".."), "go", "build", "-o", *binary, "."); err != nil {
			return err
		}
	}
	abs, err := filepath.Abs(*folder)
	if err != nil {
		return err
	}
	*folder = abs
	if !chosen(*against, "socket.io") {
		return nil
	}
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("%w: install the package nodejs", err)
	}
	return command(filepath.Join(abs, "socketio"), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
}

// measure prints the table of one figure.
func (f figure) measure() error {
	all := map[string][][]float64{}
	foreign := 0.0
	for round := range *runs {
		for _, p := range peers {
			if !chosen(*against, p.name) {
				continue
			}
			before := sampleCPU()
			numbers, err := f.run(p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			after := sampleCPU()
			share := after.foreign(before)
			foreign = max(foreign, share)
			all[p.name] = append(all[p.name], numbers)
			if *verbose {
				fmt.Printf("%s, %s, run %d: %.4g, own CPU %.0f %%, foreign CPU %.0f %%\n", f.name, p.name, round+1, numbers, 100*after.self(before), 100*share)
			}
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for k, col := range f.columns {
		fmt.Fprintf(w, "%s: %s", f.name, col.name)
		medians := map[string]float64{}
		for _, p := range peers {
			if values := all[p.name]; values != nil {
				medians[p.name] = median(values, k)
				fmt.Fprintf(w, "\t%s %s", p.name, number(medians[p.name]))
			}
		}
		fmt.Fprintf(w, "\t%s\n", col.verdict(medians))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("  (median of %d, foreign CPU at most %.0f %%)\n", *runs, 100*foreign)
	return nil
}

func (c column) verdict(medians map[string]float64) string {
	own, peer := medians["sluice"], medians["socket.io"]
	switch {
	case own == 0 || peer == 0 && c.limit == 0:
		return ""
	case c.limit > 0:
		return fmt.Sprintf("aim: at most %g: %s", c.limit, met(own <= c.limit))
	case c.factor == 0:
		return fmt.Sprintf("%.2f times socket.io", own/peer)
	case c.more:
		return fmt.Sprintf("%.2f times socket.io, aim at least %g: %s", own/peer, c.factor, met(own >= c.factor*peer))
	default:
		return fmt.Sprintf("%.2f times socket.io, aim at most %g: %s", own/peer, c.factor, met(own <= c.factor*peer))
	}
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "NOT MET"
}

func median(rows [][]float64, column int) float64 {
	var v []float64
	for _, r := range rows {
		v = append(v, r[column])
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
