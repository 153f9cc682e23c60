package httpapi

import (
	"errors"
	"net/http"
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

func (s *Server) createSession(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Context   int64  `json:"context"`
		User      int64  `json:"user"`
		Client    string `json:"client"`
		UserAgent string `json:"userAgent"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	su, err := cascade.NewSubject(in.Context, in.User)
	if err != nil || su.User == 0 {
		return fail(http.StatusBadRequest, "bad_id", "context and user are ids, 1 to %d", cascade.MaxID)
	}
	if in.Client == "" || len(in.Client) > maxClientLen || len(in.UserAgent) > maxUserAgentLen {
		return fail(http.StatusBadRequest, "bad_client", "client has 1 to %d bytes, userAgent at most %d", maxClientLen, maxUserAgentLen)
	}
	ses := websockets.NewSession(int32(su.Context), int32(su.User), in.Client, in.UserAgent, 0, s.Config().Cookie)
	err = s.Sessions.Create(r.Context(), ses)
	switch {
	case errors.Is(err, websockets.ErrTooManySessions):
		return fail(http.StatusServiceUnavailable, "too_many_sessions", "%s", err)
	case err != nil:
		return err
	}
	type cookie struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	return s.answer(w, http.StatusCreated, struct {
		Session string    `json:"session"`
		Secret  string    `json:"secret"`
		Cookie  cookie    `json:"cookie"`
		Expires time.Time `json:"expires"`
	}{ses.ID, ses.Secret, cookie{ses.CookieName(), ses.Secret}, ses.Expires.UTC()})
}
