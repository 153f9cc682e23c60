package main

import (
	"context"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/seed47708276/sluice/bench/internal/table"
)

// leakLimit is how long goroutines of closed connections may take to end.
const leakLimit = 5 * time.Second

// TestMain fails the run when a goroutine is left.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	end := time.Now().Add(leakLimit)
	for code == 0 && runtime.NumGoroutine() > before {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			_, _ = os.Stderr.Write(buf[:runtime.Stack(buf, true)])
			code = 1
		}
		runtime.Gosched()
	}
	os.Exit(code)
}

// brief is of a size that any machine takes beside other work.
var brief = extent{
	dialing: 32, ping: 25 * time.Second,
	idleSockets: 200, settle: 100 * time.Millisecond,
	holdPing: time.Second, hold: time.Second,
	waves: 2, perWave: 200,
	fanout: 200, payload: 128,
	warmUp: 100 * time.Millisecond, window: time.Second, drain: 30 * time.Second,
	users: 100, perUser: 2, inFlight: 256, batch: 32, posts: 4,
	slow: 200, stalled: 50, slowPayload: 4096, slowPerSecond: 50, slowFor: time.Second,
}

// TestFigures runs every figure against every peer. The figures themselves
// hold the counts: they fail when a delivery is lost, doubled, changed or
// misled, or when a socket is. What they measure is not judged here.
func TestFigures(t *testing.T) {
	r := &rig{folder: ".", extent: brief}
	if err := r.prepare(t.Context(), t.TempDir(), []string{labelSluice, labelSocketIO, labelUsual, labelCentrifugo}); err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		for _, p := range peers {
			if f.only != nil && !slices.Contains(f.only, p.label) {
				continue
			}
			t.Run(f.label+"/"+p.label, func(t *testing.T) {
				got, err := f.run(t.Context(), r, p)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Values) != len(f.columns) {
					t.Fatalf("%d values for %d columns", len(got.Values), len(f.columns))
				}
				for k, v := range got.Values {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Errorf("%s: %v", f.columns[k].Label, v)
					}
				}
				t.Log(table.Figure{Columns: f.columns}.List(got))
			})
		}
	}
}

// TestLostDelivery has a server that answers for more messages than it sends.
func TestLostDelivery(t *testing.T) {
	r := &rig{folder: ".", extent: brief}
	r.extent.drain = 200 * time.Millisecond
	if err := r.prepare(t.Context(), t.TempDir(), []string{labelUsual}); err != nil {
		t.Fatal(err)
	}
	deaf := peer{labelUsual, func(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
		s, err := startUsual(ctx, r, users, ping)
		if err != nil {
			return nil, err
		}
		publish := s.publish
		s.publish = func(batch []message) (*http.Request, error) { return publish(batch[1:]) }
		return s, nil
	}}
	for _, f := range []figure{figures[3], figures[5]} {
		if got, err := f.run(t.Context(), r, deaf); err == nil {
			t.Errorf("%s: %v although messages were lost", f.label, got.Values)
		}
	}
}
