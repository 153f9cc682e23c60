package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/doveadm"
)

// What is done with registrations.
const (
	actionRegister   = "register"
	actionUnregister = "unregister"
	actionStatus     = "status"
)

// What has become of it.
const (
	resultRegistered   = "registered"
	resultUnregistered = "unregistered" // or never was
	resultOther        = "other"        // the metadata names somebody else
	resultNoLogin      = "no_login"     // the directory knows no login or address
	resultNoUser       = "no_user"      // Dovecot knows no such user
	resultLater        = "later"
	resultUncertain    = "uncertain"
	resultSetup        = "setup" // Dovecot is not set up for it
)

// registration is one of a user with Dovecot.
type registration struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
	Login   string `json:"login"`
	Result  string `json:"result"`
	Value   string `json:"value,omitempty"`  // what Dovecot has, where that was asked
	Detail  string `json:"detail,omitempty"` // of a failure
}

// apply does the same for at most doveadm.MaxBatch users. A registration that was
// made not long ago is not made again, unless again is set.
func (r *registrar) apply(ctx context.Context, action string, users []cascade.Subject, again bool) []registration {
	out := make([]registration, len(users))
	var commands []doveadm.Command
	var places []int
	for i, su := range users {
		out[i] = registration{Context: su.Context, User: su.User, Login: r.login(su)}
		switch {
		case out[i].Login == "":
			out[i].Result = resultNoLogin
		case action == actionRegister && !again && r.recent(su):
			out[i].Result = resultRegistered
		default:
			commands = append(commands, doveadm.Command{Login: out[i].Login, Value: metadata(su)})
			places = append(places, i)
		}
	}
	if len(commands) == 0 {
		return out
	}
	client, err := r.doveAdm()
	if err != nil {
		for _, i := range places {
			out[i].Result, out[i].Detail = resultSetup, err.Error()
		}
		return out
	}
	op := map[string]doveadm.Op{actionRegister: doveadm.Set, actionUnregister: doveadm.Unset, actionStatus: doveadm.Get}[action]
	now := time.Now()
	for j, result := range client.Do(ctx, op, commands) {
		su, x := users[places[j]], &out[places[j]]
		switch {
		case result.Err != nil:
			x.Result, x.Detail = failedResult(result.Err), result.Err.Error()
			continue
		case action == actionRegister:
			x.Result = resultRegistered
		case action == actionUnregister:
			x.Result = resultUnregistered
		default:
			x.Value = result.Value
			switch result.Value {
			case metadata(su):
				x.Result = resultRegistered
			case "":
				x.Result = resultUnregistered
			default:
				x.Result = resultOther
			}
		}
		if x.Result == resultRegistered {
			r.known.Put(su.Context, su.User, now)
		} else {
			r.known.Put(su.Context, su.User, time.Time{})
		}
	}
	return out
}

func failedResult(err error) string {
	for failure, result := range map[error]string{doveadm.ErrNoUser: resultNoUser, doveadm.ErrLater: resultLater, doveadm.ErrSetup: resultSetup} {
		if errors.Is(err, failure) {
			return result
		}
	}
	return resultUncertain
}

// registrationsBody is what POST /admin/v1/mailpush/registrations takes.
type registrationsBody struct {
	Action string           `json:"action"`
	Again  bool             `json:"again"` // also who was registered not long ago
	Users  []registeredUser `json:"users"`
}

type registeredUser struct {
	Context int64 `json:"context"`
	User    int64 `json:"user"`
}

// registrations registers users with Dovecot, or the reverse, or looks.
func (s *Server) registrations(w http.ResponseWriter, r *http.Request) error {
	var body registrationsBody
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	switch body.Action {
	case actionRegister, actionUnregister, actionStatus:
	default:
		return fail(http.StatusBadRequest, "bad_action", "the action is register, unregister or status")
	}
	if len(body.Users) == 0 || len(body.Users) > doveadm.MaxBatch {
		return fail(http.StatusBadRequest, "bad_action", "name 1 to %d users", doveadm.MaxBatch)
	}
	users := make([]cascade.Subject, len(body.Users))
	for i, u := range body.Users {
		su, err := cascade.NewSubject(u.Context, u.User)
		if err != nil || su.User == 0 {
			return fail(http.StatusBadRequest, "bad_id", "each of users names a context and a user by their ids, 1 to %d", cascade.MaxID)
		}
		users[i] = su
	}
	if _, err := s.registrar.doveAdm(); err != nil {
		return fail(http.StatusConflict, "not_configured", "%s", err)
	}
	// What has begun is carried out by Dovecot, even if the caller goes away.
	results := s.registrar.apply(context.WithoutCancel(r.Context()), body.Action, users, body.Again)
	return s.answer(w, http.StatusOK, map[string]any{"results": results})
}

// registered answers whether a user is registered, as Dovecot has it now.
func (s *Server) registered(w http.ResponseWriter, r *http.Request) error {
	su, err := s.pathSubject(r)
	if err != nil {
		return err
	}
	if _, err := s.registrar.doveAdm(); err != nil {
		return fail(http.StatusConflict, "not_configured", "%s", err)
	}
	return s.answer(w, http.StatusOK, s.registrar.apply(r.Context(), actionStatus, []cascade.Subject{su}, false)[0])
}
