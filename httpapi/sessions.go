package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Bounds of a session's texts, of which many are kept: the known client ids
// have some 20 bytes, the agents of browsers at most some 300.
const (
	maxClientLen    = 255
	maxUserAgentLen = 2048
)

// sessionMaker and sessionEnder are what a store of sessions can do beside
// looking them up. One that belongs to somebody else can do neither.
type (
	sessionMaker interface {
		sessionEnder
		Create(ctx context.Context, s *websockets.Session) error
	}
	sessionEnder interface {
		Delete(ctx context.Context, id string) error
	}
)

// maxSaltChanges is how often a session is made anew because the salt of the
// cookies has changed meanwhile. It changes once after a member's start, when the
// cluster's is known, and when Redis has lost it.
const maxSaltChanges = 3

var errSaltChanged = errors.New("the salt of the cookies changes: try again")

var errForeignSessions = fail(http.StatusConflict, "foreign_sessions", "the sessions belong to App Suite: log in and out there")

func (s *Server) createSession(w http.ResponseWriter, r *http.Request) error {
	store, ok := s.Sessions.(sessionMaker)
	if !ok {
		return errForeignSessions
	}
	var in struct {
		Context   namedID `json:"context"`
		User      namedID `json:"user"`
		Client    string  `json:"client"`
		UserAgent string  `json:"userAgent"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	su, err := s.subjectOf(in.Context.given(), in.User.given())
	if err != nil {
		return err
	}
	if su.User == 0 {
		return fail(http.StatusBadRequest, "bad_id", "context and user are ids, 1 to %d", cascade.MaxID)
	}
	if in.Client == "" || len(in.Client) > maxClientLen || len(in.UserAgent) > maxUserAgentLen {
		return fail(http.StatusBadRequest, "bad_client", "client has 1 to %d bytes, userAgent at most %d", maxClientLen, maxUserAgentLen)
	}
	var ses *websockets.Session
	for range maxSaltChanges {
		cfg := s.Config()
		ses = websockets.NewSession(su.Context, su.User, in.Client, in.UserAgent, 0, cfg.Cookie)
		err = store.Create(r.Context(), ses)
		if cfg.Cookie.Salt == s.Config().Cookie.Salt {
			break
		}
		// Its cookie has a name of the old salt, that no other member looks for.
		if err == nil {
			err = store.Delete(r.Context(), ses.ID)
		}
		if err == nil {
			err = errSaltChanged
		}
	}
	switch {
	case errors.Is(err, websockets.ErrTooManySessions):
		return fail(http.StatusServiceUnavailable, "too_many_sessions", "%s", err)
	case err != nil:
		return s.storeFailed(err)
	}
	type cookie struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	s.Logger.Info("session made by an administrator", "context", ses.Context, "user", ses.User, "client", ses.Client, "actor", Actor(r.Context()))
	return s.answer(w, http.StatusCreated, struct {
		Session string    `json:"session"`
		Secret  string    `json:"secret"`
		Cookie  cookie    `json:"cookie"`
		Expires time.Time `json:"expires"`
	}{ses.ID, ses.Secret, cookie{ses.CookieName(), ses.Secret}, ses.Expires.UTC()})
}

// session shows what is known of a session, but never its secret.
func (s *Server) session(w http.ResponseWriter, r *http.Request) error {
	ses, err := s.findSession(r)
	if err != nil {
		return err
	}
	sockets, _ := s.Sockets.List(websockets.Selector{Context: ses.Context, User: ses.User, Session: ses.ID}, "", maxLimit)
	return s.answer(w, http.StatusOK, struct {
		Session    string     `json:"session"`
		Context    uint32     `json:"context"`
		User       uint32     `json:"user"`
		Client     string     `json:"client"`
		Guest      bool       `json:"guest"`
		Restricted bool       `json:"restricted"`
		Created    *time.Time `json:"created"`
		Expires    *time.Time `json:"expires"`
		Sockets    int        `json:"sockets"`
	}{
		ses.ID, ses.Context, ses.User, ses.Client, ses.Guest, ses.Restricted,
		known(ses.Created), known(ses.Expires), len(sockets),
	})
}

// known is nil for a time that the store does not have.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// deleteSession ends a session and its sockets.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) error {
	store, ok := s.Sessions.(sessionEnder)
	if !ok {
		return errForeignSessions
	}
	ses, err := s.findSession(r)
	if err == nil {
		err = store.Delete(r.Context(), ses.ID)
	}
	var answered *problem
	switch {
	case errors.Is(err, websockets.ErrNoSession):
		return errNoSession
	case errors.As(err, &answered):
		return err
	case err != nil:
		return s.storeFailed(err)
	}
	s.Logger.Info("session ended by an administrator", "context", ses.Context, "user", ses.User, "actor", Actor(r.Context()))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// The id is not repeated: whoever knows it is half way in.
var errNoSession = fail(http.StatusNotFound, "no_session", "there is no such session: it was ended, has expired, or never was")

func (s *Server) findSession(r *http.Request) (*websockets.Session, error) {
	id, err := param(r, "session")
	if err != nil {
		return nil, err
	}
	if id == "" || len(id) > websockets.MaxSessionID {
		return nil, errNoSession
	}
	ses, err := s.Sessions.Get(r.Context(), id)
	switch {
	case errors.Is(err, websockets.ErrNoSession):
		return nil, errNoSession
	case err != nil:
		return nil, s.storeFailed(err)
	}
	return ses, nil
}

// storeFailed answers for a store that could not do what it was asked.
func (s *Server) storeFailed(err error) error {
	s.Logger.Error("the store of sessions failed", "err", err)
	return fail(http.StatusServiceUnavailable, "store_unavailable", "the store of sessions cannot be used at the moment: the log has the reason")
}

// listedSession is a session as a list shows it. Its id is known to the browser
// alone; the hash tells it from others.
type listedSession struct {
	Hash       string     `json:"hash"`
	Client     string     `json:"client"`
	Guest      bool       `json:"guest"`
	Restricted bool       `json:"restricted"`
	Created    *time.Time `json:"created"`
	Expires    *time.Time `json:"expires"`
	Address    string     `json:"address"` // "": not known
	Sockets    int        `json:"sockets"` // of this member
}

// sessionQuery reads whose sessions a request is about.
func (s *Server) sessionQuery(r *http.Request, more ...string) (query url.Values, su cascade.Subject, err error) {
	if query, err = knownQuery(r, append([]string{"context", "user"}, more...)...); err != nil {
		return nil, su, err
	}
	if su, err = s.querySubject(query); err != nil {
		return nil, su, err
	}
	if su.User == 0 {
		return nil, su, fail(http.StatusBadRequest, "bad_query", "name a user, with ?context= and ?user=, or a login or mail as ?user=")
	}
	return query, su, nil
}

// listSessions answers the sessions of a user.
func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) error {
	_, su, err := s.sessionQuery(r)
	if err != nil {
		return err
	}
	store, ok := s.Sessions.(websockets.UserSessions)
	if !ok {
		return fail(http.StatusServiceUnavailable, "store_unavailable", "this store of sessions does not list them by user")
	}
	list, err := store.OfUser(r.Context(), su.Context, su.User)
	if err != nil {
		return s.storeFailed(err)
	}
	open := map[string]int{}
	sockets, _ := s.Sockets.List(websockets.Selector{Context: su.Context, User: su.User}, "", maxLimit)
	for i := range sockets {
		open[sockets[i].SessionHash]++
	}
	out := []listedSession{}
	for _, ses := range list {
		l := listedSession{
			Hash: ses.HashedID(), Client: ses.Client, Guest: ses.Guest, Restricted: ses.Restricted,
			Created: known(ses.Created), Expires: known(ses.Expires), Sockets: open[ses.HashedID()],
		}
		if ses.Address.IsValid() {
			l.Address = ses.Address.String()
		}
		out = append(out, l)
	}
	return s.answer(w, http.StatusOK, map[string]any{"sessions": out})
}

// endSessions ends the sessions of a user, or the one with a hash, and their
// sockets on all members.
func (s *Server) endSessions(w http.ResponseWriter, r *http.Request) error {
	query, su, err := s.sessionQuery(r, "session")
	if err != nil {
		return err
	}
	hash := strings.ToLower(query.Get("session"))
	if query.Has("session") && len(hash) != len(websockets.SessionHash("")) {
		return fail(http.StatusBadRequest, "bad_query", "session is the hash that a list shows, of %d hex digits", len(websockets.SessionHash("")))
	}
	store, ok := s.Sessions.(websockets.UserSessionEnder)
	if !ok {
		return errForeignSessions
	}
	ended, err := store.EndOfUser(r.Context(), su.Context, su.User, hash)
	if err != nil {
		return s.storeFailed(err)
	}
	if hash != "" && ended == 0 {
		return errNoSession
	}
	s.Logger.Info("sessions ended by an administrator", "context", su.Context, "user", su.User, "ended", ended, "actor", Actor(r.Context()))
	return s.answer(w, http.StatusOK, map[string]int{"ended": ended})
}
