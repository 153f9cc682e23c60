package table

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/bench/internal/process"
)

// scripted is a figure whose runs give these readings, then an error.
func scripted(label string, list ...Reading) (Figure, *int) {
	calls := new(int)
	return Figure{Label: label, Columns: []Column{{Label: "things", Factor: 1, More: true}}, Run: func(context.Context, string) (Reading, error) {
		if *calls++; *calls > len(list) {
			return Reading{}, errors.New("enough")
		}
		return list[*calls-1], nil
	}}, calls
}

func TestQuietest(t *testing.T) {
	noisy := func(v, foreign float64) Reading { return Reading{[]float64{v}, process.Usage{Foreign: foreign}} }
	f, calls := scripted("f", noisy(1, 0.5), noisy(2, 0.3), noisy(3, 0.4), noisy(4, 0))
	c := Comparison{Foreign: 0.1, Again: 2}
	got, err := c.quietest(t.Context(), f, "ours")
	if err != nil || got.Values[0] != 2 || *calls != 3 {
		t.Errorf("%v, %v after %d runs, want the second of three", got.Values, err, *calls)
	}
	if got, err = c.quietest(t.Context(), f, "ours"); err != nil || got.Values[0] != 4 || *calls != 4 {
		t.Errorf("%v, %v after %d runs, want the first quiet one", got.Values, err, *calls)
	}
}

// What was measured before an error is in the table, and the error comes out.
func TestMeasureFails(t *testing.T) {
	good, _ := scripted("good", Reading{[]float64{1500}, process.Usage{Driver: 0.97, Foreign: 0.25}}, Reading{Values: []float64{1000}})
	own, _ := scripted("own", Reading{Values: []float64{3}})
	own.Only = []string{"ours"}
	bad, _ := scripted("bad")
	var out, progress strings.Builder
	c := Comparison{Runs: 1, Figures: []Figure{good, own, bad}, Peers: []string{"ours", "theirs"}, Own: "ours", Yardstick: "theirs", Foreign: 1, Verbose: true}
	err := c.Measure(t.Context(), &out, &progress)
	if err == nil || err.Error() != "bad of ours: enough" {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"good, ours, run 1: things 1500; driver's CPU 97 %, foreign CPU 25 %\n", ">= 1500", "1.50", "at least 1 times", "met", "25 %\n", "own: things   3.00"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if !strings.Contains(progress.String(), "bad, ours, run 1 of 1\n") {
		t.Errorf("progress:\n%s", &progress)
	}
}

func TestFlags(t *testing.T) {
	parse := func(args string) (Comparison, error) {
		c := Comparison{Figures: []Figure{{Label: "idle"}, {Label: "hold"}}, Peers: []string{"ours", "theirs"}}
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		err := c.Flags(flags, strings.Fields(args))
		return c, err
	}
	for args, want := range map[string]string{
		"-figure idle,idel": `there is no "idel": choose from idle, hold`,
		"-peer nginx":       `there is no "nginx": choose from ours, theirs`,
		"-runs 0":           "is no use of it",
		"idle":              "is no use of it",
		"-h":                flag.ErrHelp.Error(),
	} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %s", args, err, want)
		}
	}
	c, err := parse("-figure hold -peer theirs -foreign 50")
	if err != nil || len(c.Figures) != 1 || c.Figures[0].Label != "hold" || !slices.Equal(c.Peers, []string{"theirs"}) || c.Runs != 5 || c.Foreign != 0.5 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = parse(""); err != nil || len(c.Figures) != 2 || len(c.Peers) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}
