// Package console is the web console of the admin listener: pages that say why,
// drawn on the server from what the admin API answers. It asks that API within
// the process, with the token of the person at the browser, so that roles, limits
// and the audit log are those of the API.
package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

//go:embed templates static
var files embed.FS

const (
	// cookieName holds the token of the person who has logged in.
	cookieName = "sluice_console"
	// cookieAge is how long a browser stays logged in: a working day.
	cookieAge = 12 * time.Hour
	// maxAnswer bounds an answer of the API that a page is drawn from, in bytes.
	maxAnswer = 8 << 20
	// maxForm bounds what a browser sends, in bytes: a reason and a few names.
	maxForm = 16 << 10
)

// policy lets pages load only what this package serves; no script stands in a
// page, and no other page may frame one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Options are what a console needs.
type Options struct {
	// API answers the admin API.
	API http.Handler
	// Peer reports whether a request comes from somebody who needs no token.
	Peer func(*http.Request) bool
	// OpenID has people log in without a token; nil: nobody does.
	OpenID OpenID
	// Doctor examines why a user gets no pushes. It asks the API by way of a
	// transport, on behalf of the visitor.
	Doctor func(ctx context.Context, api http.RoundTripper, context, user uint32) ([]Step, error)
}

// Console serves everything below /console/.
type Console struct {
	opts   Options
	pages  *template.Template
	router http.Handler
}

