package httpapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/doveadm"
	"github.com/seed47708276/sluice/httpapi/mailpush"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
)

// notifyPath is where Dovecot's ox driver tells of new mails, below any prefix.
const notifyPath = "/preliminary/http-notify/v1/notify"

// Bounds of notifications. What is beyond the second is an overload.
const (
	maxNotification = 8 << 20  // bytes; the driver sends the whole subject
	maxNotifying    = 64 << 20 // bytes of all bodies that are read at once
	minNotification = 32 << 10 // bytes that each counts at least
	notifyTimeout   = 10 * time.Second
	maxUnknownUsers = 32 // that are remembered, each of at most maxUnknownName bytes
	maxUnknownName  = 320
	warnEvery       = time.Minute
)

// What has become of a request with a notification, beside the results of
// accept; the values of a label.
const (
	notifyIgnored     = "ignored" // an event that is no new mail
	notifyBad         = "bad"
	notifyUnknownUser = "unknown_user"
	notifyAddress     = "address"
	notifyRefused     = "unauthorized"
	notifyOverload    = "overload"
	notifyTooLarge    = "too_large"
	notifySignature   = "signature"
	notifyReplay      = "replay"
)

var notifyResults = []string{
	pushAccepted, pushCoalesced, pushDuplicate, pushDisabled,
	notifyIgnored, notifyBad, notifyUnknownUser, notifyAddress, notifyRefused, notifyOverload, notifyTooLarge, notifySignature, notifyReplay,
}

// unknownUser is a name of no user that a notification was for.
type unknownUser struct {
	User  string    `json:"user"`
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
}

// notifyState is what is kept between notifications.
type notifyState struct {
	reading atomic.Int64 // bytes of bodies

	mu      sync.Mutex
	results map[string]int64
	unknown []unknownUser // the latest last
	warned  map[string]time.Time
	allowed []websockets.AddrRange
	text    string // of the list that allowed was read from
}

func (n *notifyState) count(result string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.results == nil {
		n.results = map[string]int64{}
	}
	n.results[result]++
}

// due reports whether a kind of warning was not logged for a minute. The kinds
// are constants.
func (n *notifyState) due(kind string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if at, ok := n.warned[kind]; ok && now.Sub(at) < warnEvery {
		return false
	}
	if n.warned == nil {
		n.warned = map[string]time.Time{}
	}
	n.warned[kind] = now
	return true
}

func (n *notifyState) addUnknown(user string) {
	user = mailpush.Cut(user, maxUnknownName)
	n.mu.Lock()
	defer n.mu.Unlock()
	u := unknownUser{User: user}
	if i := slices.IndexFunc(n.unknown, func(u unknownUser) bool { return u.User == user }); i >= 0 {
		u = n.unknown[i]
		n.unknown = slices.Delete(n.unknown, i, i+1)
	} else if len(n.unknown) == maxUnknownUsers {
		n.unknown = slices.Delete(n.unknown, 0, 1)
	}
	u.Count++
	u.Last = time.Now().UTC()
	n.unknown = append(n.unknown, u)
}

// ranges are the allowed addresses. A list that cannot be read changes nothing.
func (p *pushes) ranges() []websockets.AddrRange {
	text := cascade.ServerValue[string](p.server.Engine.Snapshot(), PropNotifyAddresses)
	n := &p.notify
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text == text {
		return n.allowed
	}
	list, err := websockets.ParseRanges(text)
	if err != nil {
		p.server.Logger.Error("the addresses stay as they were: correct the list", "property", PropNotifyAddresses, "err", err)
		if n.text == "" { // there are none before the first
			list, err = websockets.ParseRanges(privateRanges)
		}
	}
	if n.text = text; err == nil {
		n.allowed = list
	}
	return n.allowed
}

