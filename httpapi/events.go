package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
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

const (
	// clusterEvery is how often a stream of the whole cluster asks the other
	// members what happened there.
	clusterEvery = time.Second
	// maxClusterStreams bounds these streams: each asks every member.
	maxClusterStreams = 16
	// clusterPatience bounds one answer; who is slower is asked again.
	clusterPatience = 3 * time.Second
	// maxEventsTold bounds one answer: a member with more to tell has a reset first.
	maxEventsTold = 1000
)

// clusterKinds are those that happen on one member. What is stored is told by
// each, and what a member sees of another is its own view.
var clusterKinds = []string{events.Config, events.Socket, events.Closing}

// eventsQuestion asks what has happened since an id; those that are not known
// begin with what happens now.
type eventsQuestion struct {
	After map[string]string `json:"after"` // by incarnation
	Kinds []string          `json:"kinds"`
	cascade.Subject
}

// answerEvents answers another member, and follows the sockets for a while.
func (s *Server) answerEvents(body []byte) ([]byte, error) {
	var q eventsQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	st := &events.Stream{Kinds: q.Kinds, Subject: q.Subject}
	a := s.Events.Since(st, q.After[s.incarnationHere()])
	for size := 0; ; {
		size = 0
		for _, e := range a.Events {
			size += len(e.Data)
		}
		if size <= maxMemberAnswer/2 && len(a.Events) <= maxEventsTold {
			return json.Marshal(a)
		}
		a.Events, a.Reset = a.Events[(len(a.Events)+1)/2:], true // the newest
	}
}

// incarnationHere is the name by which other members know this process.
func (s *Server) incarnationHere() string {
	if l, ok := s.Cluster.(interface{ Incarnation() string }); ok {
		return l.Incarnation()
	}
	return s.incarnation
}

// eventsOf is the question of a stream.
func eventsOf(st *streamRequest) *eventsQuestion {
	q := &eventsQuestion{After: map[string]string{}, Subject: st.Subject}
	for _, k := range clusterKinds {
		if st.Kinds == nil || slices.Contains(st.Kinds, k) {
			q.Kinds = append(q.Kinds, k)
		}
	}
	return q
}

// askOthers asks the other members what came since the last time.
func (s *Server) askOthers(ctx context.Context, q *eventsQuestion) (came []events.Told) {
	body, err := json.Marshal(q)
	if err != nil {
		s.Logger.Error("question not encoded", "op", opEvents, "err", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	alive := map[string]string{}
	for _, a := range s.Cluster.Ask(ctx, opEvents, body) {
		alive[a.Incarnation] = q.After[a.Incarnation]
		var theirs events.Answer
		if a.Err != nil || json.Unmarshal(a.Body, &theirs) != nil {
			continue // it is asked again, from where it was
		}
		alive[a.Incarnation] = theirs.Next
		if theirs.Reset {
			came = append(came, events.Told{Kind: events.Reset, Data: json.RawMessage("{}")})
		}
		came = append(came, theirs.Events...)
	}
	q.After = alive
	return came
}

// watchOthers asks again and again, until ctx ends, and hands on what came.
func (s *Server) watchOthers(ctx context.Context, q *eventsQuestion, out chan<- []events.Told) {
	tick := time.NewTicker(clusterEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		came := s.askOthers(ctx, q)
		if len(came) == 0 {
			continue
		}
		select {
		case out <- came:
		case <-ctx.Done():
			return
		}
	}
}

// joinOthers begins to watch the other members for a stream that wants them; the
// channel is nil where there is nothing to watch. end waits until that is over.
func (s *Server) joinOthers(r *http.Request, st *streamRequest) (others <-chan []events.Told, end func(), err error) {
	q := eventsOf(st)
	if !st.cluster || s.Cluster == nil || len(q.Kinds) == 0 {
		return nil, func() {}, nil
	}
	if s.clusterStreams.Add(1) > maxClusterStreams {
		s.clusterStreams.Add(-1)
		return nil, nil, fail(http.StatusServiceUnavailable, "too_many_streams", "this member streams the whole cluster to %d clients already: try again, or leave cluster out", maxClusterStreams)
	}
	ctx, cancel := context.WithCancel(r.Context())
	s.askOthers(ctx, q) // from here on nothing is missed
	out, done := make(chan []events.Told), make(chan struct{})
	go func() {
		defer close(done)
		s.watchOthers(ctx, q, out)
	}()
	return out, func() {
		cancel()
		<-done
		s.clusterStreams.Add(-1)
	}, nil
}