// New returns a console.
func New(o Options) *Console {
	// What is embedded parses, or no test of this package passes.
	c := &Console{opts: o, pages: template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/*.html"))}
	r := chi.NewRouter()
	r.Get("/console", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/console/", http.StatusMovedPermanently)
	})
	r.Get("/console/static/{file}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "static/"+chi.URLParam(r, "file"))
	})
	r.Get("/console/login", c.login)
	r.Post("/console/login", c.logIn)
	r.Post("/console/logout", c.logOut)
	r.Get("/console/oidc/login", c.beginOpenID)
	r.Get("/console/oidc/callback", c.endOpenID)
	r.Get("/console/", c.page(c.search))
	r.Get("/console/person/{context}/{user}", c.page(c.person))
	r.Post("/console/person/{context}/{user}/{action}", c.page(c.personAction))
	r.Get("/console/property/{property}", c.page(c.property))
	r.Get("/console/person/{context}/{user}/doctor", c.page(c.doctor))
	r.Get("/console/off", c.page(c.off))
	r.Post("/console/off", c.page(c.offAction))
	r.Get("/console/configuration", c.page(c.configuration))
	r.Post("/console/configuration/{action}", c.page(c.configurationAction))
	r.Get("/console/cluster", c.page(c.cluster))
	r.Get("/console/audit", c.page(c.audit))
	r.Post("/console/audit/{revision}/revert", c.page(c.revert))
	r.Get("/console/events", c.events)
	r.NotFound(c.page(func(*visit) error { return &problem{Status: http.StatusNotFound, Detail: "There is no such page."} }))
	c.router = http.NewCrossOriginProtection().Handler(r)
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.router.ServeHTTP(w, r)
}

// visit is one request for a page, by somebody who is logged in.
type visit struct {
	*Console
	w    http.ResponseWriter
	r    *http.Request
	Role string
	Name string // of the actor
}

// May reports whether the visitor has a role, or one that may do more.
func (v *visit) May(role string) bool {
	rank := map[string]int{"viewer": 1, "operator": 2, "editor": 3}
	return rank[v.Role] >= rank[role]
}

// page wraps what draws a page: who is not logged in gets the login, and what
// fails is told on a page of its own.
func (c *Console) page(draw func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Console: c, w: w, r: r}
		var who struct{ Actor, Role string }
		err := v.get("/admin/v1/whoami", nil, &who)
		v.Role, v.Name = who.Role, who.Actor
		if err == nil {
			err = draw(v)
		}
		if err == nil {
			return
		}
		var p *problem
		if !errors.As(err, &p) {
			p = &problem{Status: http.StatusBadGateway, Detail: err.Error()}
		}
		if p.Status == http.StatusUnauthorized {
			http.Redirect(w, r, "/console/login?"+url.Values{"next": {next(r)}}.Encode(), http.StatusSeeOther)
			return
		}
		v.draw(p.Status, "error", p)
	}
}

// next is where a login leads to: the page that was asked for, if it was one
// that can be asked for again.
func next(r *http.Request) string {
	if r.Method == http.MethodGet {
		return r.URL.RequestURI()
	}
	return "/console/"
}

// draw writes a page.
func (v *visit) draw(status int, name string, data any) {
	var b bytes.Buffer
	err := v.pages.ExecuteTemplate(&b, name, struct {
		*visit
		Page string
		Path string
		Data any
	}{v, name, v.r.URL.Path, data})
	if err != nil {
		http.Error(v.w, "console: "+err.Error(), http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // fails where the browser has left
}

// problem is why the API refused.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Detail }

// answer collects what the API says.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > maxAnswer {
		return 0, io.ErrShortWrite
	}
	return a.body.Write(b)
}

// authorize hands the visitor's token on.
func authorize(from *http.Request, to http.Header) {
	if k, err := from.Cookie(cookieName); err == nil {
		to.Set("Authorization", "Bearer "+k.Value)
	}
}

// outside is the context of a request without the place that this package's
// router found for it, where another router would go on.
func outside(r *http.Request) context.Context {
	return context.WithValue(r.Context(), chi.RouteCtxKey, (*chi.Context)(nil))
}

// ask hands a request to the API, with the visitor's token.
func (v *visit) ask(req *http.Request) *answer {
	req.RemoteAddr, req.Host, req.RequestURI = v.r.RemoteAddr, v.r.Host, req.URL.RequestURI()
	authorize(v.r, req.Header)
	a := &answer{header: http.Header{}}
	v.opts.API.ServeHTTP(a, req)
	return a
}

// RoundTrip implements http.RoundTripper: the way of Options.Doctor to the API.
func (v *visit) RoundTrip(req *http.Request) (*http.Response, error) {
	a := v.ask(req.Clone(outside(v.r))) // what the listener knows of the visitor is in its context
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(visible(a.body.Bytes()))), ContentLength: -1, Request: req,
	}, nil
}

// call asks the API on the visitor's behalf. out may be nil.
func (v *visit) call(method, path string, header http.Header, in, out any) (http.Header, error) {
	body := io.Reader(http.NoBody)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(outside(v.r), method, path, body)
	if err != nil {
		return nil, err
	}
	for k, values := range header {
		req.Header[k] = values
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	a := v.ask(req)
	if a.status >= http.StatusBadRequest {
		p := &problem{Status: a.status}
		if json.Unmarshal(visible(a.body.Bytes()), p) != nil || p.Detail == "" {
			p.Detail = http.StatusText(a.status)
		}
		return a.header, p
	}
	if out == nil || a.body.Len() == 0 {
		return a.header, nil
	}
	if err := json.Unmarshal(visible(a.body.Bytes()), out); err != nil {
		return a.header, fmt.Errorf("the answer of %s %s: %w", method, path, err)
	}
	return a.header, nil
}

func (v *visit) get(path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	_, err := v.call(http.MethodGet, path, nil, nil, out)
	return err
}

// safe reports whether a token may travel the way of a request: in TLS, or
// without leaving the machine.
func safe(r *http.Request) bool {
	if r.TLS != nil && r.TLS.Version >= tls.VersionTLS12 {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

type loginData struct {
	Next, Problem string
	Safe, Ended   bool
	OpenID        bool // people can log in so
}

func (c *Console) loginData(r *http.Request) loginData {
	return loginData{Next: local(r.FormValue("next")), Safe: safe(r), OpenID: c.opts.OpenID != nil && c.opts.OpenID.On()}
}

// loginCookie keeps a token in the browser, out of reach of scripts.
func loginCookie(r *http.Request, token string) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: token, Path: "/console/", MaxAge: int(cookieAge.Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if c.opts.Peer(r) {
		http.Redirect(w, r, "/console/", http.StatusSeeOther)
		return
	}
	v := &visit{Console: c, w: w, r: r}
	d := c.loginData(r)
	d.Ended = r.FormValue("ended") != ""
	v.draw(http.StatusOK, "login", d)
}

// local keeps a login from leading out of the console.
func local(path string) string {
	if !strings.HasPrefix(path, "/console/") || strings.ContainsAny(path, "\\\n\r") {
		return "/console/"
	}
	return path
}

func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	v := &visit{Console: c, w: w, r: r}
	d := c.loginData(r)
	if !d.Safe {
		v.draw(http.StatusForbidden, "login", d)
		return
	}
	cookie := loginCookie(r, strings.TrimSpace(r.PostFormValue("token")))
	if cookie.Valid() != nil {
		cookie.Value = "-" // no token has such letters
	}
	r.Header.Del("Cookie")
	r.AddCookie(cookie)
	var p *problem
	switch err := v.get("/admin/v1/whoami", nil, nil); {
	case errors.As(err, &p):
		d.Problem = p.Detail
		v.draw(p.Status, "login", d)
	case err != nil:
		d.Problem = err.Error()
		v.draw(http.StatusBadGateway, "login", d)
	default:
		http.SetCookie(w, cookie)
		http.Redirect(w, r, d.Next, http.StatusSeeOther)
	}
}

func (c *Console) logOut(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(cookieName); err == nil && c.opts.OpenID != nil {
		c.opts.OpenID.End(k.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/console/", MaxAge: -1, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/console/login", http.StatusSeeOther)
}

// events is the stream of the API, for the pages' script.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	req := r.Clone(outside(r))
	req.URL.Path, req.URL.RawPath = "/admin/v1/events", ""
	req.RequestURI = req.URL.RequestURI()
	req.Header.Del("Cookie")
	authorize(r, req.Header)
	c.opts.API.ServeHTTP(w, req)
}
