package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// scripted is a figure whose runs give these readings, then an error.
func scripted(label string, list ...reading) (figure, *int) {
	calls := new(int)
	return figure{label, []table.Column{{Label: "things", Factor: 1, More: true}}, func(context.Context, *rig, peer) (reading, error) {
		if *calls++; *calls > len(list) {
			return reading{}, errors.New("enough")
		}
		return list[*calls-1], nil
	}}, calls
}

func TestQuietest(t *testing.T) {
	noisy := func(v, foreign float64) reading { return reading{[]float64{v}, process.Usage{Foreign: foreign}} }
	f, calls := scripted("f", noisy(1, 0.5), noisy(2, 0.3), noisy(3, 0.4), noisy(4, 0))
	o := options{foreign: 0.1, again: 2}
	got, err := (&rig{}).quietest(t.Context(), f, peers[0], o)
	if err != nil || got.values[0] != 2 || *calls != 3 {
		t.Errorf("%v, %v after %d runs, want the second of three", got.values, err, *calls)
	}
	if got, err = (&rig{}).quietest(t.Context(), f, peers[0], o); err != nil || got.values[0] != 4 || *calls != 4 {
		t.Errorf("%v, %v after %d runs, want the first quiet one", got.values, err, *calls)
	}
}

// What was measured before an error is in the table, and the error comes out.
func TestCompareFails(t *testing.T) {
	good, _ := scripted("good", reading{[]float64{1500}, process.Usage{Driver: 0.97, Foreign: 0.25}}, reading{values: []float64{1000}})
	bad, _ := scripted("bad")
	var out, progress strings.Builder
	o := options{runs: 1, figures: []figure{good, bad}, peers: peers[:2], foreign: 1, verbose: true}
	err := (&rig{}).compare(t.Context(), o, &out, &progress)
	if err == nil || err.Error() != "bad of sluice: enough" {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"good, sluice, run 1: things 1500; driver's CPU 97 %, foreign CPU 25 %\n", ">= 1500", "1.50", "at least 1 times", "met", "25 %\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if !strings.Contains(progress.String(), "bad, sluice, run 1 of 1\n") {
		t.Errorf("progress:\n%s", &progress)
	}
}

func TestCommandRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-figure idle,idel": `there is no "idel": choose from idle, hold`,
		"-peer nginx":       `there is no "nginx": choose from sluice`,
		"-runs 0":           "is no use of it",
		"idle":              "is no use of it",
	} {
		var out strings.Builder
		err := command(t.Context(), strings.Fields(args), &out, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %s", args, err, want)
		}
	}
}
