package console

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// OpenID has people log in with an OpenID Connect provider.
type OpenID interface {
	On() bool
	// Begin returns the provider's address, and what the browser keeps of the login.
	Begin(ctx context.Context, next string) (address, kept string, err error)
	// Finish returns the token of a login, and where it was to lead.
	Finish(ctx context.Context, kept, state, code string) (token, next string, err error)
	End(token string)
}

const (
	// cookieName holds the token of the person who has logged in.
	cookieName = "sluice_console"
	// cookieAge is how long a browser stays logged in: a working day.
	cookieAge = 12 * time.Hour
	// begunCookie keeps a login in the browser that began it. It has to come along
	// from the provider's page, which SameSite=Strict would not let it.
	begunCookie = "sluice_console_state"
	// begunAge is how long somebody has at the provider.
	begunAge = 10 * time.Minute
)

// loginData is the page of who is not logged in yet.
type loginData struct {
	Next, Problem string
	Begin         string // where people log in with OpenID Connect; empty: they do not
	Safe, Ended   bool   // Safe: a token may travel, in TLS or without leaving the machine
}

// atLogin wraps what the login does; what it returns is drawn with the status,
// unless that is 0.
func (c *Console) atLogin(f func(v *visit, d *loginData) (status int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		v, d := &visit{Console: c, w: w, r: r}, &loginData{
			Next: local(r.FormValue("next")), Ended: r.Method == http.MethodGet && r.FormValue("ended") != "",
			Safe: r.TLS != nil || err == nil && from.Addr().Unmap().IsLoopback(),
		}
		if d.Safe && c.opts.OpenID != nil && c.opts.OpenID.On() {
			d.Begin = "/console/oidc/login?" + url.Values{"next": {d.Next}}.Encode()
		}
		if status := f(v, d); status != 0 {
			v.draw(status, "login", plain("login"), d)
		}
	}
}

// keep sets a cookie out of reach of scripts; one without a value goes.
func (v *visit) keep(name, path, value string, age time.Duration, site http.SameSite) {
	k := &http.Cookie{Name: name, Value: value, Path: path, MaxAge: int(age.Seconds()), HttpOnly: true, Secure: v.r.TLS != nil, SameSite: site}
	if value == "" {
		k.MaxAge = -1
	}
	http.SetCookie(v.w, k)
}

func (v *visit) keepToken(token string) {
	v.keep(cookieName, "/console/", token, cookieAge, http.SameSiteStrictMode)
}

func (v *visit) keepBegun(kept string) {
	v.keep(begunCookie, "/console/oidc/", kept, begunAge, http.SameSiteLaxMode)
}

func (v *visit) login(*loginData) int {
	if v.opts.Peer(v.r) {
		http.Redirect(v.w, v.r, "/console/", http.StatusSeeOther)
		return 0
	}
	return http.StatusOK
}

// maxNext bounds the address that a login leads to: a cookie has to hold it.
const maxNext = 2 << 10

// local keeps a login from leading out of the console.
func local(path string) string {
	if !strings.HasPrefix(path, "/console/") || strings.ContainsAny(path, "\\\n\r") || len(path) > maxNext {
		return "/console/"
	}
	return path
}

func (v *visit) logIn(d *loginData) int {
	if !d.Safe {
		return http.StatusForbidden
	}
	k := &http.Cookie{Name: cookieName, Value: strings.TrimSpace(v.r.PostFormValue("token"))}
	if k.Valid() != nil || k.Value == "" {
		k.Value = "-" // no token has such letters
	}
	v.r.Header.Del("Cookie")
	v.r.AddCookie(k)
	v.get("/admin/v1/whoami", nil, nil)
	if p := v.problem(); p != nil {
		v.err, d.Problem = nil, p.Detail
		return p.Status
	}
	v.keepToken(k.Value)
	v.lead(d.Next)
	return 0
}

func (v *visit) logOut(*loginData) int {
	if k, err := v.r.Cookie(cookieName); err == nil && v.opts.OpenID != nil {
		v.opts.OpenID.End(k.Value)
	}
	v.keepToken("")
	http.Redirect(v.w, v.r, "/console/login", http.StatusSeeOther)
	return 0
}

func (v *visit) beginOpenID(d *loginData) int {
	if d.Begin == "" {
		return http.StatusForbidden
	}
	address, kept, err := v.opts.OpenID.Begin(v.r.Context(), d.Next)
	if err != nil {
		d.Problem = err.Error()
		return http.StatusBadGateway
	}
	v.keepBegun(kept)
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
	return 0
}

func (v *visit) endOpenID(d *loginData) int {
	q, kept := v.r.URL.Query(), ""
	if k, err := v.r.Cookie(begunCookie); err == nil {
		kept = k.Value
	}
	v.keepBegun("")
	switch {
	case d.Begin == "":
	case q.Get("error") != "":
		d.Problem = plain("login.provider", shown(q.Get("error")), shown(q.Get("error_description")))
	default:
		token, next, err := v.opts.OpenID.Finish(v.r.Context(), kept, q.Get("state"), q.Get("code"))
		if err != nil {
			d.Problem = shown(err)
			break
		}
		v.keepToken(token)
		// A redirect would still be the provider's, with which no strict cookie
		// goes: a page of our own leads on.
		v.w.Header().Set("Refresh", "0; url="+local(next))
		v.draw(http.StatusOK, "welcome", plain("welcome"), local(next))
		return 0
	}
	return http.StatusForbidden
}
