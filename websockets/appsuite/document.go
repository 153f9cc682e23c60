package appsuite

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/seed47708276/sluice/websockets"
)

// documentVersion is that of the documents that this package reads (spec 10.4).
const documentVersion = 2

// maxDocument bounds a document. Those of the existing system have some 2 KiB,
// of which tokens of an identity provider are most.
const maxDocument = 256 << 10

// errDocument is why a document is no session. It does not repeat the contents.
var errDocument = errors.New("unreadable session document")

// document is what is read of a session (spec 10.4): the rest, which has the
// user's password, is left where it is.
type document struct {
	SessionID  string                     `json:"sessionId"`
	Context    int32                      `json:"contextId"`
	User       int32                      `json:"userId"`
	Version    int64                      `json:"version"`
	Secret     string                     `json:"secret"`
	LocalIP    string                     `json:"localIp"`
	Hash       string                     `json:"hash"`
	Client     string                     `json:"client"`
	LoginTime  int64                      `json:"loginTime"` // Unix milliseconds; -1 unknown
	Parameters map[string]json.RawMessage `json:"parameters"`
}

// parse reads the document of a session id.
func parse(text, id string) (*websockets.Session, error) {
	var d document
	switch {
	case len(text) > maxDocument:
		return nil, errDocument
	case json.Unmarshal([]byte(text), &d) != nil:
		return nil, errDocument
	case d.Version > 1 && d.Version != documentVersion:
		return nil, errDocument
	case d.SessionID != id, d.Context < 1, d.User < 1, d.Secret == "":
		return nil, errDocument
	}
	s := &websockets.Session{
		ID: id, Secret: strings.Clone(d.Secret), Context: d.Context, User: d.User,
		Client: d.Client, Hash: d.Hash, Guest: isTrue(d.Parameters["__session.guest"]),
		Restricted: restricted(d.Parameters),
	}
	if a, err := netip.ParseAddr(d.LocalIP); err == nil {
		s.Address = a.Unmap().WithZone("")
	}
	if d.LoginTime > 0 {
		s.Created = time.UnixMilli(d.LoginTime)
	}
	return s, nil
}

// restricted reports whether a session is not fully authenticated: it waits for
// its second factor, or may do some things only (design, "Sockets").
func restricted(parameters map[string]json.RawMessage) bool {
	if isTrue(parameters["multifactor"]) && !isTrue(parameters["multifactorAuthenticated"]) {
		return true
	}
	switch v := string(parameters["restricted"]); v {
	case "", "null", "false", `""`, `"false"`:
		return false
	default:
		return true
	}
}

// isTrue takes a boolean, and the text that it may have become on its way.
func isTrue(v json.RawMessage) bool {
	return string(v) == "true" || string(v) == `"true"`
}
