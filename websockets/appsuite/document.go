package appsuite

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// ownVersion is the version of the documents that this package knows. Older
	// ones, which are 1 or have none, have the same members
	// (docs/reference/sessions.md#app-suite-in-redis).
	ownVersion = 2

	// maxDocument bounds a document in bytes. Real ones have about 1 KiB, and
	// with the tokens of a single sign-on up to 16.
	maxDocument = 256 << 10
	// maxText bounds the client id and the hash, which are kept as long as the
	// sockets.
	maxText = 255
	// maxSecret bounds the secret, in bytes: what a cookie may hold.
	maxSecret = 4096
)

// result is what a look-up came to: a key of Counts.Lookups.
type result string

// The results.
const (
	found       result = "found"
	unknown     result = "unknown"      // no key
	expired     result = "expired"      // not used for its lifetime
	unscored    result = "unscored"     // in neither set: nobody knows when it was used
	wrongType   result = "wrong_type"   // the key holds no string
	tooBig      result = "too_big"      // above maxDocument
	badDocument result = "bad_document" // not JSON, or a member that is missing or of another type
	badVersion  result = "bad_version"  // a version that this package does not know
	otherID     result = "other_id"     // the document is that of another session
	storeError  result = "store_error"  // Redis did not answer
)

// results are all of them, so that each has its counter from the start.
var results = []result{found, unknown, expired, unscored, wrongType, tooBig, badDocument, badVersion, otherID, storeError}

// unreadable are results that an operator must look after.
func (r result) unreadable() bool {
	return r == wrongType || r == tooBig || r == badDocument || r == badVersion || r == otherID
}

// document is a session as it was read. stays says which of the two sets it is
// in.
type document struct {
	session *websockets.Session
	stays   bool
}

// members are those of a JSON object under their exact names: encoding/json
// would take "SECRET" for "secret".
type members map[string]json.RawMessage

// parse reads the document of a session
// (docs/reference/sessions.md#app-suite-in-redis). What is not a session is
// never half of one.
func parse(id string, data []byte) (document, result) {
	if len(data) > maxDocument {
		return document{}, tooBig
	}
	var m members
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return document{}, badDocument
	}
	// Before the rest, because in another version that may mean anything.
	version, ok := read[int](m, "version", false)
	switch {
	case !ok:
		return document{}, badDocument
	case version > 1 && version != ownVersion:
		return document{}, badVersion
	}
	var all conjunction = true
	s := &websockets.Session{
		ID:      must[string](m, "sessionId", &all),
		Secret:  must[string](m, "secret", &all),
		Context: must[uint32](m, "contextId", &all),
		User:    must[uint32](m, "userId", &all),
		Client:  may[string](m, "client", &all),
		Hash:    may[string](m, "hash", &all),
		Address: address(may[string](m, "localIp", &all)),
	}
	d := document{s, may[bool](m, "staySignedIn", &all)}
	login := may[int64](m, "loginTime", &all)
	parameters := may[members](m, "parameters", &all)
	if !all || s.Context < 1 || s.Context > cascade.MaxID || s.User < 1 || s.User > cascade.MaxID || s.Secret == "" || len(s.Secret) > maxSecret || len(s.Client) > maxText || len(s.Hash) > maxText {
		return document{}, badDocument
	}
	if s.ID != id {
		return document{}, otherID
	}
	if login > 0 { // -1: unknown
		s.Created = time.UnixMilli(login)
	}
	s.Guest = isTrue(parameters["__session.guest"])
	s.Restricted = isSet(parameters["restricted"]) ||
		isSet(parameters["multifactor"]) && !isTrue(parameters["multifactorAuthenticated"])
	return d, found
}

// conjunction is false once a member was not what it must be.
type conjunction bool

func must[T any](m members, name string, all *conjunction) T {
	v, ok := read[T](m, name, true)
	*all = *all && conjunction(ok)
	return v
}

func may[T any](m members, name string, all *conjunction) T {
	v, ok := read[T](m, name, false)
	*all = *all && conjunction(ok)
	return v
}

// read returns a member, and whether it is of that type; null is none.
func read[T any](m members, name string, required bool) (value T, ok bool) {
	raw := m[name]
	if isNull(raw) {
		return value, !required
	}
	return value, json.Unmarshal(raw, &value) == nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

// isTrue takes a parameter for true only when it clearly is.
func isTrue(raw json.RawMessage) bool {
	return bytes.Equal(raw, []byte("true")) || bytes.EqualFold(raw, []byte(`"true"`))
}

// isSet takes a parameter for false only when it clearly is: a session is
// refused rather than trusted.
func isSet(raw json.RawMessage) bool {
	return !isNull(raw) && !bytes.Equal(raw, []byte("false")) && !bytes.EqualFold(raw, []byte(`"false"`)) && !bytes.Equal(raw, []byte(`""`))
}

// address is zero for a text that is none.
func address(text string) netip.Addr {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
