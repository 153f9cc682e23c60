package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// saturated is the share of its core from which on the driver, and not the
// server, may be what limits: such numbers are marked as "at least".
const saturated = 0.95

// reading is what one run of a figure gave.
type reading struct {
	values []float64 // one for each column
	usage
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
					fmt.Fprintf(stdout, "%s, %s, run %d: %s; driver's CPU %.0f %%, foreign CPU %.0f %%\n", f.label, p.label, round+1, f.list(got), 100*got.driver, 100*got.foreign)
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
		if attempt == 0 || got.foreign < best.foreign {
			best = got
		}
		if best.foreign <= o.foreign || attempt == o.again {
			return best, nil
		}
	}
}

// printTable writes a row for each column of each figure that has readings.
func printTable(out io.Writer, o options, all []results) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\tratio\taim\t\tforeign\n", strings.Join(names(o.peers), "\t"))
	for i, f := range o.figures {
		for k, col := range f.columns {
			medians := map[string]float64{}
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
					foreign = max(foreign, got.foreign)
					if col.more && got.driver >= saturated {
						mark = ">= "
					}
				}
				medians[p.label] = median(list, k)
				cells = append(cells, mark+number(medians[p.label]))
			}
			if len(medians) > 0 {
				fmt.Fprintf(w, "%s: %s\t%s\t%s\t%.0f %%\n", f.label, col.label, strings.Join(cells, "\t"), col.verdict(medians), 100*foreign)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "medians of %d; ratio is to %s; foreign is the most CPU that others had of the two cores in a run\n", o.runs, labelSocketIO)
	return err
}

// verdict returns the cells ratio, aim and whether it is met.
func (c column) verdict(medians map[string]float64) string {
	own, measured := medians[labelSluice]
	yardstick, against := medians[labelSocketIO]
	ratio, aim, met := "", "", false
	if measured && against && yardstick > 0 {
		ratio = fmt.Sprintf("%.2f", own/yardstick)
	}
	switch {
	case c.limit > 0:
		aim, met = fmt.Sprintf("at most %g", c.limit), own <= c.limit
	case c.factor == 0:
		return ratio + "\t\t"
	case c.more:
		aim, met = fmt.Sprintf("at least %g times", c.factor), own >= c.factor*yardstick
	default:
		aim, met = fmt.Sprintf("at most %g times", c.factor), own <= c.factor*yardstick
	}
	switch {
	case !measured || c.limit == 0 && !against:
		return ratio + "\t" + aim + "\t"
	case met:
		return ratio + "\t" + aim + "\tmet"
	default:
		return ratio + "\t" + aim + "\tNOT MET"
	}
}

func (f figure) list(got reading) string {
	var parts []string
	for k, v := range got.values {
		parts = append(parts, f.columns[k].label+" "+number(v))
	}
	return strings.Join(parts, ", ")
}

func median(list []reading, column int) float64 {
	var v []float64
	for _, got := range list {
		v = append(v, got.values[column])
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