// mayNotify holds the peer, and whomever a proxy names, to the allowed addresses.
func (p *pushes) mayNotify(r *http.Request) bool {
	ranges := p.ranges()
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !websockets.InRanges(ranges, peer.Addr()) {
		return false
	}
	names := []string{"X-Forwarded-For", "X-Real-Ip"}
	if own := p.server.Config().ForHeader; own != "" {
		names = append(names, own)
	}
	for _, name := range names {
		values := r.Header.Values(name)
		if len(values) == 0 {
			continue
		}
		// Each of them: no mail server is behind a proxy of somebody else.
		list, ok := websockets.ForwardedAddrs(values)
		if !ok || slices.ContainsFunc(list, func(a netip.Addr) bool { return !websockets.InRanges(ranges, a) }) {
			return false
		}
	}
	for _, value := range forwardedFor(r.Header.Values("Forwarded")) {
		list, ok := websockets.ForwardedAddrs([]string{value})
		if !ok || !websockets.InRanges(ranges, list[0]) {
			return false
		}
	}
	return true
}

// forwardedFor are the nodes that a Forwarded header (RFC 7239) speaks for.
func forwardedFor(values []string) (list []string) {
	for element := range strings.FieldsFuncSeq(strings.Join(values, ","), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(element), "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			list = append(list, value)
		}
	}
	return list
}

// overloaded is the only answer after which Dovecot sends a notification again:
// once, a second after the Date of the answer, which net/http sets.
func (p *pushes) overloaded(w http.ResponseWriter, why string) error {
	p.notify.count(notifyOverload)
	p.warn(notifyOverload, "notifications are refused: "+why)
	w.Header().Set("Retry-After", "1")
	return fail(http.StatusServiceUnavailable, "overload", "%s", why)
}

// reject counts and logs a notification that cannot be used.
func (p *pushes) reject(result string, status int, code, detail string) error {
	p.notify.count(result)
	p.warn(result, "a notification cannot be used", "detail", detail)
	return newProblem(status, code, detail)
}

// notified is the answer of the existing system.
var notified = map[string]bool{"success": true}

// notify takes a notification of Dovecot's ox driver. The delivery of the mail, to
// all its recipients, waits for the answer: nothing here waits.
func (s *Server) notify(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		return fail(http.StatusMethodNotAllowed, "method_not_allowed", "Dovecot notifies with PUT")
	}
	p := s.pushes
	body, err := p.readNotification(w, r, s.notifier)
	if err != nil {
		return err
	}
	n, err := mailpush.Parse(body)
	switch {
	case err != nil:
		return p.reject(notifyBad, http.StatusBadRequest, "bad_notification", err.Error())
	case n.Event != mailpush.NewMail:
		p.notify.count(notifyIgnored)
		return s.answer(w, http.StatusOK, notified)
	}
	su, err := s.notifiedUser(n.User)
	if err != nil {
		p.notify.addUnknown(n.User)
		return p.reject(notifyUnknownUser, http.StatusBadRequest, "unknown_user", asProblem(err).Detail)
	}
	m, err := p.mail(n, su)
	if err != nil {
		return err
	}
	result, err := p.accept(m, priorityHigh)
	if err != nil {
		return p.overloaded(w, err.Error())
	}
	p.notify.count(result)
	return s.answer(w, http.StatusOK, notified)
}

// readNotification checks who sends, with may, and reads what.
func (p *pushes) readNotification(w http.ResponseWriter, r *http.Request, may func(http.ResponseWriter, *http.Request) error) ([]byte, error) {
	if !p.mayNotify(r) {
		w.Header().Set("Connection", "close")
		return nil, p.reject(notifyAddress, http.StatusForbidden, "address", "the address "+clientNetwork(r).Addr().String()+", or the one it speaks for, may not notify: "+PropNotifyAddresses+" has those that may")
	}
	if err := may(w, r); err != nil {
		p.notify.count(notifyRefused)
		w.Header().Set("Connection", "close") // what is left of the body is not read
		return nil, err
	}
	if p.server.state.Load() != ready {
		return nil, p.overloaded(w, "this member starts or stops")
	}
	size := r.ContentLength
	if size < 0 {
		size = maxNotification
	}
	size = max(size, minNotification)
	if size <= maxNotification {
		defer p.notify.reading.Add(-size)
		if p.notify.reading.Add(size) > maxNotifying {
			w.Header().Set("Connection", "close")
			return nil, p.overloaded(w, "too many notifications come at once")
		}
	}
	body, err := readUpTo(w, r, maxNotification, notifyTimeout)
	switch {
	case err == nil:
	case asProblem(err).Status == http.StatusRequestEntityTooLarge:
		p.notify.count(notifyTooLarge)
		p.warn(notifyTooLarge, "a notification cannot be used", "detail", asProblem(err).Detail)
	default: // it breaks off, or comes too slowly
		p.notify.count(notifyBad)
		p.warn("unread", "a notification cannot be read", "detail", asProblem(err).Detail)
	}
	return body, err
}

