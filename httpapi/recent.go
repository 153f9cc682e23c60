package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/seed47708276/sluice/websockets"
)

const (
	// sampleEvery is the time between two samples of what happens here: the
	// resolution of the console's charts.
	sampleEvery = 5 * time.Second
	// samplesKept are those of 15 minutes.
	samplesKept = int(15 * time.Minute / sampleEvery)
)

// sample is what happened within sampleEvery.
type sample struct {
	Time       time.Time        `json:"time"`
	Sockets    int64            `json:"sockets"` // open then
	Handshakes int64            `json:"handshakes"`
	Refused    map[string]int64 `json:"refused,omitempty"` // by code, and the check behind it
	Messages   int64            `json:"messages"`          // queued, once for each socket
	// Arrival is the mean of what browsers have answered, in ms; nil: none has.
	Arrival *float64 `json:"arrivalMs"`
}

// sinceCheck is a check of the readiness, and since when it stands so.
type sinceCheck struct {
	check
	Since time.Time `json:"since"`
}

// recent remembers the last samples, and since when each check stands as it does.
type recent struct {
	mu      sync.Mutex
	samples []sample // the oldest first
	before  websockets.Brief
	since   map[string]sinceCheck
}

// RunSamples takes samples until ctx ends.
func (s *Server) RunSamples(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.recent.take(time.Now().UTC(), s.Sockets.Brief(), s.checksNow())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) checksNow() []check {
	_, checks := s.readiness()
	return checks
}

// take adds a sample.
func (r *recent) take(now time.Time, b websockets.Brief, checks []check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follow(now, checks)
	was := r.before
	r.before = b
	if was.Handshakes == nil && len(r.samples) == 0 && was.Messages == 0 {
		was = b // what was before the first sample is of no time
	}
	sm := sample{Time: now, Sockets: b.Sockets, Messages: b.Messages - was.Messages}
	for h, n := range b.Handshakes {
		n -= was.Handshakes[h]
		switch {
		case n == 0:
		case h.Result == "ok":
			sm.Handshakes += n
		default:
			if sm.Refused == nil {
				sm.Refused = map[string]int64{}
			}
			name := h.Result
			if h.Reason != "" {
				name += ", " + h.Reason
			}
			sm.Refused[name] += n
		}
	}
	count, sum := int64(0), b.Arrivals.Browser.Sum-was.Arrivals.Browser.Sum
	for i, n := range b.Arrivals.Browser.Counts {
		count += n
		if i < len(was.Arrivals.Browser.Counts) {
			count -= was.Arrivals.Browser.Counts[i]
		}
	}
	if count > 0 {
		mean := 1000 * sum / float64(count)
		sm.Arrival = &mean
	}
	if len(r.samples) == samplesKept {
		r.samples = r.samples[1:]
	}
	r.samples = append(r.samples, sm)
}

// follow notes since when checks are as they are; their texts may change.
func (r *recent) follow(now time.Time, checks []check) {
	next := make(map[string]sinceCheck, len(checks))
	for _, c := range checks {
		since := now
		if was, known := r.since[c.Name]; known && was.Status == c.Status {
			since = was.Since
		}
		next[c.Name] = sinceCheck{c, since}
	}
	r.since = next
}

// recently answers what happened on this member in the last 15 minutes, and since
// when each check of its readiness stands as it does, to sampleEvery.
func (s *Server) recently(w http.ResponseWriter, _ *http.Request) error {
	checks := s.checksNow()
	r := &s.recent
	r.mu.Lock()
	r.follow(time.Now().UTC(), checks)
	samples, list := append([]sample{}, r.samples...), make([]sinceCheck, 0, len(checks))
	for _, c := range checks {
		list = append(list, r.since[c.Name])
	}
	r.mu.Unlock()
	return s.answer(w, http.StatusOK, map[string]any{"member": s.Member, "interval": sampleEvery.String(), "samples": samples, "checks": list})
}
