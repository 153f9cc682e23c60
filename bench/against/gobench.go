package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/bench/internal/table"
)

// benchTime is how long each run of a benchmark takes, beside its preparations.
const benchTime = "1s"

// compareBenchmarks alternates the test binaries of both builds, and matches
// what they print by benchmark and unit.
func (j *job) compareBenchmarks(ctx context.Context, names []string, limit time.Duration) error {
	began := time.Now()
	var rows rows
	for i, name := range names {
		due := began.Add(limit / time.Duration(len(names)) * time.Duration(i+1))
		for round := range j.runs {
			start := time.Now()
			order := []build{j.old, j.own}
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, b := range order {
				fmt.Fprintf(j.log, "%s, %s, run %d of %d\n", name, filepath.Base(b.sluice), round+1, j.runs)
				text, err := output(ctx, filepath.Join(b.folder, "bench"), b.bench, "-test.run", "^$", "-test.bench", "^"+regexp.QuoteMeta(name)+"$", "-test.benchtime", benchTime)
				if err != nil {
					return err
				}
				if j.verbose {
					fmt.Fprintln(j.out, text)
				}
				rows.add(text, b == j.old)
			}
			if took := time.Since(start); time.Now().Add(took).After(due) && round+1 < j.runs {
				fmt.Fprintf(j.log, "%s: the time is up after %d of %d runs\n", name, round+1, j.runs)
				break
			}
		}
	}
	return table.PrintRows(j.out, rows)
}

// rows are the numbers of all benchmarks so far.
type rows []table.Row

// processors is the end of a benchmark's name, where it is not 1.
var processors = regexp.MustCompile(`-\d+$`)

// add takes the lines of a run: NAME N VALUE UNIT [VALUE UNIT]...
func (r *rows) add(text string, old bool) {
	for _, line := range lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], benchmark) {
			continue
		}
		name := strings.TrimPrefix(processors.ReplaceAllString(f[0], ""), benchmark)
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				break
			}
			label := name + " " + f[i+1]
			k := slices.IndexFunc(*r, func(row table.Row) bool { return row.Label == label })
			if k < 0 {
				k = len(*r)
				*r = append(*r, table.Row{Label: label, Foreign: -1, More: strings.HasSuffix(f[i+1], "/s")})
			}
			if row := &(*r)[k]; old {
				row.Before = append(row.Before, v)
			} else {
				row.After = append(row.After, v)
			}
		}
	}
}