// notifier checks the password. An address that has sent too many wrong ones is
// answered as for another: Dovecot has no use for 429.
func (s *Server) notifier(w http.ResponseWriter, r *http.Request) error {
	_, err := s.serviceAccount(w, r)
	if err == nil || asProblem(err).Status != http.StatusTooManyRequests {
		return err
	}
	w.Header().Del("Retry-After")
	w.Header().Set("WWW-Authenticate", basicRealm)
	return fail(http.StatusUnauthorized, "unauthorized", "%s", asProblem(err).Detail)
}

// notifiedUser is whom a notification is for: USER@CONTEXT in ids, as the
// metadata of the existing system has it, or a login or mail address that one user
// has.
func (s *Server) notifiedUser(user string) (cascade.Subject, error) {
	if u, c, ok := strings.Cut(user, "@"); ok {
		uid, uerr := cascade.ParseID(u)
		cid, cerr := cascade.ParseID(c)
		if uerr == nil && cerr == nil && uid != 0 && cid != 0 {
			return cascade.Subject{Context: cid, User: uid}, nil
		}
	}
	if strings.TrimSpace(user) == "" {
		return cascade.Subject{}, fail(http.StatusBadRequest, "bad_id", "the notification names no user: register the user again")
	}
	return s.named(user, true, 0)
}

// mail is the message about a new mail.
func (p *pushes) mail(n *mailpush.Notification, su cascade.Subject) (remote.Message, error) {
	args, err := encodeArgs(n.Data())
	if err != nil {
		return remote.Message{}, err
	}
	m := remote.Message{
		Context: su.Context, User: su.User, Target: shared.Target{PathFilter: mailpush.PathFilter},
		Name: mailpush.Topic, Args: args, Label: shared.Label{Conflate: mailpush.Cut(n.Folder, websockets.MaxConflateBytes)},
	}
	if key, ok := n.Key(); ok {
		sum := sha256.Sum256([]byte(key))
		m.IDs = []string{mailIDs + base64.RawURLEncoding.EncodeToString(sum[:])}
	} else {
		m.Apart = p.apart.Add(1) // nobody knows whether it is another mail
	}
	return m, nil
}

// encodeArgs is a value as the one argument of an event.
func encodeArgs(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode([]any{v}); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// pushStatus is what GET /admin/v1/mailpush answers: of this member, since its
// start.
type pushStatus struct {
	Requests  map[string]int64 `json:"requests"` // by result
	Waiting   int              `json:"waiting"`
	Delivered int64            `json:"delivered"`
	Carried   int64            `json:"carried"`
	NoSocket  int64            `json:"noSocket"`
	// Endpoints are those of Dovecot's HTTP API.
	Endpoints    []doveadm.Endpoint `json:"endpoints"`
	UnknownUsers []unknownUser      `json:"unknownUsers"` // the latest first
}

func (p *pushes) status() pushStatus {
	st := pushStatus{
		Requests: map[string]int64{}, UnknownUsers: []unknownUser{}, Endpoints: p.server.registrar.endpoints(),
		Delivered: p.counts.delivered.Load(), Carried: p.counts.carried.Load(), NoSocket: p.counts.noSocket.Load(),
	}
	for _, b := range p.buffers {
		st.Waiting += b.Counts().Buffered
	}
	n := &p.notify
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, result := range notifyResults {
		st.Requests[result] = n.results[result]
	}
	st.UnknownUsers = append(st.UnknownUsers, n.unknown...)
	slices.SortFunc(st.UnknownUsers, func(a, b unknownUser) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.User, b.User)) })
	return st
}

func (s *Server) mailPush(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, s.pushes.status())
}
