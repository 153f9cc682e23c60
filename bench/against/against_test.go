package main

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/bench/internal/table"
)

func TestRows(t *testing.T) {
	var r rows
	r.add("goos: linux\nBenchmarkA/x-1-2   100  12.5 ns/op  3 B/op\nBenchmarkRate-2  7  1 ns/op  250 writes/s\nPASS", true)
	r.add("BenchmarkA/x-1-2   100  10 ns/op  3 B/op\nBenchmarkNew 1 5 ns/op\n", false)
	want := rows{
		{Label: "A/x-1 ns/op", Foreign: -1, Before: []float64{12.5}, After: []float64{10}},
		{Label: "A/x-1 B/op", Foreign: -1, Before: []float64{3}, After: []float64{3}},
		{Label: "Rate ns/op", Foreign: -1, Before: []float64{1}},
		{Label: "Rate writes/s", Foreign: -1, Before: []float64{250}, More: true},
		{Label: "New ns/op", Foreign: -1, After: []float64{5}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v", r)
	}
	if err := table.PrintRows(&bytes.Buffer{}, r); err != nil {
		t.Error(err)
	}
}

// Each driver gets its figures, and its share of the time.
func TestMeasure(t *testing.T) {
	type call struct {
		figures string
		limit   time.Duration
	}
	var calls []call
	fake := func(name string, figures ...string) driver {
		return driver{name, figures, func(_ context.Context, chosen []string, limit time.Duration) error {
			calls = append(calls, call{strings.Join(chosen, " "), limit.Round(time.Minute)})
			return nil
		}}
	}
	j := job{out: &bytes.Buffer{}, figures: []string{"c", "a", "b"}}
	drivers := []driver{fake("one", "a", "b", "x"), fake("two", "c")}
	if err := j.measure(t.Context(), drivers, time.Now().Add(30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	// The first took no time, which the second has, too.
	if want := []call{{"a b", 20 * time.Minute}, {"c", 30 * time.Minute}}; !reflect.DeepEqual(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
	j.figures = []string{"a", "nothing"}
	if err := j.measure(t.Context(), drivers, time.Now()); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("%v", err)
	}
	j.figures = []string{"a"}
	if err := j.measure(t.Context(), drivers, time.Now()); err == nil || !strings.Contains(err.Error(), "no time is left") {
		t.Errorf("%v", err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"-figure", "idle"}, {"HEAD", "more"}, {"HEAD", "-runs", "0"}, {"HEAD", "-limit", "2h"}} {
		if err := command(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "name a revision first") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
