// Command mailplot draws the delays that TestMailDelay of cli has written.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/seed47708276/sluice/bench/internal/histogram"
)

// panels are what is drawn of each kind of delay. The marks are the aims for the
// medians without delays, and what the documentation says of the defaults.
var panels = []struct {
	timings, place string
	panel          histogram.Panel
}{
	{"none", "own", histogram.Panel{Title: "No delays, client on the member that Dovecot tells", To: 200, Bin: 5, Tick: 20, Marks: []int{30}}},
	{"none", "other", histogram.Panel{Title: "No delays, client on another member", To: 200, Bin: 5, Tick: 20, Marks: []int{60}}},
	{"default", "own", histogram.Panel{Title: "Default timings, client on the member that Dovecot tells", To: 4_000, Bin: 50, Tick: 500, Marks: []int{1_000, 1_500}}},
	{"default", "other", histogram.Panel{Title: "Default timings, client on another member", To: 4_000, Bin: 50, Tick: 500, Marks: []int{2_000, 3_000}}},
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mailplot DELAYS SVG")
		os.Exit(2)
	}
	if err := plot(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func plot(delays, svg string) error {
	f, err := os.Open(delays)
	if err != nil {
		return err
	}
	defer f.Close()
	values := map[[2]string][]time.Duration{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var kind [2]string
		var nanos int64
		if _, err := fmt.Sscan(lines.Text(), &kind[0], &kind[1], &nanos); err != nil {
			return fmt.Errorf("%s: %q: %w", delays, lines.Text(), err)
		}
		values[kind] = append(values[kind], time.Duration(nanos))
	}
	if err := lines.Err(); err != nil {
		return err
	}
	var list []histogram.Panel
	for _, p := range panels {
		took := values[[2]string{p.timings, p.place}]
		if len(took) == 0 {
			return fmt.Errorf("%s has no delays of %s, %s", delays, p.timings, p.place)
		}
		slices.Sort(took)
		p.panel.Values = took
		p.panel.Note = fmt.Sprintf("median %d ms, 99th percentile %d ms; what is off the axis stands at its end", took[len(took)/2].Milliseconds(), took[len(took)*99/100].Milliseconds())
		list = append(list, p.panel)
	}
	return os.WriteFile(svg, []byte(histogram.Draw("From the LMTP submission of a mail to its event in the client", list)), 0o644)
}
