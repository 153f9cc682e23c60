package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// run is a soak of which each member had so many goroutines at each minute.
func run(at func(minute int) float64) *soak {
	s := &soak{load: load{span: 40 * time.Minute}, samples: make([][]sample, members)}
	for i := range s.samples {
		for m := range 40 {
			x := sample{at: time.Duration(m) * time.Minute}
			x.values[goroutines] = at(m)
			s.samples[i] = append(s.samples[i], x)
		}
	}
	return s
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(minute int) float64
		want string
	}{
		{"flat, with outliers", func(m int) float64 { return 50 + 400*float64((m+1)%7/6) }, ""},
		{"full after ten minutes", func(m int) float64 { return float64(min(m, 10)) * 100 }, ""},
		{"one each minute", func(m int) float64 { return float64(m) }, "goroutines of member 2 grow by 60.0 an hour"},
		{"shrinks", func(m int) float64 { return float64(1000 - m) }, ""},
	} {
		var out bytes.Buffer
		err := run(c.at).judge(&out)
		if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q\n%s", c.name, err, c.want, &out)
		}
		if strings.Count(out.String(), "m1 ") != int(quantities) {
			t.Errorf("%s: no table:\n%s", c.name, &out)
		}
	}
	s := run(func(int) float64 { return 1 })
	s.samples[0] = s.samples[0][:15]
	if err := s.judge(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "take longer") {
		t.Errorf("few samples: %v", err)
	}
}
