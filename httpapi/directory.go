package httpapi

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/store"
)

// listedContext and listedUser are what the API shows of the directory.
type (
	listedContext struct {
		ID       uint32   `json:"id"`
		Name     string   `json:"name"`
		Logins   []string `json:"logins"`
		Enabled  bool     `json:"enabled"`
		Deleted  bool     `json:"deleted,omitempty"`
		Tags     []string `json:"tags"`
		Revision uint64   `json:"revision"`
	}
	listedUser struct {
		Context     uint32   `json:"context"`
		ID          uint32   `json:"id"`
		Enabled     bool     `json:"enabled"`
		Deleted     bool     `json:"deleted,omitempty"`
		Permissions []string `json:"permissions"`
		Login       string   `json:"login"`
		Mail        []string `json:"mail"`
		DisplayName string   `json:"displayName"`
		Revision    uint64   `json:"revision"`
	}
)

func showContext(k store.Key, st *store.State) listedContext {
	l := listedContext{ID: k.Context, Deleted: st.Deleted, Logins: []string{}, Tags: []string{}, Revision: st.Revision}
	if c, ok := st.Body.(*store.Context); ok {
		l.Name, l.Logins, l.Enabled, l.Tags = c.Name, some(c.Logins), c.Enabled, some(c.Tags)
	}
	return l
}

func showUser(k store.Key, st *store.State) listedUser {
	l := listedUser{Context: k.Context, ID: k.User, Deleted: st.Deleted, Permissions: []string{}, Mail: []string{}, Revision: st.Revision}
	if u, ok := st.Body.(*store.User); ok {
		l.Enabled, l.Permissions = u.Enabled, some(u.Permissions)
		l.Login, l.Mail, l.DisplayName = u.Login, some(u.Mails), u.DisplayName
	}
	return l
}

// some is never null in JSON.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// directoryKey is the record that a path names.
func (s *Server) directoryKey(r *http.Request) (store.Key, error) {
	su, err := s.pathSubject(r)
	if err != nil || su.User == 0 {
		return store.ContextKey(su.Context), err
	}
	return store.UserKey(su.Context, su.User), nil
}

func showRecord(k store.Key, st *store.State) any {
	if k.Kind == store.KindUser {
		return showUser(k, st)
	}
	return showContext(k, st)
}

func (s *Server) getRecord(w http.ResponseWriter, r *http.Request) error {
	k, err := s.directoryKey(r)
	if err != nil {
		return err
	}
	if err := s.inStore(); err != nil {
		return err
	}
	rec, err := s.Store.Get(k)
	if err != nil {
		return s.readProblem(err)
	}
	switch {
	case rec == nil:
		return fail(http.StatusNotFound, "not_found", "the directory does not know %s: what it does not know is open, unless sluice.directory.strict is true", k)
	case rec.Deleted:
		return fail(http.StatusNotFound, "deleted", "%s was deleted with revision %d: GET /admin/v1/audit/%d has who and why", k, rec.Revision, rec.Revision)
	}
	setETag(w, rec.Revision)
	return s.answer(w, http.StatusOK, showRecord(k, &rec.State))
}

// inStore refuses to list a store that is not what counts.
func (s *Server) inStore() error {
	if s.Fixed {
		return fail(http.StatusConflict, "directory_file", "the directory is read from a file (--directory): look there")
	}
	return nil
}

// contextBody and userBody are what writes and imports say of one.
type (
	contextBody struct {
		Name    string   `json:"name"`
		Logins  []string `json:"logins"`
		Enabled *bool    `json:"enabled"`
		Tags    []string `json:"tags"`
	}
	userBody struct {
		Enabled     *bool    `json:"enabled"`
		Permissions []string `json:"permissions"`
		Login       string   `json:"login"`
		Mail        []string `json:"mail"`
		DisplayName string   `json:"displayName"`
	}
)

// record checks a context. Names, tags and permissions are shown in lines, and
// stand in comma lists.
func (c *contextBody) record() (*store.Context, error) {
	if err := checkNames(&people.Names{Name: c.Name, Logins: c.Logins}); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(c.Tags, badWord); i >= 0 {
		return nil, fail(http.StatusUnprocessableEntity, "bad_tag", "the tag %.100q is empty, or has a comma, a control character, or white space around it: correct it", c.Tags[i])
	}
	return &store.Context{Name: c.Name, Logins: c.Logins, Enabled: c.Enabled == nil || *c.Enabled, Tags: some(c.Tags)}, nil
}

// record checks a user.
func (u *userBody) record() (*store.User, error) {
	if err := checkNames(&people.Names{Login: u.Login, Mails: u.Mail, Name: u.DisplayName}); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(u.Permissions, badWord); i >= 0 {
		return nil, fail(http.StatusUnprocessableEntity, "bad_permission", "the permission %.100q is empty, or has a comma, a control character, or white space around it: correct it", u.Permissions[i])
	}
	return &store.User{
		Enabled: u.Enabled == nil || *u.Enabled, Permissions: some(u.Permissions),
		Login: u.Login, Mails: u.Mail, DisplayName: u.DisplayName,
	}, nil
}

func checkNames(n *people.Names) error {
	if strings.ContainsFunc(n.Name, unicode.IsControl) {
		return fail(http.StatusUnprocessableEntity, "bad_name", "the name %.100q has control characters: correct it", n.Name)
	}
	if err := n.Check(); err != nil {
		return fail(http.StatusUnprocessableEntity, "bad_name", "%s: correct it", err)
	}
	return nil
}

