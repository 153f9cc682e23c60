package table

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
)

// saturated is the share of its core from which on the driver, and not the
// server, may be what limits: such numbers are marked as "at least".
const saturated = 0.95

// Reading is what one run of a figure gave.
type Reading struct {
	Values []float64 // one for each column
	process.Usage
}

// Figure is one thing that is measured: one or more numbers of one run.
type Figure struct {
	Label   string
	Columns []Column
	Run     func(ctx context.Context, peer string) (Reading, error)
	Only    []string // peers that have it; nil: all
	// Yardstick is the peer that its ratio is to; "": that of the comparison.
	Yardstick string
}

// List is the values of a reading with their names.
func (f Figure) List(got Reading) string {
	var parts []string
	for k, v := range got.Values {
		parts = append(parts, f.Columns[k].Label+" "+Number(v))
	}
	return strings.Join(parts, ", ")
}

// Comparison is of figures, alternated between peers.
type Comparison struct {
	Figures        []Figure
	Peers          []string
	Own, Yardstick string // peers whose ratio has the aim
	Runs           int
	Verbose        bool
	Foreign        float64 // share of CPU of others above which a run is done again
	Again          int     // times that a noisy run is done again
	// Against is the binary of another build. The driver takes it for the only
	// other peer, and what is printed is how the two differ.
	Against string
	// Limit is how long all runs may take together; 0: as long as they take. Each
	// figure has its share, and at least one run.
	Limit time.Duration
}

// ErrListed is of a command line that asked for the names of the figures.
var ErrListed = errors.New("the figures are listed")

// ErrUsage is of a command line that makes no sense.
var ErrUsage = errors.New("-h tells the flags")

// Flags parses the command line of a driver: its own flags and those that tell
// what is compared. Figures and Peers are what there is to choose from. With
// -h, the error is flag.ErrHelp; with -list, it is ErrListed.
func (c *Comparison) Flags(flags *flag.FlagSet, args []string) error {
	flags.IntVar(&c.Runs, "runs", 5, "runs of each figure, alternated between the peers")
	flags.BoolVar(&c.Verbose, "v", false, "print the numbers of each run")
	flags.IntVar(&c.Again, "again", 2, "times that a noisy run is done again; the quietest counts")
	percent := flags.Float64("foreign", 12, "a run is noisy when other processes use more than that of the two cores, in percent")
	label := func(f Figure) string { return f.Label }
	name := func(p string) string { return p }
	flags.StringVar(&c.Against, "against", "", "binary of another build of Sluice, instead of all peers: tells how the two differ")
	flags.DurationVar(&c.Limit, "limit", 0, "how long all runs may take together; 0: as long as they take")
	list := flags.Bool("list", false, "print the names of the figures")
	only := flags.String("figure", "", "comma list of figures instead of all: "+names(c.Figures, label))
	against := flags.String("peer", "", "comma list of peers instead of all: "+names(c.Peers, name))
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || c.Runs < 1 || c.Again < 0 {
		return fmt.Errorf("%q is no use of it: %w", args, ErrUsage)
	}
	if *list {
		for _, f := range c.Figures {
			fmt.Fprintln(flags.Output(), f.Label)
		}
		return ErrListed
	}
	c.Foreign = *percent / 100
	var err error
	if c.Figures, err = choose(c.Figures, label, *only); err != nil {
		return err
	}
	c.Peers, err = choose(c.Peers, name, *against)
	return err
}

func names[T any](all []T, name func(T) string) string {
	var list []string
	for _, x := range all {
		list = append(list, name(x))
	}
	return strings.Join(list, ", ")
}

