package websockets

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade/secret"
)

const (
	// handshakesKept is how many handshakes are remembered of those that were taken,
	// and of those that were refused: with headers of at most 16 KiB each, 3 MiB.
	handshakesKept = 100
	// maxRecordedValue bounds a value of a recorded handshake.
	maxRecordedValue = 512
	// shownParts of a path are what clients of all kinds have, as in
	// /socket.io/appsuite/: what follows may be anything.
	shownParts = 2
)

// record is a handshake as it came, with its secrets: nothing but scrub shows it.
type record struct {
	at      time.Time
	request *http.Request // of which method, URL, host, headers and peer are kept
	who     subject
	code    string // "ok", or why it was refused
	reason  string
}

// records remembers the last handshakes.
type records struct {
	mu             sync.Mutex
	taken, refused [handshakesKept]record
	takenN, refN   int
}

func (l *records) add(r *http.Request, who subject, code, reason string) {
	rec := record{
		at: time.Now(), who: who, code: code, reason: reason,
		request: &http.Request{Method: r.Method, URL: r.URL, Proto: r.Proto, Host: r.Host, Header: r.Header, RemoteAddr: r.RemoteAddr},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if code == handshakeOK {
		l.taken[l.takenN%handshakesKept] = rec
		l.takenN++
	} else {
		l.refused[l.refN%handshakesKept] = rec
		l.refN++
	}
}

// Recorded is a handshake without its secrets: of the session, of cookies, and of
// every parameter and header that is not known to hold none, there is the name.
type Recorded struct {
	Time    time.Time `json:"time"`
	Result  string    `json:"result"`           // "ok", or the code of the refusal
	Reason  string    `json:"reason,omitempty"` // the check that failed, where the code hides it
	Context uint32    `json:"context,omitempty"`
	User    uint32    `json:"user,omitempty"`
	Peer    string    `json:"peer"` // address and port of the connection
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Proto   string    `json:"proto"`
	Host    string    `json:"host"`
	Query   []string  `json:"query"`   // "name=value", in the order of the names
	Headers []string  `json:"headers"` // "Name: value", in the order of the names
}

// Handshakes are the last that were taken and the last that were refused, the oldest
// first.
func (s *Server) Handshakes() []Recorded {
	s.records.mu.Lock()
	list := slices.Concat(s.records.taken[:min(s.records.takenN, handshakesKept)], s.records.refused[:min(s.records.refN, handshakesKept)])
	s.records.mu.Unlock()
	slices.SortFunc(list, func(a, b record) int { return a.at.Compare(b.at) })
	cfg := s.opts.Config()
	out := make([]Recorded, len(list))
	for i := range list {
		out[i] = list[i].scrub(cfg)
	}
	return out
}

// openParams and openHeaders are those whose values are no secrets. What a client
// adds of its own may be one.
var (
	openParams  = []string{"EIO", "transport", "connection", "recovery", "ids", "t", "b64"}
	openHeaders = []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Length", "Forwarded", "Origin", "Pragma",
		"Sec-Websocket-Extensions", "Sec-Websocket-Version", "Upgrade", "User-Agent", "Via",
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip",
	}
)

func (r *record) scrub(cfg *Config) Recorded {
	h := r.request
	path, _, _ := strings.Cut(h.URL.EscapedPath(), ";") // behind it some put a session
	if parts := strings.SplitAfterN(path, "/", shownParts+2); len(parts) == shownParts+2 && parts[shownParts+1] != "" {
		path = strings.Join(parts[:shownParts+1], "") + secret.Mask
	}
	out := Recorded{
		Time: r.at.UTC(), Result: r.code, Reason: r.reason, Context: r.who.context, User: r.who.user,
		Peer: h.RemoteAddr, Method: h.Method, Path: shortened(path), Proto: h.Proto, Host: shortened(h.Host), Query: []string{}, Headers: []string{},
	}
	open := func(name string) bool {
		return slices.Contains(openHeaders, name) || strings.EqualFold(name, cfg.ForHeader) || strings.EqualFold(name, cfg.ProtocolHeader)
	}
	query, err := url.ParseQuery(h.URL.RawQuery)
	if err != nil {
		out.Query = append(out.Query, secret.Mask) // nobody knows where a value begins
	} else {
		for name, values := range query {
			for _, v := range values {
				if !slices.Contains(openParams, name) {
					v = secret.Mask
				}
				out.Query = append(out.Query, shortened(name)+"="+shortened(v))
			}
		}
	}
	for name, values := range h.Header {
		if name == "Cookie" {
			for _, c := range strings.Split(strings.Join(values, ";"), ";") {
				cookie, _, named := strings.Cut(strings.TrimSpace(c), "=")
				if named {
					cookie += "="
				} else {
					cookie = "" // what has no name may be a value
				}
				out.Headers = append(out.Headers, name+": "+shortened(cookie)+secret.Mask)
			}
			continue
		}
		for _, v := range values {
			if !open(name) {
				v = secret.Mask
			}
			out.Headers = append(out.Headers, shortened(name)+": "+shortened(v))
		}
	}
	slices.Sort(out.Query)
	slices.Sort(out.Headers)
	return out
}

func shortened(text string) string {
	if len(text) <= maxRecordedValue {
		return text
	}
	return strings.ToValidUTF8(text[:maxRecordedValue], "") + "..."
}
