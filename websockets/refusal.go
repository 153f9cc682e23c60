package websockets

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// refusal is an answer of the handshake that is no 101 (docs/sockets.md).
// The texts tell the client's developer what to do, and never which of the
// checks behind one code has failed.
type refusal struct {
	status int
	code   string
	text   string
	why    string // for the log: the check that failed, where the code hides it
}

// maxRetryAfter is the most that a 503 asks a client to wait, in seconds: each
// is told another time from 1 on, so that they do not return as they came. The
// known clients follow their own back-off; this is for proxies and scripts.
const maxRetryAfter = 10

var (
	refuseNotFound   = &refusal{http.StatusNotFound, "not_found", "there is no Web Socket here: use /socket.io/ or /ws/", ""}
	refuseUpgrade    = &refusal{http.StatusUpgradeRequired, "upgrade_required", "this address serves Web Sockets only: send an upgrade request", ""}
	refuseMethod     = &refusal{http.StatusBadRequest, "bad_handshake", "a Web Socket handshake is a GET of HTTP/1.1 without a body", ""}
	refuseConnection = &refusal{http.StatusBadRequest, "bad_handshake", "the Connection header must contain Upgrade", ""}
	refuseVersion    = &refusal{http.StatusBadRequest, "bad_handshake", "the Sec-WebSocket-Version must be 13", ""}
	refuseKey        = &refusal{http.StatusBadRequest, "bad_handshake", "there must be one Sec-WebSocket-Key, of 16 bytes in Base64", ""}
	refusePath       = &refusal{http.StatusBadRequest, "bad_handshake", "the path is too long", ""}
	refuseQuery      = &refusal{http.StatusBadRequest, "bad_handshake", "the query is too long, or a parameter in it has a broken % escape", ""}
	refuseTransport  = &refusal{http.StatusBadRequest, "bad_handshake", "the only transport is websocket: set transport=websocket", ""}
	refuseSID        = &refusal{http.StatusBadRequest, "bad_handshake", "there is nothing to upgrade: connect without sid", ""}
	refuseConnID     = &refusal{http.StatusBadRequest, "bad_handshake", "the parameter connection must have 1 to 64 printable ASCII characters", ""}
	refuseParameter  = &refusal{http.StatusBadRequest, "missing_parameter", "the parameter session is missing", ""}
	refuseOrigin     = &refusal{http.StatusForbidden, "origin", "this origin may not connect: an administrator can add it to sluice.websockets.allowedOrigins", ""}
	refuseDisabled   = &refusal{http.StatusBadRequest, "disabled", "Web Sockets are switched off for this user", ""}
	refuseDuplicate  = &refusal{http.StatusBadRequest, "duplicate_connection", "another session of this user uses this connection id: choose another", ""}
	refuseTooMany    = &refusal{http.StatusBadRequest, "too_many", "this user has the maximum number of sockets: close one", ""}
	refuseOverload   = &refusal{http.StatusServiceUnavailable, "overload", "this server has the maximum number of sockets: try again", ""}
	refuseBusy       = &refusal{http.StatusServiceUnavailable, "overload", "this server has the maximum number of handshakes in progress: try again", "authenticating"}
	refuseDraining   = &refusal{http.StatusServiceUnavailable, "draining", "this server is stopping: try again", ""}
	refuseServer     = &refusal{http.StatusInternalServerError, "internal", "this server cannot upgrade connections: its log says why", ""}
	refuseStore      = &refusal{http.StatusServiceUnavailable, "store_unavailable", "sessions cannot be read at the moment: try again", ""}
	refuseUnread     = &refusal{http.StatusServiceUnavailable, "store_unavailable", "it cannot be read at the moment whether this user is served: try again", NotRead.String()}
	refuseCluster    = &refusal{http.StatusServiceUnavailable, "cluster_unavailable", "the other servers cannot be told of this socket at the moment: try again", ""}
)

// The checks behind the code "forbidden" (docs/reference/handshake.md#checks).
var (
	forbidParameter  = forbidden("session_parameter")
	forbidNoSession  = forbidden("no_session")
	forbidOtherID    = forbidden("other_session_id")
	forbidRestricted = forbidden("not_fully_authenticated")
	forbidSecret     = forbidden("secret_cookie")
	forbidAddress    = forbidden("client_address")
	forbidNoAddress  = forbidden("client_address_unknown")

	forbidContextDisabled = forbidden(ContextDisabled.String())
	forbidContextUnknown  = forbidden(ContextUnknown.String())
	forbidUserDisabled    = forbidden(UserDisabled.String())
	forbidUserUnknown     = forbidden(UserUnknown.String())
)

// forbidAccount is the refusal for an account that the gate does not serve.
func forbidAccount(why Reason) *refusal {
	switch why {
	case ContextDisabled:
		return forbidContextDisabled
	case ContextUnknown:
		return forbidContextUnknown
	case UserDisabled:
		return forbidUserDisabled
	default:
		return forbidUserUnknown
	}
}

func forbidden(why string) *refusal {
	return &refusal{http.StatusForbidden, "forbidden", "the session is not valid here: log in again", why}
}

func (f *refusal) Error() string { return f.code + ": " + f.text }

// write answers the request. hopByHop: its protocol has fields for the next hop
// only, which HTTP/2 forbids (RFC 9113, 8.2.2).
func (f *refusal) write(w http.ResponseWriter, hopByHop bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case f.status == http.StatusUpgradeRequired && hopByHop:
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	case f == refuseMethod && hopByHop:
		// Otherwise the answer would wait for the body that nobody wants.
		h.Set("Connection", "close")
	case f == refuseVersion:
		h.Set("Sec-WebSocket-Version", "13")
	case f.status == http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(1+rand.IntN(maxRetryAfter)))
	}
	w.WriteHeader(f.status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{f.code, f.text})
}
