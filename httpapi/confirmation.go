package httpapi

import (
	"encoding/json"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
)

const (
	// confirmPatience is how long a caller is told of a message's arrivals. A page
	// that is busy for longer is found in what is remembered.
	confirmPatience = 15 * time.Second
	// confirmPause and maxConfirmPause are the times between two looks.
	confirmPause    = 10 * time.Millisecond
	maxConfirmPause = 500 * time.Millisecond
	// copyPatience is how long a copy takes at most, once it is in Redis, to the
	// sockets of a member that is well.
	copyPatience = 500 * time.Millisecond
	// maxConfirmations bounds the callers that are told at once.
	maxConfirmations = 256
)

// accepts reports whether a caller asks for a type by its name.
func accepts(r *http.Request, want string) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			if mt, _, err := mime.ParseMediaType(part); err == nil && mt == want {
				return true
			}
		}
	}
	return false
}

// followMessage answers a line with what sending has answered, and then one with
// the delivery each time that more is known of it: until it is settled, or the
// patience ends.
func (s *Server) followMessage(w http.ResponseWriter, r *http.Request, result *sentResult, sync bool) error {
	if s.confirming.Add(1) > maxConfirmations {
		s.confirming.Add(-1)
		return s.answer(w, http.StatusOK, result) // who asks for more looks it up
	}
	defer s.confirming.Add(-1)
	w.Header().Set("Content-Type", ndjson)
	w.Header().Set("X-Accel-Buffering", "no")
	secure(w.Header())
	enc, control := json.NewEncoder(w), http.NewResponseController(w)
	enc.SetEscapeHTML(false)
	if enc.Encode(result) != nil || control.Flush() != nil || result.Duplicate {
		return nil // the caller went away
	}
	start := time.Now()
	end := time.NewTimer(confirmPatience)
	defer end.Stop()
	var told *Delivery
	for pause := confirmPause; ; pause = min(2*pause, maxConfirmPause) {
		// Before the look, so that a copy that has come by then is in it.
		complete := time.Since(start) > s.copyTime(sync)
		d := s.deliveryOf(r, result.ID)
		if d != nil {
			d.Settled = d.Settled && complete
			if !reflect.DeepEqual(d, told) && (enc.Encode(d) != nil || control.Flush() != nil) {
				return nil
			}
			told = d
		}
		if d == nil && complete || d != nil && d.Settled {
			return nil
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
			continue
		case <-end.C:
		case <-r.Context().Done():
		case <-s.streaming.Done():
		}
		next.Stop()
		return nil
	}
}

// copyTime is how long the other members' copies of a message may be on their
// way.
func (s *Server) copyTime(sync bool) time.Duration {
	switch {
	case s.pushes.alone():
		return 0
	case sync:
		return copyPatience
	}
	return cascade.ServerValue[time.Duration](s.Engine.Snapshot(), remote.PropMaxDelay) + copyPatience
}

// deliveryOf is what is known of a message that was sent just now; nil: nothing.
func (s *Server) deliveryOf(r *http.Request, id string) *Delivery {
	if s.pushes.alone() {
		d, ok := s.Sockets.Memory().ByAsked(id)
		if !ok {
			return nil
		}
		shown := s.shown(&d)
		return &shown
	}
	list := s.deliveries(r.Context(), cascade.Subject{}, id).Deliveries
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}
