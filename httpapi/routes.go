package httpapi

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/auth"
)

// route is one of the admin listener.
type route struct {
	pattern string    // METHOD /path, as chi reads it
	role    auth.Role // who may use it: this role and those above; anyone: no token is wanted
	answer  func(http.ResponseWriter, *http.Request) error
}

// anyone is the role of the probes of whatever runs Sluice, which say nothing but
// whether it is up.
const anyone = auth.None

// routeMetrics wants no token where sluice.metrics.public says so.
const routeMetrics = "GET /metrics"

// routes are all of the admin listener but those below servicePaths. One that is
// not here answers nobody.
func (s *Server) routes() []route {
	list := []route{
		{"GET /livez", anyone, s.livez},
		{"GET /readyz", anyone, s.readyz},
		{routeMetrics, auth.Viewer, s.showMetrics},
		{"GET /openapi.yaml", auth.Viewer, s.contract},

		{"GET /admin/v1/config", auth.Viewer, plain(s.config)},
		{"POST /admin/v1/config/reload", auth.Editor, s.reload},
		{"POST /admin/v1/config/confirm", auth.Editor, plain(s.confirm)},
		{"GET /admin/v1/upgrade", auth.Viewer, plain(s.upgradeStatus)},
		{"POST /admin/v1/upgrade", auth.Editor, plain(s.upgrade)},
		{"GET /admin/v1/platform", auth.Viewer, plain(s.platformStatus)},
		{"POST /admin/v1/platform/refresh", auth.Editor, plain(s.refreshPlatform)},
		{"GET /admin/v1/config/lines", auth.Viewer, s.sourceLines},
		{"GET /admin/v1/config/reloads", auth.Viewer, plain(s.listReloads)},
		{"GET /admin/v1/contextsets", auth.Viewer, s.contextSets},
		{"GET /admin/v1/recent", auth.Viewer, plain(s.recently)},
		{"GET /admin/v1/support", auth.Editor, s.support},
		{"GET /admin/v1/events", auth.Viewer, s.streamEvents},
		{"GET /admin/v1/store", auth.Viewer, plain(s.storeStatus)},
		{"POST /admin/v1/store/adopt", auth.Editor, plain(s.adoptStore)},
		{"GET /admin/v1/whoami", auth.Viewer, plain(s.whoAmI)},
		{"GET /admin/v1/members", auth.Viewer, plain(s.members)},
		{"GET /admin/v1/sessions", auth.Viewer, s.listSessions},
		{"DELETE /admin/v1/sessions", auth.Editor, s.endSessions},
		{"POST /admin/v1/sessions", auth.Editor, plain(s.createSession)},
		{"GET /admin/v1/sessions/{session}", auth.Viewer, plain(s.session)},
		{"DELETE /admin/v1/sessions/{session}", auth.Editor, plain(s.deleteSession)},
		{"GET /admin/v1/sockets", auth.Viewer, s.listSockets},
		{"POST /admin/v1/sockets/probe", auth.Viewer, s.probeSockets},
		{"DELETE /admin/v1/sockets", auth.Operator, s.closeSockets},
		{"GET /admin/v1/deliveries", auth.Viewer, s.listDeliveries},
		{"POST /admin/v1/messages", auth.Operator, plain(s.sendMessages)},
		{"POST /admin/v1/notifications", auth.Operator, plain(s.sendNotification)},
		{"GET /admin/v1/mailpush", auth.Viewer, plain(s.mailPush)},
		{"POST /admin/v1/mailpush/registrations", auth.Editor, plain(s.registrations)},
		{"GET /admin/v1/contexts/{context}/users/{user}/mailpush", auth.Viewer, plain(s.registered)},
		{"GET /admin/v1/tags", auth.Viewer, s.tags},
		{"GET /admin/v1/tokens", auth.Editor, plain(s.listTokens)},
		{"POST /admin/v1/tokens", auth.Editor, plain(s.createToken)},
		{"DELETE /admin/v1/tokens/{token}", auth.Editor, plain(s.deleteToken)},
		{"GET /admin/v1/names", auth.Viewer, s.whoIs},
		{"GET /admin/v1/users", auth.Viewer, s.searchUsers},
		{"GET /admin/v1/users/sample", auth.Viewer, s.sampleOfUsers},
		{"GET /admin/v1/contexts", auth.Viewer, s.listRecords(store.KindContext)},
		{"GET /admin/v1/contexts/{context}", auth.Viewer, plain(s.getRecord)},
		{"PUT /admin/v1/contexts/{context}", auth.Editor, s.putContext},
		{"DELETE /admin/v1/contexts/{context}", auth.Editor, s.deleteRecord},
		{"GET /admin/v1/contexts/{context}/users", auth.Viewer, s.listRecords(store.KindUser)},
		{"GET /admin/v1/contexts/{context}/users/{user}", auth.Viewer, plain(s.getRecord)},
		{"PUT /admin/v1/contexts/{context}/users/{user}", auth.Editor, s.putUser},
		{"DELETE /admin/v1/contexts/{context}/users/{user}", auth.Editor, s.deleteRecord},
		{"GET /admin/v1/overrides", auth.Viewer, s.listOverrides},
		{"POST /admin/v1/overrides", auth.Editor, s.bulkOverrides},
		{"POST /admin/v1/plan", auth.Viewer, plain(s.plan)},
		{"POST /admin/v1/import", auth.Editor, s.importRecords},
		{"GET /admin/v1/export", auth.Viewer, plain(s.exportRecords)},
		{"GET /admin/v1/audit", auth.Viewer, s.audit},
		{"GET /admin/v1/audit/{revision}", auth.Viewer, plain(s.auditEntry)},
		{"POST /admin/v1/audit/{revision}/revert", auth.Editor, s.revert},
	}
	for _, subject := range []string{"", "/contexts/{context}", "/contexts/{context}/users/{user}"} {
		properties := "/admin/v1" + subject + "/properties"
		list = append(list,
			route{"GET " + properties, auth.Viewer, s.properties},
			route{"GET " + properties + "/", auth.Viewer, s.property}, // chi takes no empty parameter at the end
			route{"GET " + properties + "/{property}", auth.Viewer, s.property},
		)
		if subject == "" {
			continue
		}
		websockets := "/admin/v1" + subject + "/websockets"
		list = append(list,
			route{"PUT " + properties, auth.Editor, s.putOverride},
			route{"PUT " + properties + "/{property}", auth.Editor, s.putOverride},
			route{"DELETE " + properties, auth.Editor, s.deleteOverride},
			route{"DELETE " + properties + "/{property}", auth.Editor, s.deleteOverride},
			route{"GET " + websockets, auth.Viewer, plain(s.getEnablement)},
			route{"PUT " + websockets, auth.Editor, s.putEnablement},
			route{"DELETE " + websockets, auth.Editor, s.deleteEnablement},
		)
	}
	return list
}