func badWord(word string) bool {
	return word == "" || strings.TrimSpace(word) != word || strings.ContainsFunc(word, func(r rune) bool { return r == ',' || unicode.IsControl(r) })
}

func (s *Server) putContext(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		contextBody
		Reason string `json:"reason"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	c, err := in.record()
	if err != nil {
		return err
	}
	return s.putRecord(w, r, c, in.Reason, "context.put")
}

func (s *Server) putUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		userBody
		Reason string `json:"reason"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	su, err := s.pathSubject(r)
	if err != nil {
		return err
	}
	if s.Engine.Snapshot().Account(cascade.Subject{Context: su.Context}) == cascade.ContextDeleted {
		return fail(http.StatusConflict, "deleted", "context %d is deleted: create it again first", su.Context)
	}
	u, err := in.record()
	if err != nil {
		return err
	}
	return s.putRecord(w, r, u, in.Reason, "user.put")
}

func (s *Server) putRecord(w http.ResponseWriter, r *http.Request, body any, reason, action string) error {
	k, err := s.directoryKey(r)
	if err != nil {
		return err
	}
	_, flags, err := writeFlags(r, "dryRun")
	if err != nil {
		return err
	}
	cond, err := condition(r)
	if err != nil {
		return err
	}
	return s.changeOne(w, r, store.Write{
		Reason: strings.TrimSpace(reason), Action: action, DryRun: flags["dryRun"],
		Changes: []store.Change{{Key: k, Body: body, If: cond}},
	}, func(_ *cascade.Snapshot, after *store.State) any { return showRecord(k, after) })
}

// removed is the answer of a deletion.
type removed struct {
	Revision  uint64 `json:"revision"` // of the deletion; of a dry run the present one
	DryRun    bool   `json:"dryRun"`
	Users     int    `json:"users"` // that went along
	Overrides int    `json:"overrides"`
}

func (s *Server) deleteRecord(w http.ResponseWriter, r *http.Request) error {
	k, err := s.directoryKey(r)
	if err != nil {
		return err
	}
	query, flags, err := writeFlags(r, "reason", "dryRun")
	if err != nil {
		return err
	}
	cond, err := condition(r)
	if err != nil {
		return err
	}
	e, err := s.writeStore(r, store.Write{
		Reason: query.Get("reason"), Action: string(k.Kind) + ".delete", DryRun: flags["dryRun"],
		Changes: []store.Change{{Key: k, If: cond}},
	})
	if err != nil {
		return err
	}
	out := removed{Revision: e.Revision, DryRun: flags["dryRun"]}
	if out.DryRun {
		out.Revision--
	}
	for _, c := range e.Changes[1:] {
		if c.Kind == store.KindUser {
			out.Users++
		} else {
			out.Overrides++
		}
	}
	return s.answer(w, http.StatusOK, out)
}

// listPage is what is asked of a list.
type listPage struct {
	limit   int
	after   *store.Key // the last of the page before
	deleted bool
	search  string
}

// pageOf reads what is asked of a list of a kind, of a context or of all.
func pageOf(r *http.Request, kind store.Kind, of cascade.Subject) (p listPage, err error) {
	query, err := knownQuery(r, "search", "deleted", "limit", "cursor")
	if err != nil {
		return p, err
	}
	p.search = people.Fold(strings.TrimSpace(query.Get("search")))
	switch text := query.Get("deleted"); {
	case text == "true" || text == "" && query.Has("deleted"):
		p.deleted = true
	case text != "" && text != "false":
		return p, fail(http.StatusBadRequest, "bad_query", "deleted is true or false")
	}
	if p.limit, err = limitOf(query); err != nil {
		return p, err
	}
	text := query.Get("cursor")
	if text == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		var k store.Key
		if k, err = store.ParseCursor(kind, b); err == nil && (of.Context == 0 || k.Context == of.Context) {
			p.after = &k
			return p, nil
		}
	}
	return p, fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server: use the next of an answer, or leave it out")
}

func cursorOf(k store.Key) string { return base64.RawURLEncoding.EncodeToString(k.Cursor()) }

// listRecords answers a page of contexts, or of the users of one.
func (s *Server) listRecords(kind store.Kind) func(http.ResponseWriter, *http.Request) error {
	name := string(kind) + "s"
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.inStore(); err != nil {
			return err
		}
		su, err := s.pathSubject(r)
		if err != nil {
			return err
		}
		p, err := pageOf(r, kind, su)
		if err != nil {
			return err
		}
		search := p.search
		keep := func(rec *store.Record) bool {
			if rec.Deleted != p.deleted {
				return false
			}
			switch body := rec.Body.(type) {
			case *store.Context:
				return search == "" || strconv.FormatUint(uint64(rec.Context), 10) == search ||
					strings.Contains(people.Fold(strings.Join(slices.Concat([]string{body.Name}, body.Logins, body.Tags), "\n")), search)
			case *store.User:
				n := people.Names{Login: body.Login, Mails: body.Mails, Name: body.DisplayName}
				return search == "" || strconv.FormatUint(uint64(rec.User), 10) == search || n.Match(search)
			}
			return search == "" || strconv.FormatUint(uint64(max(rec.User, rec.Context)), 10) == search
		}
		list, more, err := s.Store.List(kind, su, false, p.after, p.limit, keep)
		if err != nil {
			return s.readProblem(err)
		}
		out, next := []any{}, ""
		for _, rec := range list {
			out = append(out, showRecord(rec.Key, &rec.State))
		}
		if more {
			next = cursorOf(list[len(list)-1].Key)
		}
		return s.answer(w, http.StatusOK, map[string]any{name: out, "next": next})
	}
}
