package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/trace"
)

// listedSocket is what an administrator sees of a socket.
type listedSocket struct {
	ID          string     `json:"id"`
	Member      string     `json:"member"`
	Context     uint32     `json:"context"`
	User        uint32     `json:"user"`
	Connection  string     `json:"connection"`
	Path        string     `json:"path"`
	Client      string     `json:"client"`
	Protocol    string     `json:"protocol"`
	Address     netip.Addr `json:"address"`
	Since       time.Time  `json:"since"`
	Queued      int        `json:"queued"`
	QueuedBytes int        `json:"queuedBytes"`
	Sent        *time.Time `json:"sent"`            // when it got its last message; null: none yet
	Muted       bool       `json:"muted,omitempty"` // its user is switched off and held
}

// listSockets answers a page of the sockets that the query names, of all
// members.
func (s *Server) listSockets(w http.ResponseWriter, r *http.Request) error {
	query, sel, err := s.socketQuery(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	if !websockets.ValidNext(query.Get("cursor")) {
		return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server: use the next of an answer, or leave it out")
	}
	page, err := s.allPage(r.Context(), sel, query.Get("cursor"), limit)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, page)
}

// socketPage is a page of a list. A member answers another one with it.
type socketPage struct {
	Sockets []listedSocket `json:"sockets"`
	Next    string         `json:"next"`
	// Unreachable are members whose sockets are not in it.
	Unreachable []string `json:"unreachable,omitempty"`
	// Ended tells of each member how the last socket of a user ended there, as
	// far as it is remembered; only where the query names a user.
	Ended []endedSocket `json:"ended,omitempty"`
	// Refused are the last handshakes of a user that were refused, the newest
	// first, as far as they are remembered; only where the query names a user.
	Refused []refusedHandshake `json:"refused,omitempty"`
}

// refusedHandshake is one of a user that was refused.
type refusedHandshake struct {
	Member  string    `json:"member"`
	Code    string    `json:"code"`             // as the client was told
	Reason  string    `json:"reason,omitempty"` // the check that failed, where the code hides it
	Address string    `json:"address,omitempty"`
	Time    time.Time `json:"time"`
}

// maxRefusedTold bounds what one member tells of the refusals of a user.
const maxRefusedTold = 3

// endedSocket is how a socket ended.
type endedSocket struct {
	Member string    `json:"member"`
	Cause  string    `json:"cause"`
	Code   int       `json:"code"` // of the close frame; 0: none was sent
	Time   time.Time `json:"time"`
}

// ownPage is a page of this member's sockets.
func (s *Server) ownPage(sel websockets.Selector, cursor string, limit int) socketPage {
	infos, next := s.Sockets.List(sel, cursor, limit)
	page := socketPage{Sockets: []listedSocket{}, Next: next}
	for _, i := range infos {
		page.Sockets = append(page.Sockets, listedSocket{
			i.ID, s.Member, i.Context, i.User, i.Connection, i.Path, i.Client, i.Protocol,
			i.Address, i.Since.UTC(), i.Queued, i.QueuedBytes, known(i.Sent), i.Muted,
		})
	}
	if e, ok := s.Sockets.LastEnd(sel.Context, sel.User); ok {
		page.Ended = []endedSocket{{s.Member, e.Cause.String(), e.Code(), e.At.UTC()}}
	}
	for _, r := range s.Sockets.LastRefused(sel.Context, sel.User) {
		h := refusedHandshake{Member: s.Member, Code: r.Code, Reason: r.Reason, Time: r.At.UTC()}
		if r.Address.IsValid() {
			h.Address = r.Address.String()
		}
		page.Refused = append(page.Refused, h)
	}
	return page
}

// encode is the page for another member, as much of it as an answer holds.
func (p *socketPage) encode() ([]byte, error) {
	for {
		b, err := json.Marshal(p)
		if err != nil || len(b) <= maxMemberAnswer || len(p.Sockets) < 2 {
			return b, err
		}
		p.Sockets = p.Sockets[:len(p.Sockets)/2]
		last := p.Sockets[len(p.Sockets)-1]
		p.Next = websockets.Next(last.Context, last.User, last.ID)
	}
}

// allPage is a page of all members' sockets. Each has answered its own first
// ones after the cursor, so the first ones of all are among them, up to where
// the first of the answers ends that has a next.
func (s *Server) allPage(ctx context.Context, sel websockets.Selector, cursor string, limit int) (socketPage, error) {
	q := s.newQuestion(sel)
	q.Cursor, q.Limit = cursor, limit
	var all []placedSocket
	var ended []endedSocket
	var refused []refusedHandshake
	end := "" // the place up to which all that answered have told all
	add := func(p socketPage) error {
		ended, refused = append(ended, p.Ended...), append(refused, p.Refused...)
		placed := make([]placedSocket, len(p.Sockets))
		for i, l := range p.Sockets {
			placed[i] = placedSocket{websockets.Next(l.Context, l.User, l.ID), l}
			// One that no cursor can name would end the list, or begin it again.
			if !websockets.ValidNext(placed[i].place) || placed[i].place <= cursor {
				return fmt.Errorf("the socket %.100q is not one of this page", l.ID)
			}
		}
		if p.Next != "" {
			if len(placed) == 0 {
				return errors.New("a page of no socket has a next")
			}
			if last := placed[len(placed)-1].place; end == "" || last < end {
				end = last
			}
		}
		all = append(all, placed...)
		return nil
	}
	wait := s.ask(ctx, opList, q, func(a remote.Answer) error {
		var p socketPage
		if err := json.Unmarshal(a.Body, &p); err != nil {
			return err
		}
		for i := range p.Sockets {
			p.Sockets[i].Member = a.Member
		}
		p.Ended = p.Ended[:min(1, len(p.Ended))]
		for i := range p.Ended {
			p.Ended[i].Member = a.Member
		}
		p.Refused = p.Refused[:min(maxRefusedTold, len(p.Refused))]
		for i := range p.Refused {
			p.Refused[i].Member = a.Member
		}
		return add(p)
	})
	err := add(s.ownPage(sel, cursor, limit))
	page := socketPage{Sockets: []listedSocket{}, Unreachable: wait()}
	if err != nil {
		return page, err
	}
	slices.SortFunc(ended, func(a, b endedSocket) int { return b.Time.Compare(a.Time) })
	slices.SortFunc(refused, func(a, b refusedHandshake) int { return b.Time.Compare(a.Time) })
	page.Ended, page.Refused = ended, refused
	slices.SortFunc(all, func(a, b placedSocket) int { return strings.Compare(a.place, b.place) })
	for i, p := range all {
		if i == limit || end != "" && p.place > end {
			page.Next = all[i-1].place
			return page, nil
		}
		page.Sockets = append(page.Sockets, p.listedSocket)
	}
	page.Next = end // which is the last one's place
	return page, nil
}

