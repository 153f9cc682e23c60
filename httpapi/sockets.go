package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// listedSocket is what an administrator sees of a socket.
type listedSocket struct {
	ID          string     `json:"id"`
	Member      string     `json:"member"`
	Context     int32      `json:"context"`
	User        int32      `json:"user"`
	Connection  string     `json:"connection"`
	Path        string     `json:"path"`
	Client      string     `json:"client"`
	Protocol    string     `json:"protocol"`
	Address     netip.Addr `json:"address"`
	Since       time.Time  `json:"since"`
	Queued      int        `json:"queued"`
	QueuedBytes int        `json:"queuedBytes"`
}

// listSockets answers a page of the sockets that the query names.
func (s *Server) listSockets(w http.ResponseWriter, r *http.Request) error {
	query, sel, err := socketQuery(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	if !websockets.ValidNext(query.Get("cursor")) {
		return fail(http.StatusBadRequest, "bad_query", "the cursor is not one of this server: use the next of an answer, or leave it out")
	}
	infos, next := s.Sockets.List(sel, query.Get("cursor"), limit)
	page := struct {
		Sockets []listedSocket `json:"sockets"`
		Next    string         `json:"next"`
	}{[]listedSocket{}, next}
	for _, i := range infos {
		page.Sockets = append(page.Sockets, listedSocket{
			i.ID, s.Member, i.Context, i.User, i.Connection, i.Path, i.Client, i.Protocol,
			i.Address, i.Since.UTC(), i.Queued, i.QueuedBytes,
		})
	}
	return s.answer(w, http.StatusOK, page)
}

// closeSockets closes the sockets that the query names, for good: their
// clients do not come back by themselves.
func (s *Server) closeSockets(w http.ResponseWriter, r *http.Request) error {
	query, sel, err := socketQuery(r, "all")
	if err != nil {
		return err
	}
	switch all := query.Get("all"); {
	case all != "" && all != "true":
		return fail(http.StatusBadRequest, "bad_query", "all is true, or left out")
	case all == "true" && sel.Context != 0:
		return fail(http.StatusBadRequest, "bad_query", "all is everybody: leave out context and user")
	case all == "" && sel.Context == 0:
		return fail(http.StatusBadRequest, "bad_query", "name a context with ?context=, or say ?all=true to close the sockets of everybody")
	}
	closed := s.Sockets.CloseSockets(sel, websockets.CauseAdmin)
	s.Logger.Info("sockets closed by an administrator", "context", sel.Context, "user", sel.User, "closed", closed)
	return s.answer(w, http.StatusOK, map[string]int{"closed": closed})
}

// socketQuery reads which sockets a request is about; more are the parameters
// that it may have beside.
func socketQuery(r *http.Request, more ...string) (query url.Values, sel websockets.Selector, err error) {
	if query, err = parseQuery(r); err != nil {
		return nil, sel, err
	}
	known := append([]string{"context", "user", "connection", "path"}, more...)
	for key, values := range query {
		switch {
		case !slices.Contains(known, key):
			return nil, sel, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (%s)", key, strings.Join(known, ", "))
		case len(values) > 1:
			return nil, sel, fail(http.StatusBadRequest, "bad_query", "the parameter %s stands twice", key)
		}
	}
	for key, into := range map[string]*int32{"context": &sel.Context, "user": &sel.User} {
		if !query.Has(key) {
			continue
		}
		id, err := cascade.ParseID(query.Get(key))
		if err != nil {
			return nil, sel, fail(http.StatusBadRequest, "bad_id", "%s: %s", key, err)
		}
		*into = int32(id)
	}
	if sel.User != 0 && sel.Context == 0 {
		return nil, sel, fail(http.StatusBadRequest, "bad_id", "a user belongs to a context: name it with ?context=")
	}
	// An empty one, of a script whose variable is not set, would name all.
	if sel.Connection = query.Get("connection"); query.Has("connection") && sel.Connection == "" {
		return nil, sel, fail(http.StatusBadRequest, "bad_query", "connection is empty: name one, or leave it out")
	}
	if query.Has("path") {
		sel.PathFilter = query.Get("path")
		if err := websockets.ValidatePathFilter(sel.PathFilter); err != nil {
			return nil, sel, fail(http.StatusBadRequest, "bad_path_filter", "%s", err)
		}
	}
	return query, sel, nil
}

// limitOf is the length of a page.
func limitOf(query url.Values) (int, error) {
	if !query.Has("limit") {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fail(http.StatusBadRequest, "bad_query", "limit is 1 to %d", maxLimit)
	}
	return limit, nil
}
