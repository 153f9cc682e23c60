package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

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
	list, err := store.OfUser(r.Context(), int32(su.Context), int32(su.User))
	if err != nil {
		return s.storeFailed(err)
	}
	open := map[string]int{}
	sockets, _ := s.Sockets.List(websockets.Selector{Context: int32(su.Context), User: int32(su.User)}, "", maxLimit)
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
	ended, err := store.EndOfUser(r.Context(), int32(su.Context), int32(su.User), hash)
	if err != nil {
		return s.storeFailed(err)
	}
	if hash != "" && ended == 0 {
		return errNoSession
	}
	s.Logger.Info("sessions ended by an administrator", "context", su.Context, "user", su.User, "ended", ended, "actor", Actor(r.Context()))
	return s.answer(w, http.StatusOK, map[string]int{"ended": ended})
}
