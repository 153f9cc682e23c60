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
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// rig is what the figures are measured with.
type rig struct {
	folder string // this program's sources, with the peers
	sluice string // binary
	usual  string // binary
	before string // binary of another build of Sluice

	centrifugo string // binary
	pinned     bool   // servers to process.ServerCore
	secure     bool   // the servers have TLS of their own
	extent     extent
}

func main() { process.Main("load", command) }

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	r := rig{pinned: true, extent: full}
	c := r.comparison()
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.folder, "folder", "load", "folder of this program's sources, with the peers")
	flags.StringVar(&r.sluice, "sluice", "", "binary to measure, instead of one built from the sources beside")
	if err := c.Flags(flags, args); errors.Is(err, flag.ErrHelp) || errors.Is(err, table.ErrListed) {
		return nil
	} else if err != nil {
		return err
	}
	if c.Against != "" {
		r.before, c.Peers, c.Yardstick = c.Against, []string{labelBefore, labelSluice}, labelBefore
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
	if err := r.prepare(ctx, built, c.Peers); err != nil {
		return err
	}
	return c.Measure(ctx, stdout, stderr)
}

// comparison is of all figures and peers.
func (r *rig) comparison() table.Comparison {
	c := table.Comparison{Own: labelSluice, Yardstick: labelSocketIO}
	byLabel := map[string]peer{labelBefore: {labelBefore, startBefore}}
	for _, p := range peers {
		byLabel[p.label] = p
		c.Peers = append(c.Peers, p.label)
	}
	for _, f := range figures {
		c.Figures = append(c.Figures, table.Figure{Label: f.label, Columns: f.columns, Only: f.only, Yardstick: f.yardstick, Run: func(ctx context.Context, p string) (table.Reading, error) {
			return f.run(ctx, r, byLabel[p])
		}})
	}
	return c
}

// pin has the program start again on its core, unless it is there.
func pin() error {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	if own.Count() == 1 && own.IsSet(process.DriverCore) {
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
	return unix.Exec(taskset, append([]string{"taskset", "-c", fmt.Sprint(process.DriverCore), self}, os.Args[1:]...), os.Environ())
}

// prepare builds the servers that will be started.
func (r *rig) prepare(ctx context.Context, dir string, chosen []string) error {
	var err error
	if r.folder, err = filepath.Abs(r.folder); err != nil {
		return err
	}
	for _, p := range chosen {
		switch {
		case p == labelSluice && r.sluice == "":
			r.sluice = filepath.Join(dir, "sluice")
			err = process.BuildSluice(ctx, r.folder, r.sluice)
		case p == labelCentrifugo:
			r.centrifugo, err = process.Centrifugo(ctx)
		case p == labelUsual:
			r.usual = filepath.Join(dir, "usual")
			err = process.Run(ctx, r.folder, "go", "build", "-o", r.usual, "./usual")
		case p == labelSocketIO:
			err = process.Modules(ctx, filepath.Join(r.folder, "socketio"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
