// Command cluster measures the link between members of Sluice, and of its
// peers, in one run: servers as processes of their own on one real Redis, not
// pinned to cores. What each figure means is in docs/bench.md.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// rig is what the figures are measured with.
type rig struct {
	folder string // this program's sources, with the peers
	sluice string // binary
	before string // binary of another build of Sluice

	centrifugo string // binary
	bare       string // binary
	lanes      int    // streams of messages into Sluice at a time
	extent     extent
	log        io.Writer
	samples    samples
}

func main() {
	if orders := os.Getenv(holderVariable); orders != "" {
		process.Main("cluster: holding sockets", func(ctx context.Context, _ []string, _, _ io.Writer) error {
			return heldUntilToldToEnd(ctx, orders)
		})
		return
	}
	process.Main("cluster", command)
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	r := rig{extent: full, log: stderr}
	c := table.Comparison{Figures: r.figures(), Peers: labels, Own: labelSluice, Yardstick: labelStreams}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.folder, "folder", "cluster", "folder of this program's sources, with the peers")
	flags.StringVar(&r.sluice, "sluice", "", "binary to measure, instead of one built from the sources beside")
	flags.IntVar(&r.lanes, "streams", 2, "streams of messages into Sluice at a time")
	flags.DurationVar(&r.extent.hold, "hold", full.hold, "how long the highest rate is held")
	flags.DurationVar(&r.extent.span, "span", full.span, "how long the other figures are measured")
	plot := flags.String("plot", "", "SVG file for the distribution of lone and equal messages")
	grow := flags.String("grow", "", "instead of figures: folder for the plots of Sluice's memory, processor and delays against sockets and rates")
	if err := c.Flags(flags, args); errors.Is(err, flag.ErrHelp) || errors.Is(err, table.ErrListed) {
		return nil
	} else if err != nil {
		return err
	}
	if c.Against != "" {
		r.before, c.Peers, c.Yardstick = c.Against, []string{labelBefore, labelSluice}, labelBefore
	}
	if *grow != "" {
		c.Peers = []string{labelSluice}
	}
	built, err := os.MkdirTemp("", "sluice-cluster-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(built)
	if err := r.prepare(ctx, built, c.Peers); err != nil {
		return err
	}
	if *grow != "" {
		return r.grow(ctx, *grow, stdout)
	}
	if err := c.Measure(ctx, stdout, stderr); err != nil || *plot == "" {
		return err
	}
	if len(r.samples.lone) == 0 || len(r.samples.equal) == 0 {
		return nil // not chosen
	}
	return os.WriteFile(*plot, []byte(r.samples.plot()), 0o644)
}

// prepare builds the servers that will be started.
func (r *rig) prepare(ctx context.Context, dir string, peers []string) error {
	var err error
	if r.folder, err = filepath.Abs(r.folder); err != nil {
		return err
	}
	if slices.Contains(peers, labelSluice) && r.sluice == "" {
		r.sluice = filepath.Join(dir, "sluice")
		if err := process.BuildSluice(ctx, r.folder, r.sluice); err != nil {
			return err
		}
	}
	if slices.Contains(peers, labelCentrifugo) {
		if r.centrifugo, err = process.Centrifugo(ctx); err != nil {
			return err
		}
	}
	if slices.Contains(peers, labelBare) {
		r.bare = filepath.Join(dir, "bare")
		if err := process.Run(ctx, r.folder, "go", "build", "-o", r.bare, "./bare"); err != nil {
			return err
		}
	}
	if slices.Contains(peers, labelStreams) || slices.Contains(peers, labelPubSub) {
		return process.Modules(ctx, filepath.Join(r.folder, "socketio"))
	}
	return nil
}
