// Package console is the web console of the admin listener: pages that say why,
// drawn on the server from what the admin API answers. It asks that API within
// the process, with the token of the person at the browser, so that roles, limits
// and the audit log are those of the API.
package console

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"
)

//go:embed templates static
var files embed.FS

// maxForm bounds what a browser sends, in bytes: a reason and a few names.
const maxForm = 64 << 10

// policy lets pages load only what this package serves; no script stands in a
// page, and no other page may frame one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const html = "text/html; charset=utf-8"

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
	r.Get("/console/login", c.atLogin((*visit).login))
	r.Post("/console/login", c.atLogin((*visit).logIn))
	r.Post("/console/logout", c.atLogin((*visit).logOut))
	r.Get("/console/oidc/login", c.atLogin((*visit).beginOpenID))
	r.Get("/console/oidc/callback", c.atLogin((*visit).endOpenID))
	r.Get("/console/", c.page((*visit).search))
	r.Get("/console/person/{context}/{user}", c.page((*visit).person))
	r.Get("/console/person/{context}/{user}/doctor", c.page((*visit).doctor))
	r.Post("/console/person/{context}/{user}/{action}", c.page((*visit).personAction))
	r.Get("/console/property/{property}", c.page((*visit).property))
	r.Get("/console/off", c.page((*visit).off))
	r.Get("/console/plan", c.page((*visit).plan))
	r.Post("/console/plan", c.page((*visit).apply))
	r.Get("/console/configuration", c.page((*visit).configuration))
	r.Post("/console/configuration/{action}", c.page((*visit).configurationAction))
	r.Get("/console/cluster", c.page((*visit).cluster))
	r.Get("/console/audit", func(w http.ResponseWriter, r *http.Request) { // its address while it had a page
		http.Redirect(w, r, (&url.URL{Path: "/console/cluster", RawQuery: r.URL.RawQuery, Fragment: "audit"}).String(), http.StatusFound)
	})
	r.Post("/console/audit/{revision}/revert", c.page((*visit).revert))
	r.Get("/console/events", c.events)
	r.NotFound(c.page(func(v *visit) { v.refuse(http.StatusNotFound, "error.page") }))
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

// visit is one request for a page, by somebody who is logged in. The first error
// of what draws the page is kept: what follows it does nothing.
type visit struct {
	*Console
	w    http.ResponseWriter
	r    *http.Request
	err  error
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
func (c *Console) page(draw func(*visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Console: c, w: w, r: r}
		var who struct{ Actor, Role string }
		v.get("/admin/v1/whoami", nil, &who)
		v.Role, v.Name = who.Role, who.Actor
		if v.err == nil {
			draw(v)
		}
		if v.err == nil {
			return
		}
		p := cmp.Or(v.problem(), &problem{Status: http.StatusBadGateway, Detail: v.err.Error()})
		if v.err = nil; p.Status != http.StatusUnauthorized {
			v.draw(p.Status, "error", plain("error"), p)
			return
		}
		next := "/console/" // a page that was not asked for cannot be asked for again
		if r.Method == http.MethodGet {
			next = r.URL.RequestURI()
		}
		http.Redirect(w, r, "/console/login?"+url.Values{"next": {next}}.Encode(), http.StatusSeeOther)
	}
}

