package table

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// leastPairs is how many pairs of runs a difference is judged by: of two, each
// is as far from the median as the other.
const leastPairs = 3

// Difference is how a number of one build compares with that of another, by
// runs that alternated.
type Difference struct {
	Ratio  float64 // median of the ratios of the pairs, this build to the other
	Spread float64 // largest distance of a pair's ratio from it
	Pairs  int
}

// Compare pairs the runs in order; zero values have no ratio and are left out.
func Compare(before, after []float64) (d Difference) {
	var ratios []float64
	for i := range min(len(before), len(after)) {
		if before[i] != 0 {
			ratios = append(ratios, after[i]/before[i])
		}
	}
	if d.Pairs = len(ratios); d.Pairs == 0 {
		return d
	}
	d.Ratio = Median(ratios)
	for _, r := range ratios {
		d.Spread = max(d.Spread, math.Abs(r-d.Ratio))
	}
	return d
}

// Verdict is better, worse, or why it is neither. more: more is better.
func (d Difference) Verdict(more bool) string {
	switch {
	case d.Pairs == 0:
		return "not judged: nothing to compare"
	case d.Pairs < leastPairs:
		return fmt.Sprintf("not judged: %d pairs of runs, %d are needed", d.Pairs, leastPairs)
	case d.Spread >= math.Abs(d.Ratio-1):
		return "not judged: the spread is above the difference"
	case (d.Ratio > 1) == more:
		return "better"
	default:
		return "worse"
	}
}

// Row is one line of a table of differences.
type Row struct {
	Label         string
	Before, After []float64 // of runs, in order
	More          bool      // more is better
	Foreign       float64   // the most CPU of others in a run, as a share of two cores; below 0: not measured
}

// PrintRows writes a table of differences.
func PrintRows(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\tbefore\tnow\tratio\tspread\t\tforeign\n")
	for _, r := range rows {
		d := Compare(r.Before, r.After)
		before, now := "", ""
		if len(r.Before) > 0 {
			before = Number(Median(r.Before))
		}
		if len(r.After) > 0 {
			now = Number(Median(r.After))
		}
		foreign := ""
		if r.Foreign >= 0 {
			foreign = fmt.Sprintf("%.0f %%", 100*r.Foreign)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%.2f\t%s\t%s\n", r.Label, before, now, d.Ratio, d.Spread, d.Verdict(r.More), foreign)
	}
	return w.Flush()
}

// printDifference writes a row for each column of each figure: how the own build
// differs from the yardstick.
func (c *Comparison) printDifference(out io.Writer, all []map[string][]Reading) error {
	var rows []Row
	for i, f := range c.Figures {
		for k, col := range f.Columns {
			row := Row{Label: f.Label + ": " + col.Label, More: col.More}
			for _, got := range all[i][c.Yardstick] {
				row.Before = append(row.Before, got.Values[k])
				row.Foreign = max(row.Foreign, got.Usage.Foreign)
			}
			for _, got := range all[i][c.Own] {
				row.After = append(row.After, got.Values[k])
				row.Foreign = max(row.Foreign, got.Usage.Foreign)
			}
			if len(row.Before)+len(row.After) > 0 {
				rows = append(rows, row)
			}
		}
	}
	return PrintRows(out, rows)
}
