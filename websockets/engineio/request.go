package engineio

import (
	"net/url"
	"strconv"
)

// RequestError is why a handshake request gets no session, as the reference
// servers tell it (docs/reference/socketio.md#request-errors): status 400 with
// this as a JSON body.
type RequestError struct {
	Code    int
	Message string
}

// The errors of CheckRequest. Code 4, "Forbidden", is for what a server decides
// beyond the protocol.
var (
	ErrTransport = &RequestError{0, "Transport unknown"}
	ErrUnknownID = &RequestError{1, "Session ID unknown"}
	ErrMethod    = &RequestError{2, "Bad handshake method"}
	ErrNoUpgrade = &RequestError{3, "Bad request"}
	ErrVersion   = &RequestError{5, "Unsupported protocol version"}
)

// AppendJSON appends the body that the reference servers answer with.
func (e *RequestError) AppendJSON(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(e.Code), 10)
	return append(strconv.AppendQuote(append(dst, `,"message":`...), e.Message), '}') // no message needs an escape
}

// CheckRequest is the strict check of a handshake, in the reference servers'
// order, for a server whose only transport is websocket: upgrade says whether
// the request asks for a Web Socket. A session id always is unknown, because no
// other transport can have opened the session. A parameter that is repeated has
// no value that counts. The product's own handshake is more lenient
// (ParseVersion).
func CheckRequest(method string, upgrade bool, query url.Values) (Version, *RequestError) {
	if only(query, "transport") != "websocket" {
		return 0, ErrTransport
	}
	if len(query["sid"]) > 1 || query.Get("sid") != "" {
		return 0, ErrUnknownID
	}
	if method != "GET" {
		return 0, ErrMethod
	}
	if !upgrade {
		return 0, ErrNoUpgrade
	}
	v, ok := ParseVersionStrict(only(query, "EIO"))
	if !ok {
		return 0, ErrVersion
	}
	return v, nil
}

func only(query url.Values, name string) string {
	if values := query[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
