package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets/trace"
)

// The proofs of a delivery, from the least to the furthest.
const (
	ProofNone    = ""        // it went to no socket
	ProofQueued  = "queued"  // it waits for a socket, or was written to it
	ProofBrowser = "browser" // the browser has it
	ProofPage    = "page"    // the page has it
)

// Delivery is what became of one message, as all members know it.
type Delivery struct {
	ID    string    `json:"id"`
	Topic string    `json:"topic"` // the name of the event
	Time  time.Time `json:"time"`
	From  string    `json:"from"` // the member that accepted it
	// Context and User are whom it was for; 0 is everybody.
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
	// Outcome is queued, or why it went no further: no_socket, disabled,
	// duplicate, merged.
	Outcome string `json:"outcome"`
	// Sockets is to how many it went, on all members.
	Sockets int `json:"sockets"`
	// Proof is the furthest one of any socket, Millis when it came.
	Proof  string   `json:"proof"`
	Millis *float64 `json:"ms"`
	// Settled says that every socket that was asked has answered, or will not.
	Settled bool `json:"settled"`
	// Merged are the ids of equal messages that this one stands for.
	Merged  []string           `json:"merged,omitempty"`
	Members []DeliveryOnMember `json:"members"`
}

// DeliveryOnMember is what one member knows of a message.
type DeliveryOnMember struct {
	Member  string    `json:"member"`
	Time    time.Time `json:"time"`
	Sockets int       `json:"sockets"`
	// Asked is how many sockets were asked, Silent how many of them will not
	// answer any more, Unasked how many could not be asked.
	Asked   int             `json:"asked"`
	Silent  int             `json:"silent"`
	Unasked int             `json:"unasked"`
	Browser DeliveryArrival `json:"browser"`
	Page    DeliveryArrival `json:"page"`
	// Dropped counts sockets that did not get it, by reason: path and source (it
	// was not for them), slow (the queue was full, which closed the socket), left
	// (they were closing, or had left the namespace), muted (the user is switched
	// off and keeps them), conflated (given up for a
	// newer one), unsent (the socket ended before).
	Dropped map[string]int `json:"dropped,omitempty"`
	// Done is how many of those that were asked have answered all that they can.
	Done int `json:"done"`
}

// DeliveryArrival is where a message has arrived: at how many sockets, and when
// the first and the last of them told, in ms since it was queued.
type DeliveryArrival struct {
	Sockets int     `json:"sockets"`
	First   float64 `json:"firstMs"`
	Last    float64 `json:"lastMs"`
}

// Deliveries is a list of them, the newest first.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries"`
	// Unreachable are members whose part is not in it.
	Unreachable []string `json:"unreachable,omitempty"`
}

// listDeliveries answers what became of the last messages for a user, with those
// to many that were meant for him, or of the message with an id.
func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "context", "user", "id")
	if err != nil {
		return err
	}
	su, err := s.querySubject(query)
	if err != nil {
		return err
	}
	id := query.Get("id")
	switch {
	case len(id) > maxMessageID:
		return fail(http.StatusBadRequest, "bad_query", "an id has at most %d bytes", maxMessageID)
	case id == "" && query.Has("id"):
		return fail(http.StatusBadRequest, "bad_query", "id is empty: name one, or leave it out")
	case (id == "") == (su.Context == 0):
		return fail(http.StatusBadRequest, "bad_query", "name a context, and a user of it, or a message with ?id=")
	}
	return s.answer(w, http.StatusOK, s.deliveries(r.Context(), su, id))
}

// deliveries asks all members.
func (s *Server) deliveries(ctx context.Context, su cascade.Subject, id string) Deliveries {
	q := memberQuestion{Context: su.Context, User: su.User, ID: id, From: s.Member}
	var all []Delivery
	wait := s.ask(ctx, opTrace, q, func(a remote.Answer) error {
		var theirs []Delivery
		err := json.Unmarshal(a.Body, &theirs)
		for i := range theirs {
			for j := range theirs[i].Members {
				theirs[i].Members[j].Member = a.Member
			}
		}
		all = append(all, theirs...)
		return err
	})
	own := s.ownDeliveries(su, id)
	list := Deliveries{Unreachable: wait()}
	list.Deliveries = together(append(own, all...))
	return list
}

// answerTrace answers another member.
func (s *Server) answerTrace(q memberQuestion) ([]byte, error) {
	if (q.ID == "") == (q.Context == 0) {
		return nil, fail(http.StatusBadRequest, "bad_query", "a question about deliveries names a context, or an id")
	}
	list := s.ownDeliveries(cascade.Subject{Context: q.Context, User: q.User}, q.ID)
	for {
		b, err := json.Marshal(list)
		if err != nil || len(b) <= maxMemberAnswer || len(list) < 2 {
			return b, err
		}
		list = list[:len(list)/2] // the newest first
	}
}

