package httpapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/mailpush"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
)

// The known topics, and how soon they are due. Others are of medium priority.
var topicPriorities = map[string]priority{mailpush.Topic: priorityHigh, topicCalendar: priorityMedium}

// priorities are what a producer may choose.
var priorities = map[string]priority{"high": priorityHigh, "medium": priorityMedium, "low": priorityLow}

// pushed is what POST /admin/v1/notifications takes.
type pushed struct {
	Context     namedID         `json:"context"`
	User        namedID         `json:"user"`
	Topic       string          `json:"topic"`
	Data        json.RawMessage `json:"data"`        // the one argument of the event
	SourceToken string          `json:"sourceToken"` // the connection id of the socket that caused it
	Priority    string          `json:"priority"`    // "": that of the topic
	Conflate    string          `json:"conflate"`
	ID          string          `json:"id"`
}

// pushAnswer is its answer.
type pushAnswer struct {
	Result string `json:"result"`
}

func (s *Server) sendNotification(w http.ResponseWriter, r *http.Request) error {
	var n pushed
	if err := readJSON(w, r, &n); err != nil {
		return err
	}
	su, err := s.subjectOf(n.Context.given(), n.User.given())
	switch {
	case err != nil:
		return err
	case su.User == 0:
		return fail(http.StatusBadRequest, "bad_id", "name the user whom the notification is for, and the context")
	case len(n.ID) > maxMessageID || ownID(n.ID):
		return fail(http.StatusBadRequest, "bad_message", "id has at most %d bytes, and does not begin with %s or %s", maxMessageID, mailIDs, hookIDs)
	}
	prio, known := priorities[n.Priority]
	if n.Priority != "" && !known {
		return fail(http.StatusBadRequest, "bad_message", "the priority %.40q is none: use high, medium or low", n.Priority)
	}
	m, err := s.pushes.message(su, n.Topic, n.Data, n.SourceToken, n.Conflate)
	if err != nil {
		return err
	}
	if n.ID != "" {
		m.IDs = []string{n.ID}
	}
	if n.Priority == "" {
		prio = topicPriority(n.Topic)
	}
	result, err := s.pushes.accept(m, prio)
	if err != nil {
		return s.pushes.overloaded(w, err.Error())
	}
	s.pushes.notify.count(result)
	return s.answer(w, http.StatusOK, pushAnswer{result})
}

func topicPriority(topic string) priority {
	if p, known := topicPriorities[topic]; known {
		return p
	}
	return priorityMedium
}

// message makes a notification of a topic and its data, a JSON object.
func (p *pushes) message(su cascade.Subject, topic string, data json.RawMessage, token, conflate string) (m remote.Message, err error) {
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return m, fail(http.StatusBadRequest, "bad_message", "data is the object that clients get: send one, {} where there is nothing to say")
	}
	if len(token) > maxToken {
		return m, fail(http.StatusBadRequest, "bad_message", "sourceToken has at most %d bytes", maxToken)
	}
	if conflate == "" {
		var of struct {
			Folder any `json:"folder"`
		}
		_ = json.Unmarshal(data, &of) // which validation below refuses
		if folder, is := of.Folder.(string); is && topic == mailpush.Topic {
			conflate = mailpush.Cut(folder, websockets.MaxConflateBytes)
		}
	}
	args := append(append([]byte{'['}, data...), ']')
	msg := websockets.Message{Name: topic, Args: args, Label: shared.Label{Conflate: conflate}}
	if err := msg.Validate(); err != nil {
		return m, fail(http.StatusUnprocessableEntity, "bad_message", "%s", err)
	}
	return remote.Message{
		Context: su.Context, User: su.User, Target: shared.Target{PathFilter: mailpush.PathFilter, SourceToken: token},
		Name: topic, Args: string(msg.Args), Label: msg.Label,
	}, nil
}

// webhookPath is where the existing platform's webhooks go, below any prefix.
const webhookPath = "/preliminary/webhook/v1/notify"

const (
	// signatureWindow is how far the time of a signature may be off.
	signatureWindow = 5 * time.Minute
	maxWebhook      = maxBody
)

// webhook takes a notification in the form of the existing platform's webhook
// transport.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return fail(http.StatusMethodNotAllowed, "method_not_allowed", "webhooks come with POST")
	}
	p := s.pushes
	body, err := p.readNotification(w, r, s.webhookSender)
	if err != nil {
		return err
	}
	if len(body) > maxWebhook {
		return p.reject(notifyTooLarge, http.StatusRequestEntityTooLarge, "too_large", "a webhook has at most "+strconv.Itoa(maxWebhook)+" bytes")
	}
	key := []byte(cascade.ServerValue[string](s.Engine.Snapshot(), PropWebhookKey))
	id, err := checkSignature(r.Header.Values(cascade.ServerValue[string](s.Engine.Snapshot(), PropWebhookHeader)), key, body, time.Now())
	if err != nil {
		return p.reject(notifySignature, http.StatusUnauthorized, "bad_signature", err.Error())
	}
	m, err := s.readWebhook(body)
	if err != nil {
		problem := asProblem(err)
		return p.reject(notifyBad, problem.Status, problem.Code, problem.Detail)
	}
	m.IDs = []string{id}
	result, err := p.accept(m, topicPriority(m.Name))
	switch {
	case err != nil:
		return p.overloaded(w, err.Error())
	case result == pushDuplicate:
		return p.reject(notifyReplay, http.StatusConflict, "replay", "a webhook with this signature came before: each is taken once")
	}
	p.notify.count(result)
	return s.answer(w, http.StatusOK, notified)
}

