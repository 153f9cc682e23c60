package main

import (
	"context"
	"encoding/xml"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/bench/internal/table"
)

// TestMain is also the process that holds sockets.
func TestMain(m *testing.M) {
	if orders := os.Getenv(holderVariable); orders != "" {
		if err := heldUntilToldToEnd(context.Background(), orders); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// brief is of a size that any machine takes beside other work.
var brief = extent{
	payload: 128, users: 50, warmUp: 100 * time.Millisecond, span: 500 * time.Millisecond, rates: [2]int{200, 400},
	window: 64, hold: time.Second,
	loneUsers: 20, loneFor: 500 * time.Millisecond, equalUsers: 2, equalFor: 8 * time.Second,
	members: []int{3}, registered: []int{50, 150}, perUser: []int{2}, mostHeld: 60,
}

// TestFigures runs every figure against every peer. The figures themselves
// hold the counts: they fail when a message is lost, doubled, changed, misled or
// overtaken. What they measure is not judged here.
func TestFigures(t *testing.T) {
	r := &rig{folder: ".", extent: brief, lanes: 2, log: t.Output()}
	if err := r.prepare(t.Context(), t.TempDir(), labels); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.figures() {
		peers := f.Only
		if peers == nil {
			peers = labels
		}
		for _, p := range peers {
			t.Run(f.Label+"/"+p, func(t *testing.T) {
				got, err := f.Run(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Values) != len(f.Columns) {
					t.Fatalf("%d values for %d columns", len(got.Values), len(f.Columns))
				}
				for k, v := range got.Values {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Errorf("%s: %v", f.Columns[k].Label, v)
					}
				}
				t.Log(f.List(got))
			})
		}
	}
}

func TestPlot(t *testing.T) {
	s := samples{lone: []time.Duration{1_010 * time.Millisecond, 1_020 * time.Millisecond, time.Hour}}
	plot := s.plot()
	for _, want := range []string{">3 samples", ">0 samples", ">arrivals per 25 ms<", ">ms<", `height="120.0" fill="#3b6ea5"`} {
		if !strings.Contains(plot, want) {
			t.Errorf("no %q in\n%s", want, plot)
		}
	}
	if strings.Contains(plot, "NaN") || strings.Contains(plot, "Inf") {
		t.Errorf("plot:\n%s", plot)
	}
	var x struct{ XMLName xml.Name }
	if err := xml.Unmarshal([]byte(plot), &x); err != nil || x.XMLName.Local != "svg" {
		t.Errorf("%v, %v", x, err)
	}
}

// Four sockets of two users: 0 and 2 are user 1's, 1 and 3 are user 2's.
func twoUsers() *track { return newTrack(4, 2, head+3, func(i int) int { return i%2 + 1 }) }

func text(number string) []byte { return []byte(number + strings.Repeat("0", stampDigits) + "xxx") }

func TestTrackSettles(t *testing.T) {
	tr := twoUsers()
	for _, d := range []struct {
		socket int
		number string
	}{{0, "000000003"}, {1, "000000002"}, {2, "000000003"}, {1, "000000004"}, {3, "000000004"}} {
		if tr.settled(4) {
			t.Error("settled too early")
		}
		if err := tr.delivered(d.socket, text(d.number), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if !tr.settled(4) || tr.settled(5) || tr.total != 5 || len(tr.delays()) != 5 {
		t.Errorf("%+v", tr)
	}
}

func TestTrackRefuses(t *testing.T) {
	for _, c := range []struct {
		name, says string
		socket     int
		text       []byte
	}{
		{"other user", "came to user 2", 1, text("000000005")},
		{"once more", "got message 3 instead of 5", 0, text("000000003")},
		{"one left out", "got message 7 instead of 5", 0, text("000000007")},
		{"shorter", "not the 28", 0, text("000000005")[1:]},
		{"changed", "not the 28", 0, append(text("000000005")[:27], 'y')},
		{"no number", "without a number", 0, text("0000-0005")},
	} {
		tr := twoUsers()
		if err := tr.delivered(0, text("000000003"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := tr.delivered(c.socket, c.text, time.Now()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %s", c.name, err, c.says)
		}
	}
}

// A rate that nobody reaches is not held, and says so.
func TestBehind(t *testing.T) {
	r := &rig{folder: ".", extent: brief, lanes: 2, log: t.Output()}
	if err := r.prepare(t.Context(), t.TempDir(), []string{labelSluice}); err != nil {
		t.Fatal(err)
	}
	_, err := r.held(t.Context(), labelSluice, plan{members: 2, users: 50, perUser: 1, memberOf: onB}, 5_000_000)
	var behind *errBehind
	if !errors.As(err, &behind) {
		t.Errorf("error %v", err)
	}
}

func TestPerMessage(t *testing.T) {
	if m := (measured{messages: 2}); m.per(3) != 1.5 || table.Number(m.micros(time.Millisecond)) != "500.00" {
		t.Errorf("per message: %g, %g", m.per(3), m.micros(time.Millisecond))
	}
}
