package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/events"
)

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