// placedSocket is one with its place in the order of a list.
type placedSocket struct {
	place string
	listedSocket
}

// closedSockets is how many were closed, and who may have more of them.
type closedSockets struct {
	Closed      int      `json:"closed"`
	Unreachable []string `json:"unreachable,omitempty"`
}

// closeSockets closes the sockets that the query names, on all members and for
// good: their clients do not come back by themselves.
func (s *Server) closeSockets(w http.ResponseWriter, r *http.Request) error {
	query, sel, err := s.socketQuery(r, "all")
	if err != nil {
		return err
	}
	switch all := query.Get("all"); {
	case all != "" && all != "true":
		return fail(http.StatusBadRequest, "bad_query", "all is true, or left out")
	case all == "true" && sel.Context != 0:
		return fail(http.StatusBadRequest, "bad_query", "all is everybody: leave out context and user")
	case all == "" && sel.Context == 0:
		return fail(http.StatusBadRequest, "bad_query", "name a context with ?context=, or say ?all=true to close the sockets of everybody")
	}
	q, sum := s.newQuestion(sel), closedSockets{}
	q.All, q.Actor = query.Get("all") == "true", Actor(r.Context())
	wait := s.ask(r.Context(), opClose, q, func(a remote.Answer) error {
		var theirs closedSockets
		err := json.Unmarshal(a.Body, &theirs)
		sum.Closed += theirs.Closed
		return err
	})
	own := s.closeOwn(sel, s.Member, q.Actor)
	sum.Unreachable = wait()
	sum.Closed += own
	s.Logger.Info("sockets of all members closed by an administrator", "context", sel.Context, "user", sel.User, "all", q.All, "closed", sum.Closed, "actor", q.Actor)
	return s.answer(w, http.StatusOK, sum)
}

// closeOwn closes sockets of this member, for an administrator who asked from.
func (s *Server) closeOwn(sel websockets.Selector, from, actor string) int {
	closed := s.Sockets.CloseSockets(sel, websockets.CauseAdmin)
	s.Logger.Info("sockets closed by an administrator", "context", sel.Context, "user", sel.User, "closed", closed, "actor", actor, "from", from)
	return closed
}

// socketQuery reads which sockets a request is about; more are the parameters
// that it may have beside.
func (s *Server) socketQuery(r *http.Request, more ...string) (query url.Values, sel websockets.Selector, err error) {
	if query, err = parseQuery(r); err != nil {
		return nil, sel, err
	}
	known := append([]string{"context", "user", "connection", "path"}, more...)
	for key, values := range query {
		switch {
		case !slices.Contains(known, key):
			return nil, sel, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (%s)", key, strings.Join(known, ", "))
		case len(values) > 1:
			return nil, sel, fail(http.StatusBadRequest, "bad_query", "the parameter %s stands twice", key)
		}
	}
	su, err := s.querySubject(query)
	if err != nil {
		return nil, sel, err
	}
	sel.Context, sel.User = su.Context, su.User
	// An empty one, of a script whose variable is not set, would name all.
	if sel.Connection = query.Get("connection"); query.Has("connection") && sel.Connection == "" {
		return nil, sel, fail(http.StatusBadRequest, "bad_query", "connection is empty: name one, or leave it out")
	}
	if query.Has("path") {
		sel.PathFilter = query.Get("path")
		if err := websockets.ValidatePathFilter(sel.PathFilter); err != nil {
			return nil, sel, fail(http.StatusBadRequest, "bad_path_filter", "%s", err)
		}
	}
	return query, sel, nil
}

// limitOf is the length of a page.
func limitOf(query url.Values) (int, error) {
	if !query.Has("limit") {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fail(http.StatusBadRequest, "bad_query", "limit is 1 to %d", maxLimit)
	}
	return limit, nil
}

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
	q := memberQuestion{Context: su.Context, User: su.User, From: s.Member}
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
	return json.Marshal(s.probeOwn(s.streaming, cascade.Subject{Context: q.Context, User: q.User}))
}

// probeOwn asks the user's sockets here and waits for what they answer.
func (s *Server) probeOwn(ctx context.Context, su cascade.Subject) DeliveryOnMember {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	rec := s.Sockets.Probe(su.Context, su.User)
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
