package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/httpapi/events"
)

const (
	// eventsBeat is how often a silent stream says that it lives: below the 30 s
	// after which proxies drop connections. `sluice watch` counts on it.
	eventsBeat = 15 * time.Second
	// streamsRetry is the Retry-After, in seconds, of one that is refused.
	streamsRetry = "5"
)

// streamRequest is a stream, and whether it wants what happens on other members
// as well.
type streamRequest struct {
	*events.Stream
	cluster bool
}

// streamOf reads what a client wants to see.
func (s *Server) streamOf(r *http.Request) (*streamRequest, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	st := &streamRequest{Stream: events.NewStream()}
	st.Actor = Actor(r.Context())
	for key, values := range query {
		if len(values) != 1 {
			return nil, fail(http.StatusBadRequest, "bad_query", "%.100q stands twice: leave one out", key)
		}
		switch key {
		case "kinds":
			st.Kinds = commaList(values[0])
			for _, k := range st.Kinds {
				if !slices.Contains(events.Kinds, k) {
					return nil, fail(http.StatusBadRequest, "bad_query", "there is no kind %.100q (%s)", k, strings.Join(events.Kinds, ", "))
				}
			}
		case "cluster":
			if st.cluster = values[0] == "true"; !st.cluster && values[0] != "false" {
				return nil, fail(http.StatusBadRequest, "bad_query", "cluster is true or false")
			}
		case "context", "user":
		default:
			return nil, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (kinds, context, user, cluster)", key)
		}
	}
	if st.Subject, err = s.querySubject(query); err != nil {
		return nil, err
	}
	return st, nil
}

// streamEvents streams what happens, as server-sent events (HTML living standard, 9.2).
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	st, err := s.streamOf(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		secure(w.Header())
		return nil
	}
	others, end, err := s.joinOthers(r, st)
	if err != nil {
		w.Header().Set("Retry-After", streamsRetry)
		return err
	}
	defer end()
	missed, at, reset, err := s.Events.Join(st.Stream, r.Header.Get("Last-Event-ID"))
	if err != nil {
		w.Header().Set("Retry-After", streamsRetry)
		return streamRefused(err, st.Actor)
	}
	defer s.Events.Leave(st.Stream)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	secure(w.Header())
	out := events.NewWriter(w)
	defer out.Hurry()
	defer context.AfterFunc(s.Events.Draining(), out.Hurry)()
	out.Begin(at, reset)
	for i := range missed {
		if s.Events.Draining().Err() != nil {
			return nil
		}
		out.Event(s.Events, &missed[i])
		missed[i] = events.Event{} // its data is no longer held
		if out.Full() && !out.Send() {
			return nil
		}
	}
	if out.Send() {
		s.follow(r, st, out, others)
	}
	return nil
}

func streamRefused(err error, actor string) error {
	switch {
	case errors.Is(err, events.ErrTooManyOfOne):
		return fail(http.StatusTooManyRequests, "too_many_streams", "%s watches %d times already: end one of them first", actor, events.MaxStreamsEach)
	case errors.Is(err, events.ErrTooMany):
		return fail(http.StatusServiceUnavailable, "too_many_streams", "this member streams to %d clients already: try again, or watch another", events.MaxStreams)
	}
	return fail(http.StatusServiceUnavailable, "draining", "%s", err)
}

// follow streams until the client leaves, is dropped or no longer admitted, or
// the server drains.
func (s *Server) follow(r *http.Request, st *streamRequest, out *events.Writer, others <-chan []events.Told) {
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for {
		// Before what waits: a drain is not held up by it.
		if s.Events.Draining().Err() != nil {
			return
		}
		select {
		case ev, open := <-st.Queue():
			if !open {
				s.Logger.Warn("a client that watches was dropped: it did not read", "client", r.RemoteAddr, "actor", Actor(r.Context()))
				return
			}
			st.Taken(&ev)
			out.Event(s.Events, &ev)
		case list := <-others:
			for i := range list {
				out.Told(&list[i])
			}
		case <-beat.C:
			if !s.stillAdmitted(r) {
				return
			}
			out.Text(":\n")
			// A client that wants little would else return with an id that is
			// no longer kept, although it missed nothing.
			if id, ok := s.Events.Position(st.Stream); ok {
				out.Text("id: " + id + "\n")
			}
			out.Text("\n")
		case <-s.Events.Draining().Done():
			return
		case <-r.Context().Done():
			return
		}
		if !out.Send() {
			return
		}
	}
}
