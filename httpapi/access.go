package httpapi

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// roles are who may use a route of the admin listener: one that is neither here
// nor in anyone answers nobody.
var roles = map[string]Role{
	routeMetrics:                                                             Viewer,
	"GET /openapi.yaml":                                                      Viewer,
	"GET /admin/v1/config":                                                   Viewer,
	"POST /admin/v1/config/reload":                                           Editor,
	"POST /admin/v1/config/confirm":                                          Editor,
	"GET /admin/v1/config/lines":                                             Viewer,
	"GET /admin/v1/config/reloads":                                           Viewer,
	"GET /admin/v1/contextsets":                                              Viewer,
	"GET /admin/v1/recent":                                                   Viewer,
	"GET /admin/v1/whoami":                                                   Viewer,
	"GET /admin/v1/platform":                                                 Viewer,
	"POST /admin/v1/platform/refresh":                                        Editor,
	"GET /admin/v1/members":                                                  Viewer,
	"GET /admin/v1/sessions":                                                 Viewer,
	"DELETE /admin/v1/sessions":                                              Editor,
	"POST /admin/v1/sessions":                                                Editor,
	"GET /admin/v1/sessions/{session}":                                       Viewer,
	"DELETE /admin/v1/sessions/{session}":                                    Editor,
	"GET /admin/v1/sockets":                                                  Viewer,
	"POST /admin/v1/sockets/probe":                                           Viewer,
	"DELETE /admin/v1/sockets":                                               Operator,
	"GET /admin/v1/deliveries":                                               Viewer,
	"POST /admin/v1/messages":                                                Operator,
	"POST /admin/v1/notifications":                                           Operator,
	"POST /admin/v1/mailpush/registrations":                                  Editor,
	"GET /admin/v1/contexts/{context}/users/{user}/mailpush":                 Viewer,
	"GET /admin/v1/mailpush":                                                 Viewer,
	"GET /admin/v1/tags":                                                     Viewer,
	"GET /admin/v1/properties":                                               Viewer,
	"GET /admin/v1/properties/":                                              Viewer,
	"GET /admin/v1/properties/{property}":                                    Viewer,
	"GET /admin/v1/contexts/{context}/properties":                            Viewer,
	"GET /admin/v1/contexts/{context}/properties/":                           Viewer,
	"GET /admin/v1/contexts/{context}/properties/{property}":                 Viewer,
	"GET /admin/v1/contexts/{context}/users/{user}/properties":               Viewer,
	"GET /admin/v1/contexts/{context}/users/{user}/properties/":              Viewer,
	"GET /admin/v1/contexts/{context}/users/{user}/properties/{property}":    Viewer,
	"GET /admin/v1/events":                                                   Viewer,
	"GET /admin/v1/store":                                                    Viewer,
	"POST /admin/v1/store/adopt":                                             Editor,
	"PUT /admin/v1/contexts/{context}/properties":                            Editor,
	"DELETE /admin/v1/contexts/{context}/properties":                         Editor,
	"PUT /admin/v1/contexts/{context}/properties/{property}":                 Editor,
	"DELETE /admin/v1/contexts/{context}/properties/{property}":              Editor,
	"PUT /admin/v1/contexts/{context}/users/{user}/properties":               Editor,
	"DELETE /admin/v1/contexts/{context}/users/{user}/properties":            Editor,
	"PUT /admin/v1/contexts/{context}/users/{user}/properties/{property}":    Editor,
	"DELETE /admin/v1/contexts/{context}/users/{user}/properties/{property}": Editor,
	"GET /admin/v1/contexts/{context}/websockets":                            Viewer,
	"PUT /admin/v1/contexts/{context}/websockets":                            Editor,
	"DELETE /admin/v1/contexts/{context}/websockets":                         Editor,
	"GET /admin/v1/contexts/{context}/users/{user}/websockets":               Viewer,
	"PUT /admin/v1/contexts/{context}/users/{user}/websockets":               Editor,
	"DELETE /admin/v1/contexts/{context}/users/{user}/websockets":            Editor,
	"GET /admin/v1/names":                                                    Viewer,
	"GET /admin/v1/users":                                                    Viewer,
	"GET /admin/v1/users/sample":                                             Viewer,
	"GET /admin/v1/contexts":                                                 Viewer,
	"GET /admin/v1/contexts/{context}":                                       Viewer,
	"PUT /admin/v1/contexts/{context}":                                       Editor,
	"DELETE /admin/v1/contexts/{context}":                                    Editor,
	"GET /admin/v1/contexts/{context}/users":                                 Viewer,
	"GET /admin/v1/contexts/{context}/users/{user}":                          Viewer,
	"PUT /admin/v1/contexts/{context}/users/{user}":                          Editor,
	"DELETE /admin/v1/contexts/{context}/users/{user}":                       Editor,
	"GET /admin/v1/overrides":                                                Viewer,
	"POST /admin/v1/overrides":                                               Editor,
	"POST /admin/v1/plan":                                                    Viewer,
	"POST /admin/v1/import":                                                  Editor,
	"GET /admin/v1/export":                                                   Viewer,
	"GET /admin/v1/audit":                                                    Viewer,
	"GET /admin/v1/audit/{revision}":                                         Viewer,
	"POST /admin/v1/audit/{revision}/revert":                                 Editor,
	"GET /admin/v1/tokens":                                                   Editor,
	"POST /admin/v1/tokens":                                                  Editor,
	"DELETE /admin/v1/tokens/{token}":                                        Editor,
}

// routeMetrics wants no token where sluice.metrics.public says so.
const routeMetrics = "GET /metrics"

// anyone are the routes that want no token: the probes of whatever runs Sluice,
// which say nothing but whether it is up.
var anyone = map[string]bool{"GET /livez": true, "GET /readyz": true}

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
func mayUse(role Role, who, route string) error {
	need, listed := roles[route]
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
	role := Editor // of the admin socket
	if peerOf(r.Context()) == nil {
		t, _, _, _ := s.presented(r)
		role = t.Role
	}
	return s.answer(w, http.StatusOK, map[string]any{"actor": Actor(r.Context()), "role": role})
}
