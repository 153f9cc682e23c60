package console

import (
	"context"
	"errors"
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

// safe reports whether a token may travel the way of a request: in TLS, or
// without leaving the machine.
func safe(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return r.TLS != nil || err == nil && from.Addr().Unmap().IsLoopback()
}

type loginData struct {
	Next, Problem string
	Safe, Ended   bool
	OpenID        bool   // people can log in so
	Begin         string // where they do
}

// atLogin is a visit of who is not logged in yet.
func (c *Console) atLogin(w http.ResponseWriter, r *http.Request) (*visit, *loginData) {
	next := local(r.FormValue("next"))
	return &visit{Console: c, w: w, r: r}, &loginData{
		Next: next, Safe: safe(r), OpenID: c.opts.OpenID != nil && c.opts.OpenID.On(), Ended: r.Method == http.MethodGet && r.FormValue("ended") != "",
		Begin: "/console/oidc/login?" + url.Values{"next": {next}}.Encode(),
	}
}

// cookie is one out of reach of scripts; one without a value goes.
func cookie(r *http.Request, name, path, value string, age time.Duration, site http.SameSite) *http.Cookie {
	k := &http.Cookie{Name: name, Value: value, Path: path, MaxAge: int(age.Seconds()), HttpOnly: true, Secure: r.TLS != nil, SameSite: site}
	if value == "" {
		k.MaxAge = -1
	}
	return k
}

func loginCookie(r *http.Request, token string) *http.Cookie {
	return cookie(r, cookieName, "/console/", token, cookieAge, http.SameSiteStrictMode)
}

func keepBegun(w http.ResponseWriter, r *http.Request, kept string) {
	http.SetCookie(w, cookie(r, begunCookie, "/console/oidc/", kept, begunAge, http.SameSiteLaxMode))
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if c.opts.Peer(r) {
		http.Redirect(w, r, "/console/", http.StatusSeeOther)
		return
	}
	v, d := c.atLogin(w, r)
	v.draw(http.StatusOK, "login", d)
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

func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	v, d := c.atLogin(w, r)
	if !d.Safe {
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	k := loginCookie(r, strings.TrimSpace(r.PostFormValue("token")))
	if k.Valid() != nil || k.Value == "" {
		k.Value = "-" // no token has such letters
	}
	r.Header.Del("Cookie")
	r.AddCookie(k)
	var p *problem
	v.get("/admin/v1/whoami", nil, nil)
	if err := v.err; errors.As(err, &p) {
		v.err, d.Problem = nil, p.Detail
		v.draw(p.Status, "login", d)
		return
	}
	http.SetCookie(w, k)
	http.Redirect(w, r, d.Next, http.StatusSeeOther)
}

func (c *Console) logOut(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(cookieName); err == nil && c.opts.OpenID != nil {
		c.opts.OpenID.End(k.Value)
	}
	http.SetCookie(w, loginCookie(r, ""))
	http.Redirect(w, r, "/console/login", http.StatusSeeOther)
}

func (c *Console) beginOpenID(w http.ResponseWriter, r *http.Request) {
	v, d := c.atLogin(w, r)
	if !d.Safe || !d.OpenID {
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	address, kept, err := c.opts.OpenID.Begin(r.Context(), d.Next)
	if err != nil {
		d.Problem = err.Error()
		v.draw(http.StatusBadGateway, "login", d)
		return
	}
	keepBegun(w, r, kept)
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func (c *Console) endOpenID(w http.ResponseWriter, r *http.Request) {
	v, d := c.atLogin(w, r)
	q, kept := r.URL.Query(), ""
	if k, err := r.Cookie(begunCookie); err == nil {
		kept = k.Value
	}
	keepBegun(w, r, "")
	if d.Safe && d.OpenID {
		if q.Get("error") != "" {
			d.Problem = plain("login.provider", marks.Replace(q.Get("error")), marks.Replace(q.Get("error_description")))
		} else if token, next, err := c.opts.OpenID.Finish(r.Context(), kept, q.Get("state"), q.Get("code")); err != nil {
			d.Problem = marks.Replace(err.Error())
		} else {
			http.SetCookie(w, loginCookie(r, token))
			// A redirect would still be the provider's, with which no strict cookie
			// goes: a page of our own leads on.
			w.Header().Set("Refresh", "0; url="+local(next))
			v.draw(http.StatusOK, "welcome", local(next))
			return
		}
	}
	v.draw(http.StatusForbidden, "login", d)
}
