package httpapi

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// message is what POST /admin/v1/messages takes.
type message struct {
	Context     int64           `json:"context"`
	User        int64           `json:"user"`
	All         bool            `json:"all"`
	Name        string          `json:"name"`
	Args        json.RawMessage `json:"args"`
	PathFilter  *string         `json:"pathFilter"`
	SourceToken string          `json:"sourceToken"`
	ID          string          `json:"id"`
	Sync        bool            `json:"sync"`
}

// sentResult is its answer. Remote counts the other members that were
// addressed: alone there are none.
type sentResult struct {
	ID        string `json:"id"`
	Local     int    `json:"local"`
	Remote    *int   `json:"remote"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

const (
	ndjson       = "application/x-ndjson"
	maxMessageID = 128
	maxToken     = 64
	maxStream    = 64 << 20 // bytes of one stream of messages
)

func (s *Server) sendMessages(w http.ResponseWriter, r *http.Request) error {
	mt, err := mediaType(r, "application/json", ndjson)
	if err != nil {
		return err
	}
	if mt == ndjson {
		return s.sendStream(w, r)
	}
	b, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	result, err := s.send(b)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, result)
}

// sendStream sends one message a line and answers one result a line; a line
// that fails is answered with its problem and hurts no other.
func (s *Server) sendStream(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", ndjson)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	lines := bufio.NewScanner(http.MaxBytesReader(w, r.Body, maxStream))
	lines.Buffer(make([]byte, 0, 64<<10), maxBody)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		result, err := s.send(lines.Bytes())
		var p *problem
		switch {
		case errors.As(err, &p):
			err = enc.Encode(p)
		case err != nil:
			return err
		default:
			err = enc.Encode(result)
		}
		if err != nil {
			return nil // the caller went away
		}
	}
	if err := lines.Err(); err != nil {
		p := &problem{"about:blank", http.StatusText(http.StatusRequestEntityTooLarge), http.StatusRequestEntityTooLarge, "too_large", "a line has more than 1 MiB, or the stream is too long or broke off: " + err.Error()}
		_ = enc.Encode(p) // the caller may have gone away
	}
	return nil
}

func (s *Server) send(b []byte) (*sentResult, error) {
	var m message
	if err := decode(b, &m); err != nil {
		return nil, err
	}
	su, err := m.check()
	if err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = randomID()
	} else if !s.sent.first(m.ID, time.Now()) {
		return &sentResult{ID: m.ID, Remote: new(int), Duplicate: true}, nil
	}
	msg, target := websockets.Message{Name: m.Name, Args: m.Args}, websockets.Target{SourceToken: m.SourceToken}
	if m.PathFilter != nil {
		target.PathFilter = *m.PathFilter
	}
	var queued int
	switch {
	case m.All:
		queued, err = s.Sockets.SendToAll(msg, target)
	case su.User == 0:
		queued, err = s.Sockets.SendToContext(int32(su.Context), msg, target)
	default:
		queued, err = s.Sockets.SendToUser(int32(su.Context), int32(su.User), msg, target)
	}
	if err != nil {
		s.sent.forget(m.ID)
	}
	if errors.Is(err, websockets.ErrMessage) || errors.Is(err, websockets.ErrPathFilter) {
		return nil, fail(http.StatusUnprocessableEntity, "bad_message", "%s", err)
	}
	if err != nil {
		return nil, err
	}
	return &sentResult{ID: m.ID, Local: queued, Remote: new(int)}, nil
}

// check validates what the sockets do not.
func (m *message) check() (su cascade.Subject, err error) {
	if m.All {
		if m.Context != 0 || m.User != 0 {
			return su, fail(http.StatusBadRequest, "bad_message", "all is everybody: leave out context and user")
		}
	} else if su, err = cascade.NewSubject(m.Context, m.User); err != nil || su.Context == 0 {
		return su, fail(http.StatusBadRequest, "bad_id", "name a context (1 to %d), and a user of it, or all", cascade.MaxID)
	}
	if m.PathFilter != nil {
		if err := websockets.ValidatePathFilter(*m.PathFilter); err != nil {
			return su, fail(http.StatusUnprocessableEntity, "bad_path_filter", "%s", err)
		}
	}
	if len(m.ID) > maxMessageID || len(m.SourceToken) > maxToken {
		return su, fail(http.StatusBadRequest, "bad_message", "id has at most %d bytes, sourceToken at most %d", maxMessageID, maxToken)
	}
	return su, nil
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// sentIDs remembers the ids of messages, so that a caller who did not get the
// answer may send again.
type sentIDs struct {
	mu    sync.Mutex
	at    map[string]time.Time
	order []string // oldest first
}

const (
	dedupWindow = 5 * time.Minute
	maxSentIDs  = 100_000 // 20 MiB at most; older ids go first
)

// first reports whether the id is new, and remembers it.
func (s *sentIDs) first(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	for len(s.order) > 0 && (len(s.order) >= maxSentIDs || now.Sub(s.at[s.order[0]]) > dedupWindow) {
		delete(s.at, s.order[0])
		s.order = s.order[1:]
	}
	if _, known := s.at[id]; known {
		return false
	}
	s.at[id] = now
	s.order = append(s.order, id)
	return true
}

// forget lets an id be sent again whose message was refused. It leaves order
// with a name that first drops later.
func (s *sentIDs) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, id)
}