// ownDeliveries is what this member remembers, the newest first.
func (s *Server) ownDeliveries(su cascade.Subject, id string) []Delivery {
	m, now := s.Sockets.Memory(), time.Now()
	var found []trace.Delivery
	if asked, ok := m.ByAsked(id); ok && now.Sub(asked.At) <= trace.Lifetime {
		found = append(found, asked) // without a look at all others
	} else if id != "" {
		found = m.ByID(id, now)
	} else {
		keys := []trace.Key{{Context: su.Context, User: su.User}, {Context: su.Context}, {}}
		if su.User == 0 {
			keys = keys[1:]
		}
		for _, k := range keys {
			found = append(found, m.Of(k, now)...)
		}
	}
	slices.SortStableFunc(found, func(a, b trace.Delivery) int { return b.At.Compare(a.At) })
	list := make([]Delivery, len(found))
	for i := range found {
		list[i] = s.shown(&found[i])
	}
	return list
}

// shown is what this member knows of a message.
func (s *Server) shown(d *trace.Delivery) Delivery {
	on := DeliveryOnMember{
		Member: s.Member, Time: d.At.UTC(), Sockets: d.Sockets, Asked: d.Asked, Silent: d.Gone, Unasked: d.Unasked, Done: d.Done,
		Browser: arrivalOf(d.Browser), Page: arrivalOf(d.Page),
	}
	for why, n := range map[string]int{
		"path": d.Paths, "source": d.Source, "slow": d.Slow, "left": d.Left, "muted": d.Muted, "conflated": d.Conflated, "unsent": d.Unsent,
	} {
		if n > 0 {
			if on.Dropped == nil {
				on.Dropped = map[string]int{}
			}
			on.Dropped[why] = n
		}
	}
	shown := Delivery{
		ID: d.ID, Topic: d.Topic, Time: on.Time, From: d.From, Context: d.Key.Context, User: d.Key.User,
		Outcome: d.Outcome.String(), Members: []DeliveryOnMember{on},
	}
	for _, id := range d.Also {
		if id != d.ID {
			shown.Merged = append(shown.Merged, id)
		}
	}
	shown.sum()
	return shown
}

func arrivalOf(a trace.Arrival) DeliveryArrival {
	return DeliveryArrival{a.Sockets, millis(a.First), millis(a.Last)}
}

// millis is a time in ms, to the µs.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sum computes what follows from the members.
func (d *Delivery) sum() {
	d.Sockets, d.Proof, d.Millis, d.Settled = 0, ProofNone, nil, true
	var browser, page *float64
	for i := range d.Members {
		on := &d.Members[i]
		d.Sockets += on.Sockets
		d.Settled = d.Settled && on.Done+on.Silent >= on.Asked
		browser, page = sooner(browser, &on.Browser), sooner(page, &on.Page)
	}
	switch {
	case page != nil:
		d.Proof, d.Millis = ProofPage, page
	case browser != nil:
		d.Proof, d.Millis = ProofBrowser, browser
	case d.Sockets > 0:
		d.Proof = ProofQueued
	}
	if d.Sockets > 0 && d.Outcome == trace.NoSocket.String() {
		d.Outcome = trace.Queued.String() // there was one on another member
	}
}

func sooner(ms *float64, a *DeliveryArrival) *float64 {
	if a.Sockets > 0 && (ms == nil || a.First < *ms) {
		first := a.First
		return &first
	}
	return ms
}

// together makes one delivery of what several members know of a message, and
// sorts them, the newest first. What went no further for a reason of its own
// stays apart: a duplicate has the id of the one that was delivered.
func together(all []Delivery) []Delivery {
	type known struct {
		id            string
		context, user uint32
	}
	first, list := map[known]int{}, []Delivery{}
	for _, d := range all {
		k := known{d.ID, d.Context, d.User}
		if d.ID == "" || d.Outcome != trace.Queued.String() && d.Outcome != trace.NoSocket.String() {
			list = append(list, d)
			continue
		}
		i, seen := first[k]
		if !seen {
			first[k] = len(list)
			list = append(list, d)
			continue
		}
		l := &list[i]
		if len(d.Members) == 1 && d.Members[0].Member == d.From {
			l.Time = d.Time // when it was accepted, by the clock of who did
		}
		l.Members = append(l.Members, d.Members...)
		for _, id := range d.Merged {
			if !slices.Contains(l.Merged, id) {
				l.Merged = append(l.Merged, id)
			}
		}
		l.sum()
	}
	for i := range list {
		slices.SortStableFunc(list[i].Members, func(a, b DeliveryOnMember) int { return cmp.Compare(a.Member, b.Member) })
	}
	slices.SortStableFunc(list, func(a, b Delivery) int { return b.Time.Compare(a.Time) })
	return list
}

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