// rolesOf is what the routes say of roles, by pattern.
func rolesOf(routes []route) map[string]auth.Role {
	of := make(map[string]auth.Role, len(routes))
	for _, r := range routes {
		of[r.pattern] = r.role
	}
	return of
}

// Admin is the handler of the admin API.
func (s *Server) Admin() http.Handler {
	r := chi.NewRouter()
	r.Use(s.pace, s.metrics.measure, s.admit, middleware.GetHead)
	r.NotFound(s.handle(notFound))
	r.MethodNotAllowed(s.handle(methodNotAllowed))
	for _, rt := range s.routes() {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		r.Method(method, pattern, s.handle(rt.answer))
	}
	r.Route("/preliminary", s.preliminary)
	return r
}

// servicePaths is where the existing system's peers ask, with its basic auth.
// Everything there reads.
const servicePaths = "/preliminary/"

// routeOf is the route that the router will take, as the tables have it; empty
// where there is none.
func routeOf(r *http.Request) string {
	method, path := r.Method, r.URL.RawPath
	if method == http.MethodHead {
		method = http.MethodGet // middleware.GetHead
	}
	if path == "" {
		path = r.URL.Path
	}
	pattern := chi.RouteContext(r.Context()).Routes.Find(chi.NewRouteContext(), method, path)
	if pattern == "" {
		return ""
	}
	return method + " " + pattern
}

// mayUse holds a role to a route. Where there is no route, the router says so to
// everybody who has a token; one that is not listed is as good as none.
func (s *Server) mayUse(role auth.Role, who, route string) error {
	need, listed := s.roles[route]
	switch {
	case route == "" || listed && role >= need:
		return nil
	case !listed:
		return errNotFound
	}
	return fail(http.StatusForbidden, "role", "this needs the role %s, and the token %s has %s: use another token", need, who, role)
}

func isServicePath(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, servicePaths) }

// whoAmI tells the caller its own name and role.
func (s *Server) whoAmI(w http.ResponseWriter, r *http.Request) error {
	role := auth.Editor // of the admin socket
	if peerOf(r.Context()) == nil {
		t, _, _, _ := s.presented(r)
		role = t.Role
	}
	return s.answer(w, http.StatusOK, map[string]any{"actor": Actor(r.Context()), "role": role})
}