// draw writes a page between what all have; without a title that alone.
func (v *visit) draw(status int, name, title string, data any) {
	if v.err != nil {
		return
	}
	parts := []string{"top", name, "bottom"}
	if title == "" {
		parts = parts[1:2]
	}
	var b bytes.Buffer
	for _, part := range parts {
		err := v.pages.ExecuteTemplate(&b, part, struct {
			*visit
			Page, Title string
			Data        any
		}{v, name, title, data})
		if err != nil {
			http.Error(v.w, "console: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	v.w.Header().Set("Content-Type", html)
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // fails where the browser has left
}

// passing are the parameters of an address that tell of what was just done.
var passing = []string{"said", "n", "done", "message"}

// lead goes on to a page of the console, where pairs of parameters say what was
// done.
func (v *visit) lead(to string, pairs ...string) {
	if v.err == nil {
		http.Redirect(v.w, v.r, with(to, pairs...), http.StatusSeeOther)
	}
}

// with is an address of the console with other parameters, in the place of those
// that told of the action before.
func with(address string, pairs ...string) string {
	u, err := url.Parse(local(address))
	if err != nil {
		return "/console/"
	}
	q := u.Query()
	for _, key := range passing {
		q.Del(key)
	}
	for pair := range slices.Chunk(pairs, 2) {
		q.Set(pair[0], pair[1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Here is the address of the page without what was just done.
func (v *visit) Here() string { return with(v.r.URL.RequestURI()) }

// Said is what was just done, which the address names by the key of a text.
func (v *visit) Said() template.HTML {
	key := "said." + v.r.FormValue("said")
	if _, known := texts[key]; !known {
		return ""
	}
	n, _ := strconv.Atoi(v.r.FormValue("n")) // 0 where the text has no number
	if key == "said.forestalled" && n > 0 {
		var e auditEntry
		by := *v // whose error is not that of the page
		if by.get(fmt.Sprintf("/admin/v1/audit/%d", n), nil, &e); by.err == nil {
			return text("said.forestalled.by", e.Actor, word("did", e.Action), when(e.Time), e.Reason)
		}
	}
	return text(key, n)
}

// Done is the revision that was just written; 0: none was.
func (v *visit) Done() uint64 {
	n, _ := strconv.ParseUint(v.r.FormValue("done"), 10, 64)
	return n
}

// subject is a user, or a context where User is 0.
type subject struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
}

// subject is the one that the path names by ids.
func (v *visit) subject() subject {
	context, cerr := strconv.ParseUint(chi.URLParam(v.r, "context"), 10, 31)
	user, uerr := strconv.ParseUint(chi.URLParam(v.r, "user"), 10, 31)
	if cerr != nil || uerr != nil || context == 0 || user == 0 {
		v.refuse(http.StatusNotFound, "error.ids")
	}
	return subject{uint32(context), uint32(user)}
}

// String is the subject as a search takes it.
func (s subject) String() string { return fmt.Sprintf("%d@%d", s.User, s.Context) }

// Path is the page of the user.
func (s subject) Path() string { return fmt.Sprintf("/console/person/%d/%d", s.Context, s.User) }

// query asks the API for what is of the user, with more parameters in pairs.
func (s subject) query(pairs ...string) url.Values {
	q := url.Values{"context": {fmt.Sprint(s.Context)}}
	if s.User != 0 {
		q.Set("user", fmt.Sprint(s.User))
	}
	for pair := range slices.Chunk(pairs, 2) {
		q.Set(pair[0], pair[1])
	}
	return q
}

// maxAnswer bounds an answer of the API that a page is drawn from, in bytes.
const maxAnswer = 8 << 20

// problem is why the API refused.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Detail }

// refuse is where the console itself does.
func (v *visit) refuse(status int, key string, args ...any) {
	if v.err == nil {
		v.err = &problem{Status: status, Detail: plain(key, args...)}
	}
}

// problem is why the API has refused; nil: it has not.
func (v *visit) problem() (p *problem) {
	errors.As(v.err, &p)
	return p
}

// status is that of a refusal; 0: there is none.
func (v *visit) status() int {
	if p := v.problem(); p != nil {
		return p.Status
	}
	return 0
}

// refused takes back an error with which the page goes on: one of the API, other
// than that nobody is logged in.
func (v *visit) refused() (p *problem) {
	if p = v.problem(); p != nil && p.Status != http.StatusUnauthorized {
		v.err = nil
		return p
	}
	return nil
}

// answer collects what the API says.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = cmp.Or(a.status, status) }

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

// RoundTrip implements http.RoundTripper: it hands a request to the API, with the
// visitor's token. What the listener knows of the visitor is in the context.
func (v *visit) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(outside(v.r))
	req.RemoteAddr, req.Host, req.RequestURI = v.r.RemoteAddr, v.r.Host, req.URL.RequestURI()
	authorize(v.r, req.Header)
	a := &answer{header: http.Header{}}
	v.opts.API.ServeHTTP(a, req)
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(visible(a.body.Bytes()))), ContentLength: -1, Request: req,
	}, nil
}

// call asks the API on the visitor's behalf, and returns the ETag of its answer.
// in and out may be nil.
func (v *visit) call(method, path string, query url.Values, in, out any) (tag string) {
	if v.err != nil {
		return ""
	}
	v.err = func() error {
		body := []byte{}
		var err error
		if in != nil {
			if body, err = json.Marshal(in); err != nil {
				return err
			}
		}
		req, err := http.NewRequestWithContext(v.r.Context(), method, path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.URL.RawQuery = query.Encode()
		if in != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := v.RoundTrip(req)
		if err != nil {
			return err
		}
		tag = res.Header.Get("ETag")
		text, err := io.ReadAll(res.Body)
		if res.StatusCode >= http.StatusBadRequest {
			p := &problem{Status: res.StatusCode}
			if json.Unmarshal(text, p) != nil || p.Detail == "" {
				p.Detail = http.StatusText(res.StatusCode)
			}
			return p
		}
		if err == nil && out != nil && len(text) > 0 {
			err = json.Unmarshal(text, out)
		}
		if err != nil {
			return &problem{Status: http.StatusBadGateway, Detail: plain("error.answer", method, path, err)}
		}
		return nil
	}()
	return tag
}

func (v *visit) get(path string, query url.Values, out any) {
	v.call(http.MethodGet, path, query, nil, out)
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
