package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// saturated is the share of its core from which on the driver, and not the
// server, may be what limits: such numbers are marked as "at least".
const saturated = 0.95

// reading is what one run of a figure gave.
type reading struct {
	values []float64 // one for each column
	process.Usage
}

// results are the readings of one figure by peer.
type results map[string][]reading

// compare measures every figure, alternating between the peers, and prints one
// table. What was measured before an error is printed too.
func (r *rig) compare(ctx context.Context, o options, stdout, stderr io.Writer) error {
	all := make([]results, len(o.figures))
	var failed error
measuring:
	for i, f := range o.figures {
		all[i] = results{}
		for round := range o.runs {
			for _, p := range o.peers {
				fmt.Fprintf(stderr, "%s, %s, run %d of %d\n", f.label, p.label, round+1, o.runs)
				got, err := r.quietest(ctx, f, p, o)
				if err != nil {
					failed = fmt.Errorf("%s of %s: %w", f.label, p.label, err)
					break measuring
				}
				all[i][p.label] = append(all[i][p.label], got)
				if o.verbose {
					fmt.Fprintf(stdout, "%s, %s, run %d: %s; driver's CPU %.0f %%, foreign CPU %.0f %%\n", f.label, p.label, round+1, f.list(got), 100*got.Driver, 100*got.Foreign)
				}
			}
		}
	}
	if err := printTable(stdout, o, all); err != nil {
		return err
	}
	return failed
}

// quietest repeats a run while it is noisy.
func (r *rig) quietest(ctx context.Context, f figure, p peer, o options) (best reading, err error) {
	for attempt := 0; ; attempt++ {
		got, err := f.run(ctx, r, p)
		if err != nil {
			return reading{}, err
		}
		if attempt == 0 || got.Foreign < best.Foreign {
			best = got
		}
		if best.Foreign <= o.foreign || attempt == o.again {
			return best, nil
		}
	}
}

// printTable writes a row for each column of each figure that has readings.
func printTable(out io.Writer, o options, all []results) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\tratio\taim\t\tforeign\n", strings.Join(table.Names(o.peers), "\t"))
	for i, f := range o.figures {
		for k, col := range f.columns {
			medians := map[string]*float64{}
			cells := []string{}
			foreign := 0.0
			for _, p := range o.peers {
				list := all[i][p.label]
				if len(list) == 0 {
					cells = append(cells, "")
					continue
				}
				mark := ""
				for _, got := range list {
					foreign = max(foreign, got.Foreign)
					if col.More && got.Driver >= saturated {
						mark = ">= "
					}
				}
				m := median(list, k)
				medians[p.label] = &m
				cells = append(cells, mark+table.Number(m))
			}
			if len(medians) > 0 {
				fmt.Fprintf(w, "%s: %s\t%s\t%s\t%.0f %%\n", f.label, col.Label, strings.Join(cells, "\t"), col.Verdict(medians[labelSluice], medians[labelSocketIO]), 100*foreign)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "medians of %d; ratio is to %s; foreign is the most CPU that others had of the two cores in a run\n", o.runs, labelSocketIO)
	return err
}

func (f figure) list(got reading) string {
	var parts []string
	for k, v := range got.values {
		parts = append(parts, f.columns[k].Label+" "+table.Number(v))
	}
	return strings.Join(parts, ", ")
}

func median(list []reading, column int) float64 {
	var v []float64
	for _, got := range list {
		v = append(v, got.values[column])
	}
	return table.Median(v)
}
