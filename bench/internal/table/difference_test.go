package table

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"
)

func TestDifference(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after []float64
		more          bool
		want          string
	}{
		{"less is better", []float64{10, 10, 10}, []float64{5, 5.5, 4.5}, false, "better"},
		{"less is worse", []float64{10, 10, 10}, []float64{5, 5.5, 4.5}, true, "worse"},
		{"more is worse", []float64{10, 10, 10}, []float64{20, 21, 19}, false, "worse"},
		{"a spread as large as the difference", []float64{10, 10, 10}, []float64{11, 12, 10}, false, "not judged: the spread is above the difference"},
		{"the same", []float64{10, 10, 10}, []float64{10, 10, 10}, false, "not judged: the spread is above the difference"},
		{"machines that slow down together", []float64{10, 20, 40}, []float64{5, 10, 20}, false, "better"},
		{"two pairs", []float64{10, 10, 10}, []float64{5, 5}, false, "not judged: 2 pairs of runs, 3 are needed"},
		{"zeros", []float64{0, 0, 0}, []float64{5, 5, 5}, false, "not judged: nothing to compare"},
	} {
		if got := Compare(c.before, c.after).Verdict(c.more); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if d := Compare([]float64{10, 10, 10}, []float64{5, 7, 8}); d.Ratio != 0.7 || d.Spread < 0.19 || d.Spread > 0.21 {
		t.Errorf("%+v, want 0.7 with 0.2", d)
	}
}

// Two builds take turns, and end within their time with what they have.
func TestMeasureAgainst(t *testing.T) {
	f, calls := scripted("f", Reading{Values: []float64{2}}, Reading{Values: []float64{1}}, Reading{Values: []float64{1}}, Reading{Values: []float64{2}})
	f.Only = []string{"now"}
	var order []string
	run := f.Run
	var out, progress strings.Builder
	c := Comparison{Runs: 5, Peers: []string{"before", "now"}, Own: "now", Yardstick: "before", Foreign: 1, Against: "binary", Limit: time.Nanosecond}
	f.Run = recorded(&order, run)
	c.Figures = []Figure{f}
	if err := c.Measure(t.Context(), &out, &progress); err != nil || *calls != 2 || !strings.Contains(progress.String(), "the time is up after 1 of 5 runs") {
		t.Errorf("%v after %d runs\n%s", err, *calls, &progress)
	}
	c.Limit, c.Runs = 0, 1
	if got := strings.Join(append(c.order(0), c.order(1)...), " "); got != "before now now before" {
		t.Errorf("the order is %s", got)
	}
	if want := "f: things  2.00    1.00  0.50   0.00    not judged: 1 pairs of runs, 3 are needed"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, &out)
	}
	if strings.Join(order, " ") != "before now" {
		t.Errorf("runs of %v", order)
	}
}

func recorded(order *[]string, run func(context.Context, string) (Reading, error)) func(context.Context, string) (Reading, error) {
	return func(ctx context.Context, peer string) (Reading, error) {
		*order = append(*order, peer)
		return run(ctx, peer)
	}
}

func TestList(t *testing.T) {
	c := Comparison{Figures: []Figure{{Label: "idle"}, {Label: "hold"}}, Peers: []string{"ours"}}
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	var out strings.Builder
	flags.SetOutput(&out)
	if err := c.Flags(flags, []string{"-list"}); err != ErrListed || out.String() != "idle\nhold\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
