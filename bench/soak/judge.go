package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// sample is what a member used at a time, while all links were whole.
type sample struct {
	at     time.Duration
	values [quantities]float64
}

// What is looked at.
const (
	live      = iota // MiB that the last collection left
	anonymous        // MiB of resident memory that no file is behind
	goroutines
	descriptors // beside those of the sockets
	held        // sockets: the load, which is not judged
	quantities
)

// kinds has the growth that passes: in an hour, and in all, since a short run says
// little. What one left-over object costs is far
// above it: in an hour there are 72,000 sockets, 360,000 messages, 18,000 writes,
// 1,800 reloads and 280 cuts. The audit log grows by what is written, on the disk.
var kinds = [quantities]struct {
	name   string
	hourly float64
	least  float64
	judged bool
}{
	live:        {"live MiB", 3, 1.5, true},
	anonymous:   {"resident MiB", 12, 6, true},
	goroutines:  {"goroutines", 30, 12, true},
	descriptors: {"other descriptors", 30, 12, true},
	held:        {"sockets", 0, 0, false},
}

func (x sample) String() string {
	var b strings.Builder
	for i, k := range kinds {
		fmt.Fprintf(&b, "%s %.1f  ", k.name, x.values[i])
	}
	return strings.TrimSpace(b.String())
}

const mib = 1 << 20

func (s *soak) sample(ctx context.Context, member int) (x sample, err error) {
	status, text, err := s.ask(ctx, member, http.MethodGet, "/metrics", nil)
	if err != nil {
		return x, err
	}
	if status != http.StatusOK {
		return x, fmt.Errorf("/metrics: status %d: %.300s", status, text)
	}
	all := map[string]float64{} // labels are summed up
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if i := strings.LastIndexByte(lines.Text(), ' '); i >= 0 {
			value = lines.Text()[i+1:]
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return x, fmt.Errorf("/metrics: %q: %w", lines.Text(), err)
		}
		name, _, _ = strings.Cut(name, "{")
		all[name] += v
	}
	// The collector's goal is twice what it has found alive.
	x.values[live] = all["go_memstats_next_gc_bytes"] / 2 / mib
	x.values[goroutines] = all["go_goroutines"]
	x.values[held] = all["sluice_sockets"]
	pid := s.members[member].PID()
	kib, err := process.Anonymous(pid)
	if err != nil {
		return x, err
	}
	x.values[anonymous] = kib / 1024
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	x.values[descriptors] = float64(len(open)) - x.values[held]
	return x, err
}

// fewest is how many windows a growth is told from.
const fewest = 5

// warmUp is how long what is bounded by time fills: what clients may come back for
// is kept for ten minutes, and what became of messages for 16 of each user.
const warmUp = 15 * time.Minute

// window is of which time the lowest value counts: what a burst of work takes comes
// back, and what leaks does not.
const window = 2 * time.Minute

// lows are the samples of the lowest values of each window.
func lows(all []sample) (list []sample) {
	for from := 0; from < len(all); {
		low, to := all[from], from
		for ; to < len(all) && all[to].at < all[from].at+window; to++ {
			for k, v := range all[to].values {
				low.values[k] = min(low.values[k], v)
			}
		}
		low.at += (all[to-1].at - low.at) / 2
		list, from = append(list, low), to
	}
	return list
}

// judge prints how what was looked at has changed since the first quarter of the
// run, or warmUp where that is longer, and fails where that is more than may be.
func (s *soak) judge(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\t\tlowest of\tfirst\tmedian\tlast\tslope an hour\tmay be\t")
	var failed error
	for i, all := range s.samples {
		warm := lows(slices.DeleteFunc(slices.Clone(all), func(x sample) bool { return x.at < max(s.span/4, warmUp) }))
		if len(warm) < fewest {
			return fmt.Errorf("member %d has %d times of %s after the first %s, and %d are needed: take longer", i, len(warm), window, max(s.span/4, warmUp), fewest)
		}
		for k, kind := range kinds {
			var values []float64
			for _, x := range warm {
				values = append(values, x.values[k])
			}
			slope := slopeOf(warm, k)
			grown := slope * (warm[len(warm)-1].at - warm[0].at).Hours()
			verdict, may := "", "any"
			if kind.judged {
				may = fmt.Sprintf("%g, or %g in all", kind.hourly, kind.least)
				if verdict = "flat"; slope > kind.hourly && grown > kind.least {
					verdict = "GROWS"
					failed = errors.Join(failed, fmt.Errorf("%s of member %d grow by %.1f an hour, and %g may be: -support FOLDER keeps the stacks of its goroutines", kind.name, i, slope, kind.hourly))
				}
			}
			fmt.Fprintf(w, "m%d\t%s\t%d\t%.1f\t%.1f\t%.1f\t%+.1f\t%s\t%s\n", i, kind.name, len(warm), values[0], table.Median(values), values[len(values)-1], slope, may, verdict)
		}
	}
	return errors.Join(w.Flush(), failed)
}

// slopeOf is the median of the slopes between all pairs of samples (Theil and Sen),
// in units an hour: a few samples that lie far off do not move it.
func slopeOf(list []sample, k int) float64 {
	var slopes []float64
	for i, a := range list {
		for _, b := range list[i+1:] {
			slopes = append(slopes, (b.values[k]-a.values[k])/(b.at-a.at).Hours())
		}
	}
	return table.Median(slopes)
}
