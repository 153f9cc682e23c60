package store

import (
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// tokens are those of the admin API in memory, so that a request waits for no
// disk.
type tokens struct {
	mu     sync.RWMutex
	byHash map[[32]byte]string
	byName map[string]*Token
	used   map[string]time.Time // of this process

	offline map[string]*Token // made while no server ran
}

func (t *tokens) load(s *Store) error {
	t.byHash, t.byName, t.used = make(map[[32]byte]string), make(map[string]*Token), make(map[string]time.Time)
	t.offline = make(map[string]*Token)
	return s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketOf[KindToken]).ForEach(func(name, value []byte) error {
			r, err := parse(KindToken, name, value)
			if err != nil {
				return &DamagedError{s.opt.Path, err.Error()}
			}
			t.set(r.Name, &r.State)
			if body, ok := r.Body.(*Token); ok && r.Revision == 0 {
				t.offline[r.Name] = body
			}
			return nil
		})
	})
}

// set takes a state up. The caller holds mu, or is alone.
func (t *tokens) set(name string, state *State) {
	if old := t.byName[name]; old != nil {
		delete(t.byHash, [32]byte(old.Hash))
		delete(t.byName, name)
		delete(t.used, name)
	}
	if state == nil {
		return
	}
	if body, ok := state.Body.(*Token); ok && len(body.Hash) == 32 {
		t.byName[name], t.byHash[[32]byte(body.Hash)] = body, name
	}
}

func (t *tokens) take(e *Entry) {
	for _, c := range e.Changes {
		if c.Kind == KindToken {
			t.mu.Lock()
			t.set(c.Name, c.After)
			t.mu.Unlock()
		}
	}
}

// Token returns the token with this SHA-256, and its name.
func (s *Store) Token(hash [32]byte) (name string, token *Token, ok bool) {
	t := &s.tokens
	t.mu.RLock()
	defer t.mu.RUnlock()
	name, ok = t.byHash[hash]
	return name, t.byName[name], ok
}

// AnyToken reports whether there is one, be it expired.
func (s *Store) AnyToken() bool {
	t := &s.tokens
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byName) > 0
}

// Tokens calls f for each token, with when this process last saw it used.
func (s *Store) Tokens(f func(name string, token *Token, used time.Time)) {
	t := &s.tokens
	t.mu.RLock()
	defer t.mu.RUnlock()
	for name, token := range t.byName {
		f(name, token, t.used[name])
	}
}

// TokenUsed notes that a token was used.
func (s *Store) TokenUsed(name string, at time.Time) {
	t := &s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[name] != nil {
		t.used[name] = at
	}
}
