package httpapi

import (
	"testing"
	"time"

	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
)

func TestRecent(t *testing.T) {
	var r recent
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	brief := func(ok, refused, messages, arrived int64, sum float64) websockets.Brief {
		return websockets.Brief{
			Sockets: ok, Messages: messages,
			Handshakes: map[websockets.Handshake]int64{{Result: "ok"}: ok, {Result: "forbidden", Reason: "gate"}: refused, {Result: "limit"}: 7},
			Arrivals:   websockets.Arrivals{Browser: shared.Latency{Bounds: []float64{1}, Counts: []int64{arrived, 0}, Sum: sum}},
		}
	}
	// What was before the first sample is of no time.
	r.take(at, brief(10, 2, 100, 4, 1), []check{{Name: "store", Status: "ok"}})
	if s := r.samples[0]; s.Handshakes != 0 || s.Messages != 0 || s.Refused != nil || s.Arrival != nil || s.Sockets != 10 {
		t.Errorf("the first sample: %+v", s)
	}
	r.take(at.Add(sampleEvery), brief(12, 5, 130, 6, 1.5), []check{{Name: "store", Status: "degraded"}, {Name: "files", Status: "ok"}})
	s := r.samples[1]
	if s.Handshakes != 2 || s.Messages != 30 || len(s.Refused) != 1 || s.Refused["forbidden, gate"] != 3 || s.Arrival == nil || *s.Arrival != 250 {
		t.Errorf("the second sample: %+v", s)
	}
	for i := range samplesKept + 5 {
		r.take(at.Add(time.Duration(i+2)*sampleEvery), brief(12, 5, 130, 6, 1.5), []check{{Name: "store", Status: "degraded", Detail: "still"}})
	}
	if len(r.samples) != samplesKept || r.samples[0].Time.Equal(at) {
		t.Errorf("%d samples", len(r.samples))
	}
	if c := r.since["store"]; !c.Since.Equal(at.Add(sampleEvery)) || c.Detail != "still" || len(r.since) != 1 {
		t.Errorf("since: %+v", r.since)
	}
}
