package websockets

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// silent are members that say nothing.
type silent struct{}

func (silent) Tell(string, []byte)          {}
func (silent) Taken() map[string]uint64     { return nil }
func (silent) CatchUp(context.Context) bool { return true }

func (silent) AskAll(context.Context, string, []byte) [][]byte { return nil }

func (silent) Former(context.Context, shared.Registration) string { return "" }

func (silent) LastTaken(string) (map[string]uint64, time.Time, bool, bool) {
	return nil, time.Time{}, false, false
}

// strayed makes a server with other members, which has been there for so long that it
// relies on what they tell.
func strayed(t *testing.T) *Server {
	t.Helper()
	s, err := New(Options{
		Gate: &gates{}, Sessions: NewMemorySessions(nil), Peers: silent{}, Since: time.Now().Add(-time.Hour),
		Config: func() *Config {
			c := DefaultConfig()
			c.Recovery = func(uint32, uint32) time.Duration { return time.Minute }
			return c
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *Server) keptOf(k subject) (texts []string) {
	h := s.hub.shard(k).historyOf(k, false, 0, nil)
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.allLocked() {
		texts = append(texts, strings.Trim(strings.TrimPrefix(string(payloadOf(m.frame.data)), `42["n",`), `"]`))
	}
	return texts
}

func strayText(n int) Message {
	return Message{Name: "n", Args: json.RawMessage(fmt.Sprintf("[%q]", fmt.Sprint(n)))}
}

func present(t *testing.T, s *Server, k subject) {
	t.Helper()
	if err := s.Told("other", opPresent, fmt.Appendf(nil, "[[%d,%d]]", k.context, k.user)); err != nil {
		t.Fatal(err)
	}
}

// What came before another member told of a user's socket is kept for it: of the
// user's, of the context's and of everybody's.
func TestStrays(t *testing.T) {
	t.Parallel()
	s := strayed(t)
	send := func(n int, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	send(s.SendToUser(1, 2, strayText(1), Target{}))
	send(s.SendToUser(1, 3, strayText(2), Target{}))
	send(s.SendToContext(1, strayText(3), Target{}))
	send(s.SendToContext(2, strayText(4), Target{}))
	send(s.SendToAll(strayText(5), Target{}))
	present(t, s, subject{1, 2})
	send(s.SendToUser(1, 2, strayText(6), Target{}))
	send(s.SendToContext(1, strayText(7), Target{}))
	if got := s.keptOf(subject{1, 2}); !slices.Equal(got, []string{"1", "3", "5", "6", "7"}) {
		t.Errorf("kept: %v", got)
	}
	// Another member asks for a client that has come to it.
	answer, err := s.AnswerHistory([]byte(`{"c":1,"u":3,"s":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	var a historyAnswer
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Messages) != 4 {
		t.Errorf("%s, %v", answer, err)
	}
	s.strays.expire(s.clock() + int64(strayFor))
	present(t, s, subject{2, 1})
	if got := s.keptOf(subject{2, 1}); got != nil {
		t.Errorf("kept although it is old: %v", got)
	}
	for _, k := range []subject{{1, 2}, {1, 3}} {
		h := s.hub.shard(k).historyOf(k, false, 0, nil)
		h.mu.Lock()
		h.clearLocked()
		h.mu.Unlock()
	}
	if n := s.kept.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are counted of messages that nobody keeps", n)
	}
}

// Strays are bounded, and a history knows what they lack.
func TestStraysBounded(t *testing.T) {
	t.Parallel()
	s := strayed(t)
	for n := range maxStrays + 1 {
		if _, err := s.SendToUser(1, uint32(1+n), strayText(n), Target{}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := subject{1, 1}, subject{1, 2}
	present(t, s, first)
	present(t, s, second)
	if a, b := s.keptOf(first), s.keptOf(second); a != nil || !slices.Equal(b, []string{"1"}) {
		t.Errorf("kept: %v, %v", a, b)
	}
	h := s.hub.shard(first).historyOf(first, false, 0, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	if since := h.lackLocked(); since != s.strays.lost || since == 0 {
		t.Errorf("everything since %d is there, want %d", since, s.strays.lost)
	}
}

// A history that begins while a message goes to everybody has it once.
func TestStraysOnce(t *testing.T) {
	t.Parallel()
	s := strayed(t)
	const users, messages = 200, 50
	var work sync.WaitGroup
	work.Go(func() {
		for n := range messages {
			if _, err := s.SendToAll(strayText(n), Target{}); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for user := range uint32(users) {
			present(t, s, subject{1, 1 + user})
		}
	})
	work.Wait()
	var want []string
	for n := range messages {
		want = append(want, fmt.Sprint(n))
	}
	for user := range uint32(users) {
		if got := s.keptOf(subject{1, 1 + user}); !slices.Equal(got, want) {
			t.Fatalf("user %d: %v", 1+user, got)
		}
	}
}
