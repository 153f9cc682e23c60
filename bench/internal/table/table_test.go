package table

import (
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		name           string
		col            Column
		own, yardstick *float64
		want           string
	}{
		{"less than half", Column{Factor: 0.5}, n(4), n(10), "0.40\tat most 0.5 times\tmet"},
		{"more than half", Column{Factor: 0.5}, n(6), n(10), "0.60\tat most 0.5 times\tNOT MET"},
		{"enough", Column{Factor: 8, More: true}, n(80), n(10), "8.00\tat least 8 times\tmet"},
		{"too few", Column{Factor: 8, More: true}, n(79), n(10), "7.90\tat least 8 times\tNOT MET"},
		{"limit", Column{Limit: 4}, n(4), nil, "\tat most 4\tmet"},
		{"over the limit", Column{Limit: 4}, n(5), n(10), "0.50\tat most 4\tNOT MET"},
		{"floor", Column{Floor: 4}, n(4), nil, "\tat least 4\tmet"},
		{"under the floor", Column{Floor: 4}, n(3), nil, "\tat least 4\tNOT MET"},
		{"no aim", Column{}, n(5), n(10), "0.50\t\t"},
		{"no peer", Column{Factor: 0.5}, n(5), nil, "\tat most 0.5 times\t"},
		{"peer only", Column{Factor: 0.5}, nil, n(5), "\tat most 0.5 times\t"},
	} {
		if got := c.col.Verdict(c.own, c.yardstick); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	list := []float64{9, 1, 5}
	if got := Median(list); got != 5 || list[0] != 9 {
		t.Errorf("median of three is %g, of %v, want 5 of the list as it was", got, list)
	}
	if got := Median(list[:2]); got != 5 {
		t.Errorf("median of 9 and 1 is %g, want 5", got)
	}
}

func TestQuantile(t *testing.T) {
	var delay []time.Duration
	for i := range 101 {
		delay = append(delay, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 0, 0.5: 50, 0.99: 99, 1: 100} {
		if got := Quantile(delay, q); got != want {
			t.Errorf("quantile %g is %g ms, want %g", q, got, want)
		}
	}
}
