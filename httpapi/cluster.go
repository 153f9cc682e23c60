package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
)

// Cluster is the link to the other members.
type Cluster interface {
	// Name is that of the cluster.
	Name() string
	// Members are all that the link knows, this one among them; status is "ok"
	// or "degraded".
	Members() (list []remote.Member, status string)
	// Problem tells what is wrong with the link, and what to look at; "" where
	// nothing is.
	Problem() string
	// Canaries are how messages of the other members that are alive come through.
	Canaries() []remote.Canary
	// Ask asks all members but this one, without those of some incarnations; each
	// answers or fails, at the latest when ctx ends.
	Ask(ctx context.Context, op string, body []byte, without ...string) []remote.Answer
	// Policy is the maxmemory-policy of Redis, or "" where it is not known.
	Policy() string
	// Stats are the counters of the link.
	Stats() remote.Stats
	Distributor
}

// Distributor carries messages to the other members. A place is reserved before
// a message is delivered here; Offer, Send or Release give it back.
type Distributor interface {
	// Reserve returns remote.ErrFull or remote.ErrClosed.
	Reserve() error
	Release()
	// Claim takes the id of a message for the window, or tells what has become of
	// it.
	Claim(ctx context.Context, id string, window time.Duration) remote.Claim
	// HaveSockets tells of each of at most remote.MaxHaveSockets users, by Context and
	// User, whether a member is known to have a socket of it.
	HaveSockets(ctx context.Context, users []shared.Registration) ([]bool, error)
	// Offer reports whether an equal message was waiting.
	Offer(m remote.Message) (coalesced bool)
	// Send is Offer for a message that is due at once. What it returns waits until
	// the others have it for good: how many they are, or remote.ErrUnconfirmed.
	Send(m remote.Message) (confirmed func(context.Context) (members int, err error))
}

// What members ask each other.
const (
	opList    = "sockets.list"
	opClose   = "sockets.close"
	opReload  = "reload"
	opConfirm = "confirm"
	// opPlatform: read a context or a user of the platform again.
	opPlatform = "platform"
	opTrace    = "deliveries"
	opProbe    = "sockets.probe"
	opDrift    = "config.drift"
	opEvents   = "events"
)

// askTimeout is how long other members have for an answer. A reload of a large
// tree is well below, and so is a link that was lost and is made again; the
// command line waits longer.
const askTimeout = 15 * time.Second

// maxMemberAnswer bounds an answer to another member, which goes through Redis:
// half of what the link takes. 1000 sockets of App Suite have 300 KiB.
const maxMemberAnswer = 512 << 10

// memberQuestion is the body of each of them. A member refuses one that has what
// it does not know: without a filter of a newer version it would close too much.
type memberQuestion struct {
	Context    uint32 `json:"context,omitempty"`
	User       uint32 `json:"user,omitempty"`
	Connection string `json:"connection,omitempty"`
	PathFilter string `json:"pathFilter,omitempty"`
	All        bool   `json:"all,omitempty"`    // close: everybody
	Cursor     string `json:"cursor,omitempty"` // list: begin after it
	Limit      int    `json:"limit,omitempty"`  // list
	Accept     bool   `json:"accept,omitempty"` // reload: folders that are empty or missing as they are
	Digest     string `json:"digest,omitempty"` // confirm: that of the change
	Note       bool   `json:"note,omitempty"`   // confirm: another member has the change
	ID         string `json:"id,omitempty"`     // deliveries: of the message
	From       string `json:"from,omitempty"`   // the member that was asked first
	Actor      string `json:"actor,omitempty"`  // reload, confirm, close: by whom
}

func (s *Server) newQuestion(sel websockets.Selector) memberQuestion {
	return memberQuestion{Context: sel.Context, User: sel.User, Connection: sel.Connection, PathFilter: sel.PathFilter, From: s.Member}
}

// selector reads whom a question of another member is about. Nothing is
// believed: a question that names nobody would be about everybody.
func (q *memberQuestion) selector() (websockets.Selector, error) {
	sel := websockets.Selector{Context: q.Context, User: q.User, Connection: q.Connection, PathFilter: q.PathFilter}
	if _, err := cascade.NewSubject(int64(q.Context), int64(q.User)); err != nil {
		return sel, err
	}
	if q.PathFilter == "" {
		return sel, nil
	}
	return sel, websockets.ValidatePathFilter(q.PathFilter)
}

// AnswerMember answers what another member asks with Ask.
func (s *Server) AnswerMember(op string, body []byte) ([]byte, error) {
	switch op {
	case opHolds:
		return s.answerHolds(body)
	case opUsers:
		return s.connectedUsers(body)
	case opDrift:
		return s.answerDrift(body)
	case opEvents:
		return s.answerEvents(body)
	}
	var q memberQuestion
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	sel, err := q.selector()
	if err != nil {
		return nil, err
	}
	switch op {
	case opList:
		if !websockets.ValidNext(q.Cursor) {
			return nil, fail(http.StatusBadRequest, "bad_query", "the cursor %.100q is of another version: run the same Sluice on all members", q.Cursor)
		}
		page := s.ownPage(sel, q.Cursor, q.Limit)
		return page.encode()
	case opClose:
		if q.All == (sel.Context != 0) {
			return nil, fail(http.StatusBadRequest, "bad_query", "a close names a context, or all")
		}
		return json.Marshal(closedSockets{Closed: s.closeOwn(sel, q.From, q.Actor)})
	case opTrace:
		return s.answerTrace(q)
	case opProbe:
		return s.answerProbe(q)
	case opConfirm:
		return s.answerConfirm(q)
	case opPlatform:
		return s.answerPlatform(q)
	case opReload:
		s.Logger.Info("reload asked for", "actor", q.Actor, "from", q.From)
		r, err := s.reloadOwn(context.Background(), q.Accept)
		if err != nil {
			return nil, err
		}
		return r.encode()
	}
	return nil, fail(http.StatusBadRequest, "bad_request", "%.100q is nothing that this version answers: run the same Sluice on all members", op)
}

// ask puts a question to all other members and returns at once. wait hands each
// answer to read, and names those that have none, or none that can be read.
func (s *Server) ask(ctx context.Context, op string, q memberQuestion, read func(remote.Answer) error) (wait func() (unreachable []string)) {
	if s.Cluster == nil {
		return func() []string { return nil }
	}
	// What has begun is done on all members, even if its caller goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	got := make(chan []remote.Answer, 1)
	go func() {
		defer cancel()
		body, err := json.Marshal(q)
		if err != nil {
			s.Logger.Error("question not encoded", "op", op, "err", err)
		}
		got <- s.Cluster.Ask(ctx, op, body)
	}()
	return func() (unreachable []string) {
		for _, a := range <-got {
			err := a.Err
			if err == nil {
				err = read(a)
			}
			if err != nil {
				s.Logger.Warn("a member did not answer", "op", op, "asked", a.Member, "incarnation", a.Incarnation, "err", err)
				unreachable = append(unreachable, a.Member)
			}
		}
		slices.Sort(unreachable)
		return unreachable
	}
}
