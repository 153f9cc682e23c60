package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets/trace"
)

const (
	// probePatience is how long the sockets have for their answers: a page that is
	// in use answers within 0.1 s, one in the background within a second.
	probePatience = 3 * time.Second
	// probePause is the time between two looks.
	probePause = 20 * time.Millisecond
)

// probeSockets asks the sockets of a user on all members whether they are there,
// without a message: their browsers and, where they can tell, their pages.
func (s *Server) probeSockets(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "context", "user")
	if err != nil {
		return err
	}
	su, err := s.querySubject(query)
	if err != nil {
		return err
	}
	if su.User == 0 {
		return fail(http.StatusBadRequest, "bad_query", "name a user, with ?context= and ?user=")
	}
	q := memberQuestion{Context: int32(su.Context), User: int32(su.User), From: s.Member}
	d := Delivery{Time: time.Now().UTC(), From: s.Member, Context: q.Context, User: q.User, Outcome: trace.Queued.String()}
	wait := s.ask(r.Context(), opProbe, q, func(a remote.Answer) error {
		var on DeliveryOnMember
		err := json.Unmarshal(a.Body, &on)
		on.Member = a.Member
		d.Members = append(d.Members, on)
		return err
	})
	own := s.probeOwn(r.Context(), su)
	unreachable := wait()
	d.Members = append([]DeliveryOnMember{own}, d.Members...)
	d.sum()
	return s.answer(w, http.StatusOK, Deliveries{[]Delivery{d}, unreachable})
}

// answerProbe answers another member.
func (s *Server) answerProbe(q memberQuestion) ([]byte, error) {
	if q.User == 0 {
		return nil, fail(http.StatusBadRequest, "bad_query", "a probe names a user")
	}
	return json.Marshal(s.probeOwn(s.streaming, cascade.Subject{Context: uint32(q.Context), User: uint32(q.User)}))
}

// probeOwn asks the user's sockets here and waits for what they answer.
func (s *Server) probeOwn(ctx context.Context, su cascade.Subject) DeliveryOnMember {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	rec := s.Sockets.Probe(int32(su.Context), int32(su.User))
	look := time.NewTicker(probePause)
	defer look.Stop()
	for {
		d := rec.Read()
		if shown := s.shown(&d); shown.Settled || ctx.Err() != nil {
			return shown.Members[0]
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}
