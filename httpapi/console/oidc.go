package console

import (
	"context"
	"net/http"
	"net/url"
)

// OpenID has people log in with an OpenID Connect provider.
type OpenID interface {
	On() bool
	// Begin returns the provider's address, and the state to come back with.
	Begin(ctx context.Context, next string) (address, state string, err error)
	// Finish returns the token of a login, and where it was to lead.
	Finish(ctx context.Context, state, code string) (token, next string, err error)
	End(token string)
}

const (
	// stateCookie ties a login to the browser that began it. It has to come along
	// from the provider's page, which SameSite=Strict would not let it.
	stateCookie = "sluice_console_state"
	// stateAge is how long somebody has at the provider, in seconds.
	stateAge = 600
)

func (c *Console) beginOpenID(w http.ResponseWriter, r *http.Request) {
	v := &visit{Console: c, w: w, r: r}
	d := c.loginData(r)
	if !d.Safe || !d.OpenID {
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	address, state, err := c.opts.OpenID.Begin(r.Context(), d.Next)
	if err != nil {
		d.Problem = err.Error()
		v.draw(http.StatusBadGateway, "login", d)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: stateCookie, Value: state, Path: "/console/oidc/", MaxAge: stateAge, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func (c *Console) endOpenID(w http.ResponseWriter, r *http.Request) {
	v := &visit{Console: c, w: w, r: r}
	d, q := c.loginData(r), r.URL.Query()
	http.SetCookie(w, &http.Cookie{Name: stateCookie, Path: "/console/oidc/", MaxAge: -1, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
	k, err := r.Cookie(stateCookie)
	switch {
	case !d.Safe || !d.OpenID:
		v.draw(http.StatusForbidden, "login", d)
		return
	case q.Get("error") != "":
		d.Problem = "The provider says: " + marks.Replace(q.Get("error")+" "+q.Get("error_description"))
	case err != nil || k.Value == "" || k.Value != q.Get("state"):
		d.Problem = "This login was not begun in this browser: begin again."
	}
	if d.Problem != "" {
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	token, next, err := c.opts.OpenID.Finish(r.Context(), k.Value, q.Get("code"))
	if err != nil {
		d.Problem = marks.Replace(err.Error())
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	http.SetCookie(w, loginCookie(r, token))
	// A redirect would still be the provider's, with which no strict cookie goes:
	// a page of our own leads on.
	w.Header().Set("Refresh", "0; url="+(&url.URL{Path: "/"}).ResolveReference(parsed(local(next))).String())
	v.draw(http.StatusOK, "welcome", local(next))
}

// parsed is a path of the console as an address.
func parsed(path string) *url.URL {
	u, err := url.Parse(path)
	if err != nil {
		return &url.URL{Path: "/console/"}
	}
	return u
}