// choose returns those of a comma list, or all for an empty one.
func choose[T any](all []T, name func(T) string, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var chosen []T
	for _, want := range strings.Split(list, ",") {
		i := slices.IndexFunc(all, func(x T) bool { return name(x) == want })
		if i < 0 {
			return nil, fmt.Errorf("there is no %q: choose from %s", want, names(all, name))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// Measure runs every figure and prints one table. What was measured before an
// error is printed too.
func (c *Comparison) Measure(ctx context.Context, stdout, stderr io.Writer) error {
	all := make([]map[string][]Reading, len(c.Figures))
	var failed error
	began := time.Now()
measuring:
	for i, f := range c.Figures {
		all[i] = map[string][]Reading{}
		due := began.Add(c.Limit / time.Duration(len(c.Figures)) * time.Duration(i+1))
		for round := range c.Runs {
			start := time.Now()
			for _, p := range c.order(round) {
				if f.Only != nil && !slices.Contains(f.Only, p) && c.Against == "" {
					continue
				}
				fmt.Fprintf(stderr, "%s, %s, run %d of %d\n", f.Label, p, round+1, c.Runs)
				got, err := c.quietest(ctx, f, p)
				if err != nil {
					failed = fmt.Errorf("%s of %s: %w", f.Label, p, err)
					break measuring
				}
				all[i][p] = append(all[i][p], got)
				if c.Verbose {
					fmt.Fprintf(stdout, "%s, %s, run %d: %s; driver's CPU %.0f %%, foreign CPU %.0f %%\n", f.Label, p, round+1, f.List(got), 100*got.Driver, 100*got.Usage.Foreign)
				}
			}
			if took := time.Since(start); c.Limit > 0 && round+1 < c.Runs && time.Now().Add(took).After(due) {
				fmt.Fprintf(stderr, "%s: the time is up after %d of %d runs\n", f.Label, round+1, c.Runs)
				break
			}
		}
	}
	show := c.print
	if c.Against != "" {
		show = c.printDifference
	}
	if err := show(stdout, all); err != nil {
		return err
	}
	return failed
}

// order is that of the peers in a round. Two builds take turns at being first,
// so that what the first leaves behind burdens both.
func (c *Comparison) order(round int) []string {
	if c.Against == "" || round%2 == 0 {
		return c.Peers
	}
	other := slices.Clone(c.Peers)
	slices.Reverse(other)
	return other
}

// quietest repeats a run while it is noisy.
func (c *Comparison) quietest(ctx context.Context, f Figure, peer string) (best Reading, err error) {
	for attempt := 0; ; attempt++ {
		got, err := f.Run(ctx, peer)
		if err != nil {
			return Reading{}, err
		}
		if attempt == 0 || got.Usage.Foreign < best.Usage.Foreign {
			best = got
		}
		if best.Usage.Foreign <= c.Foreign || attempt == c.Again {
			return best, nil
		}
	}
}

// print writes a row for each column of each figure that has readings.
func (c *Comparison) print(out io.Writer, all []map[string][]Reading) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\tratio\taim\t\tforeign\n", strings.Join(c.Peers, "\t"))
	for i, f := range c.Figures {
		yardstick, to := c.Yardstick, ""
		if f.Yardstick != "" {
			yardstick, to = f.Yardstick, " (to "+f.Yardstick+")"
		}
		for k, col := range f.Columns {
			medians := map[string]*float64{}
			cells := []string{}
			foreign := 0.0
			for _, p := range c.Peers {
				list := all[i][p]
				if len(list) == 0 {
					cells = append(cells, "")
					continue
				}
				mark := ""
				var values []float64
				for _, got := range list {
					values = append(values, got.Values[k])
					foreign = max(foreign, got.Usage.Foreign)
					if col.More && got.Driver >= saturated {
						mark = ">= "
					}
				}
				m := Median(values)
				medians[p] = &m
				cells = append(cells, mark+Number(m))
			}
			if len(medians) > 0 {
				fmt.Fprintf(w, "%s%s: %s\t%s\t%s\t%.0f %%\n", f.Label, to, col.Label, strings.Join(cells, "\t"), col.Verdict(medians[c.Own], medians[yardstick]), 100*foreign)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "medians of %d; ratio is to %s where no other is named; foreign is the most CPU that others had of the two cores in a run\n", c.Runs, c.Yardstick)
	return err
}