// webhookSender checks the Authorization of a webhook: the secret, or the service
// account where there is none.
func (s *Server) webhookSender(w http.ResponseWriter, r *http.Request) error {
	sn := s.Engine.Snapshot()
	if cascade.ServerValue[string](sn, PropWebhookKey) == "" {
		return fail(http.StatusForbidden, "not_configured", "nobody may send webhooks: set %s", PropWebhookKey)
	}
	secret := cascade.ServerValue[string](sn, PropWebhookSecret)
	if secret == "" {
		return s.notifier(w, r)
	}
	from := clientNetwork(r)
	headers := r.Header.Values("Authorization")
	if s.wrongPasswords.Locked(from) == 0 && len(headers) == 1 && same(headers[0], secret) == 1 {
		return nil
	}
	reason := authMissing
	if len(headers) > 0 {
		reason = authWrong
		s.wrongPasswords.Add(from)
	}
	s.authFailed(reason, r)
	return fail(http.StatusUnauthorized, "unauthorized", "send as Authorization what %s has", PropWebhookSecret)
}

// maxSignatureVersion bounds the digits of a version: the sender's configuration
// has it, as it has the header's name.
const maxSignatureVersion = 9

// signatureVersion reports whether the name of a part is v and a number.
func signatureVersion(name string) bool {
	digits, ok := strings.CutPrefix(name, "v")
	return ok && digits != "" && len(digits) <= maxSignatureVersion && strings.Trim(digits, "0123456789") == ""
}

// checkSignature holds a header t=SECONDS, vN=HEX against a body: HEX is the
// HMAC-SHA256 of "vN:SECONDS:BODY", where N is the version that the sender is
// configured with. It returns an id of the signature, by which a replay is known.
func checkSignature(headers []string, key, body []byte, now time.Time) (id string, err error) {
	const form = "the signature is one header, whose name " + PropWebhookHeader + " has (signatureHeaderName of the sender's webhooks.yml): t=SECONDS, v1=HEX"
	if len(headers) != 1 {
		return "", fail(http.StatusUnauthorized, "bad_signature", form)
	}
	var at, version, sum string
	for part := range strings.SplitSeq(headers[0], ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); {
		case name == "t":
			at = value
		case version == "" && signatureVersion(name):
			version, sum = name, value
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	given, hexErr := hex.DecodeString(sum)
	if err != nil || hexErr != nil || len(given) != sha256.Size {
		return "", fail(http.StatusUnauthorized, "bad_signature", form)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(version + ":" + at + ":")) // never fails, as below
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return "", fail(http.StatusUnauthorized, "bad_signature", "the signature does not fit the body: compare "+PropWebhookKey)
	}
	// Seconds or milliseconds: those of this century are told apart by length.
	when := time.Unix(seconds, 0)
	if seconds > 1e11 {
		when = time.UnixMilli(seconds)
	}
	if off := now.Sub(when); off.Abs() > signatureWindow {
		return "", fail(http.StatusUnauthorized, "bad_signature", "the signature is of %s, more than %v off: set the clocks", when.UTC().Format(time.RFC3339), signatureWindow)
	}
	return hookIDs + hex.EncodeToString(given[:16]), nil
}

// readWebhook reads {"event":TOPIC,"payload":{...,"user":U,"context":C}}. What
// tells whom it is for is no part of what clients get.
func (s *Server) readWebhook(body []byte) (m remote.Message, err error) {
	var hook struct {
		Event   string                     `json:"event"`
		Payload map[string]json.RawMessage `json:"payload"`
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &hook) != nil || hook.Event == "" || hook.Payload == nil {
		return m, fail(http.StatusBadRequest, "bad_notification", `a webhook is {"event":TOPIC,"payload":{...,"user":U,"context":C}}`)
	}
	var context, user namedID
	var token string
	for name, into := range map[string]any{"context": &context, "user": &user, "sourceToken": &token} {
		if raw, given := hook.Payload[name]; given && json.Unmarshal(raw, into) != nil {
			return m, fail(http.StatusBadRequest, "bad_notification", "%s of the webhook's payload is of a wrong type", name)
		}
		delete(hook.Payload, name)
	}
	su, err := s.subjectOf(context.given(), user.given())
	if err != nil {
		return m, err
	}
	if su.User == 0 {
		return m, fail(http.StatusBadRequest, "bad_id", "the webhook's payload names no user and context")
	}
	data, err := json.Marshal(hook.Payload)
	if err != nil {
		return m, err
	}
	return s.pushes.message(su, hook.Event, data, token, "")
}
