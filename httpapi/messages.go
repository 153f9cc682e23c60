package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/trace"
)

// message is what POST /admin/v1/messages takes.
type message struct {
	Context     namedID         `json:"context"`
	User        namedID         `json:"user"`
	All         bool            `json:"all"`
	Name        string          `json:"name"`
	Args        json.RawMessage `json:"args"`
	PathFilter  *string         `json:"pathFilter"`
	SourceToken string          `json:"sourceToken"`
	ID          string          `json:"id"`
	// Conflate lets the message be given up for a later one with the same name
	// and key, where too many wait for a socket.
	Conflate string `json:"conflate"`
	// Sync asks to wait until the other members' copy is safe.
	Sync bool `json:"sync"`
	// Confirm asks the sockets whether the message has come.
	Confirm bool `json:"confirm"`

	chosen bool // the caller has given the id
}

// ids are what receivers know the message by.
func (m *message) ids() []string {
	if !m.chosen {
		return nil
	}
	return []string{m.ID}
}

// sentResult is its answer. Remote counts the other members that were
// addressed; nil: not known, since the message waits in the buffer. A duplicate
// was accepted before, and has been delivered or will be.
type sentResult struct {
	ID        string `json:"id"`
	Local     int    `json:"local"`
	Remote    *int   `json:"remote"`
	Coalesced bool   `json:"coalesced,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// syncTimeout is how long a sync message waits for Redis.
const syncTimeout = 10 * time.Second

const ndjson = "application/x-ndjson"

// Bounds of a message.
const (
	maxMessageID = 128      // bytes, of which maxSentIDs are kept; a UUID has 36
	maxToken     = 64       // bytes; as the connection ids of clients
	streamBuffer = 32 << 10 // bytes, each way: what comes together is answered together
	maxStream    = 64 << 20 // bytes of one stream: what breaks off is sent again from its last answer
)

func (s *Server) sendMessages(w http.ResponseWriter, r *http.Request) error {
	mt, err := mediaType(r, jsonType, ndjson)
	if err != nil {
		return err
	}
	if mt == ndjson {
		return s.sendStream(w, r)
	}
	b, err := readBody(w, r)
	if err != nil {
		return err
	}
	result, m, err := s.send(r.Context(), b)
	if err != nil {
		return err
	}
	if m.Confirm && accepts(r, ndjson) {
		return s.followMessage(w, r, result, m.Sync)
	}
	return s.answer(w, http.StatusOK, result)
}

// sendStream sends one message a line and answers one result a line; a line
// that is refused is answered with its problem and hurts no other.
func (s *Server) sendStream(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", ndjson)
	secure(w.Header())
	out := bufio.NewWriterSize(w, streamBuffer)
	defer out.Flush() // fails where the caller went away
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	// A wait for the next message ends with the server, or the stream would keep
	// it from ending.
	defer context.AfterFunc(s.streaming, func() { _ = control.SetReadDeadline(time.Now()) })()
	in := bufio.NewReaderSize(&pacedBody{http.MaxBytesReader(w, r.Body, maxStream), control, s.streaming}, streamBuffer)
	for {
		line, err := readLine(in)
		if err == nil || err == io.EOF {
			if line = bytes.TrimSpace(line); len(line) > 0 && enc.Encode(s.result(r.Context(), line)) != nil {
				return nil // the caller went away
			}
			// The caller may wait for this answer before the next message.
			if err == nil && in.Buffered() == 0 && (out.Flush() != nil || control.Flush() != nil) {
				return nil
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			_ = enc.Encode(asProblem(err)) // the caller may have gone away
			return nil
		}
	}
}

// result is what answers a line.
func (s *Server) result(ctx context.Context, line []byte) any {
	result, _, err := s.send(ctx, line)
	if err == nil {
		return result
	}
	p := asProblem(err)
	if p.Status == http.StatusInternalServerError {
		s.Logger.Error("message of a stream failed", "err", err)
	}
	return p
}

// readLine reads a line of at most maxBody bytes. With io.EOF it is the last,
// with any other error none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxBody {
			return nil, fail(http.StatusRequestEntityTooLarge, "too_large", "a line has more than %d bytes: nothing from it on was sent", maxBody)
		}
		line = append(line, part...)
		var tooBig *http.MaxBytesError
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.As(err, &tooBig):
			return nil, fail(http.StatusRequestEntityTooLarge, "too_large", "the stream has more than %d bytes: send the rest, from this line on, in another", maxStream)
		case err != nil && err != io.EOF:
			return nil, fail(http.StatusBadRequest, "bad_request", "the stream broke off: send again from this line on")
		}
		return line, err
	}
}

func (s *Server) send(ctx context.Context, b []byte) (*sentResult, *message, error) {
	m := &message{}
	if err := decode(b, m); err != nil {
		return nil, nil, err
	}
	result, err := s.sendMessage(ctx, m)
	return result, m, err
}

func (s *Server) sendMessage(ctx context.Context, m *message) (*sentResult, error) {
	su, err := s.check(m)
	if err != nil {
		return nil, err
	}
	msg := websockets.Message{Name: m.Name, Args: m.Args, Label: shared.Label{Conflate: m.Conflate, From: s.Member, Confirm: m.Confirm}}
	target := shared.Target{SourceToken: m.SourceToken}
	if m.PathFilter != nil {
		target.PathFilter = *m.PathFilter
	}
	// Before the id counts as used, so that a corrected message may have it.
	if err := msg.Validate(); err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "bad_message", "%s", err)
	}
	result, confirmed, err := s.queueMessage(ctx, m, &msg, target, su)
	if err != nil || confirmed == nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	members, err := confirmed(ctx)
	if err != nil {
		return nil, fail(http.StatusServiceUnavailable, "unconfirmed", "%s: it was delivered to %d sockets here", err, result.Local)
	}
	result.Remote = &members
	return result, nil
}

// queueMessage queues a message for all sockets, here and elsewhere. confirmed waits
// for Redis, where the sender does.
func (s *Server) queueMessage(ctx context.Context, m *message, msg *websockets.Message, target shared.Target, su cascade.Subject) (result *sentResult, confirmed func(context.Context) (int, error), err error) {
	if !s.taking.enter() {
		return nil, nil, fail(http.StatusServiceUnavailable, "draining", "this process hands over to the next one: send it again")
	}
	defer s.taking.leave()
	if s.Cluster == nil {
		result, err = s.deliver(ctx, m, msg, target, su)
		return result, nil, err
	}
	switch err := s.Cluster.Reserve(); {
	case errors.Is(err, remote.ErrClosed):
		return nil, nil, fail(http.StatusServiceUnavailable, "draining", "%s: send to another", err)
	case err != nil:
		return nil, nil, fail(http.StatusTooManyRequests, "buffer_full", "%s", err)
	}
	result, err = s.deliver(ctx, m, msg, target, su)
	if err != nil || result.Duplicate && result.Remote != nil {
		s.Cluster.Release()
		return result, nil, err
	}
	apart := uint64(0)
	if m.Confirm { // whose answers are about this one
		apart = s.pushes.apart.Add(1)
	}
	carried := remote.Message{
		Context: su.Context, User: su.User, Target: target, Name: msg.Name, Args: string(msg.Args), Label: msg.Label,
		Number: msg.Accepted().Number(), Placed: []remote.Placed{msg.Accepted()}, Apart: apart,
	}
	carried.ID, carried.IDs = result.ID, m.ids()
	if m.Sync {
		return result, s.Cluster.Send(carried), nil
	}
	result.Remote, result.Coalesced = nil, s.Cluster.Offer(carried)
	return result, nil, nil
}

// deliver queues a message on the local matches. A duplicate with Remote nil is
// to be carried to the other members all the same: whoever accepted it before
// may have died with it.
func (s *Server) deliver(ctx context.Context, m *message, msg *websockets.Message, target shared.Target, su cascade.Subject) (*sentResult, error) {
	result := &sentResult{Remote: new(int)}
	if m.ID == "" {
		result.ID = randomID()
	} else {
		m.chosen, result.ID = true, m.ID
		now, window := time.Now(), cascade.ServerValue[time.Duration](s.Engine.Snapshot(), remote.PropDedupWindow)
		if !s.accepted.first(now, window, m.ID) {
			result.Duplicate = true
			s.duplicate(m, su)
			return result, nil
		}
		if s.Cluster != nil {
			switch s.Cluster.Claim(ctx, m.ID, window) {
			case remote.ClaimSent:
				result.Duplicate = true
				s.duplicate(m, su)
				return result, nil
			case remote.ClaimWaiting:
				result.Duplicate, result.Remote = true, nil
			}
		}
		// Another member's copy may have come before, or come later.
		if !s.delivered.first(now, window, m.ID) {
			return result, nil
		}
	}
	msg.ID = result.ID
	var err error
	switch {
	case m.All:
		result.Local, err = s.Sockets.SendToAll(*msg, target)
	case su.User == 0:
		result.Local, err = s.Sockets.SendToContext(su.Context, *msg, target)
	default:
		result.Local, err = s.Sockets.SendToUser(su.Context, su.User, *msg, target)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// duplicate remembers that a message was sent again.
func (s *Server) duplicate(m *message, su cascade.Subject) {
	s.Sockets.Memory().Add(&trace.Record{
		Key: trace.Key{Context: su.Context, User: su.User}, ID: m.ID, From: s.Member, Topic: m.Name, At: time.Now(), Outcome: trace.Duplicate,
	})
}

// Fresh reports whether a message of another member is to be delivered here: it
// is not where each of the ids that callers gave it has been delivered.
func (s *Server) Fresh(ids []string) bool {
	if len(ids) == 0 {
		return true
	}
	if s.pushes.firstDelivered(ids) {
		return true
	}
	s.recognised.Add(1)
	return false
}

// check validates what websockets.Message does not.
func (s *Server) check(m *message) (su cascade.Subject, err error) {
	switch {
	case m.All && (m.Context != "" || m.User != ""):
		return su, fail(http.StatusBadRequest, "bad_message", "all is everybody: leave out context and user")
	case !m.All:
		if su, err = s.subjectOf(m.Context.given(), m.User.given()); err != nil {
			return su, err
		}
		if su.Context == 0 {
			return su, fail(http.StatusBadRequest, "bad_id", "name a context (1 to %d), and a user of it, or set all to true for everybody", cascade.MaxID)
		}
	}
	if m.PathFilter != nil {
		if err := websockets.ValidatePathFilter(*m.PathFilter); err != nil {
			return su, fail(http.StatusUnprocessableEntity, "bad_path_filter", "%s", err)
		}
	}
	if ownID(m.ID) {
		return su, fail(http.StatusBadRequest, "bad_message", "ids that begin with %s or %s are Sluice's own: choose another", mailIDs, hookIDs)
	}
	if len(m.ID) > maxMessageID || len(m.SourceToken) > maxToken {
		return su, fail(http.StatusBadRequest, "bad_message", "id has at most %d bytes, sourceToken at most %d: shorten them", maxMessageID, maxToken)
	}
	return su, nil
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// maxSentIDs takes 20 MiB at most, at 330 messages with an id a second; above
// that rate the oldest ids go before their time.
const maxSentIDs = 100_000

// sentIDs remembers the ids that callers gave their messages.
type sentIDs struct {
	mu    sync.Mutex
	at    map[string]time.Time
	order []string // oldest first, each once
}

// first reports whether one of the ids was not seen within the window, and
// remembers them all.
func (s *sentIDs) first(now time.Time, window time.Duration, ids ...string) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	for len(s.order) > 0 && now.Sub(s.at[s.order[0]]) > window {
		s.drop()
	}
	for _, id := range ids {
		if _, known := s.at[id]; known {
			continue
		}
		// Not before: at the limit the oldest id would be taken for a new one.
		if len(s.order) >= maxSentIDs {
			s.drop()
		}
		first = true
		s.at[id] = now
		s.order = append(s.order, id)
	}
	return first
}

func (s *sentIDs) drop() {
	delete(s.at, s.order[0])
	s.order = s.order[1:]
}
