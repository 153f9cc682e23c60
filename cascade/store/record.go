package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// Kind is what a record is of.
type Kind string

// The kinds.
const (
	KindContext  Kind = "context"
	KindUser     Kind = "user"
	KindOverride Kind = "override"
	KindToken    Kind = "token"
)

// Key names a record. A context has no User, an override of a context neither;
// Name is the property of an override, and the name of a token.
type Key struct {
	Kind    Kind   `json:"kind"`
	Context uint32 `json:"context,omitempty"`
	User    uint32 `json:"user,omitempty"`
	Name    string `json:"name,omitempty"`
}

// ContextKey names a context.
func ContextKey(context uint32) Key { return Key{Kind: KindContext, Context: context} }

// UserKey names a user.
func UserKey(context, user uint32) Key { return Key{Kind: KindUser, Context: context, User: user} }

// OverrideKey names an override of a context (User 0) or a user.
func OverrideKey(su cascade.Subject, property string) Key {
	return Key{Kind: KindOverride, Context: su.Context, User: su.User, Name: property}
}

// TokenKey names a token of the admin API.
func TokenKey(name string) Key { return Key{Kind: KindToken, Name: name} }

// Subject is whose the record is.
func (k Key) Subject() cascade.Subject { return cascade.Subject{Context: k.Context, User: k.User} }

// String is the key in a sentence.
func (k Key) String() string {
	switch k.Kind {
	case KindOverride:
		return fmt.Sprintf("the override of %s for %s", k.Name, k.Subject())
	case KindToken:
		return "the token " + strconv.Quote(k.Name)
	}
	return k.Subject().String()
}

// Context is what is kept of a context.
type Context struct {
	Name    string   `json:"name"`
	Logins  []string `json:"logins,omitempty"` // login mappings
	Enabled bool     `json:"enabled"`
	Tags    []string `json:"tags"`
}

// User is what is kept of a user.
type User struct {
	Enabled     bool     `json:"enabled"`
	Permissions []string `json:"permissions"`
	Login       string   `json:"login,omitempty"`
	Mails       []string `json:"mail,omitempty"`
	DisplayName string   `json:"displayName,omitempty"`
}

// Override is what is kept of an override. Times have whole milliseconds.
type Override struct {
	Value     string     `json:"value"`
	Final     string     `json:"final,omitempty"`
	Protected bool       `json:"protected,omitempty"`
	Reason    string     `json:"reason"`
	Actor     string     `json:"actor"`
	Time      time.Time  `json:"time"`
	Expires   *time.Time `json:"expires"`
}

// Token is what is kept of a token: never its text.
type Token struct {
	Role    string     `json:"role"`
	Hash    []byte     `json:"hash"` // SHA-256
	Actor   string     `json:"actor"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
}

// State is what a record holds: a *Context, *User, *Override or *Token, or
// nothing in a tombstone.
type State struct {
	Revision uint64 `json:"revision"` // of the write that made it
	Deleted  bool   `json:"deleted,omitempty"`
	Body     any    `json:"body,omitempty"`
}

// Record is one thing that is kept.
type Record struct {
	Key
	State
}

// newBody returns the body of a kind, to be filled.
func newBody(k Kind) any {
	switch k {
	case KindContext:
		return new(Context)
	case KindUser:
		return new(User)
	case KindOverride:
		return new(Override)
	case KindToken:
		return new(Token)
	}
	return nil
}

// wireState is a State whose body waits for its kind.
type wireState struct {
	Revision uint64          `json:"revision"`
	Deleted  bool            `json:"deleted,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
}

func (w *wireState) state(k Kind) (*State, error) {
	if w == nil {
		return nil, nil
	}
	s := &State{Revision: w.Revision, Deleted: w.Deleted}
	if len(w.Body) == 0 {
		return s, nil
	}
	if s.Body = newBody(k); s.Body == nil {
		return nil, fmt.Errorf("a record is of the unknown kind %q: is another member newer?", k)
	}
	return s, json.Unmarshal(w.Body, s.Body)
}

// UnmarshalJSON reads a record of a kind that this version knows.
func (r *Record) UnmarshalJSON(b []byte) error {
	var w struct {
		Key
		wireState
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	s, err := w.state(w.Kind)
	if err == nil {
		*r = Record{w.Key, *s}
	}
	return err
}

// Check refuses what may not be kept.
func (r *Record) Check() error { return r.check() }

func (r *Record) check() error { return r.checkIn(new(cascade.Batch)) }

// checkIn is check with a batch whose memory is used again.
func (r *Record) checkIn(b *cascade.Batch) error {
	fits := false
	switch body := r.Body.(type) {
	case nil:
		fits = r.Deleted && (r.Kind == KindContext || r.Kind == KindUser)
	case *Context:
		fits = r.Kind == KindContext && r.User == 0 && r.Name == ""
	case *User:
		fits = r.Kind == KindUser && r.User != 0 && r.Name == ""
	case *Override:
		fits = r.Kind == KindOverride
	case *Token:
		fits = r.Kind == KindToken && r.Context == 0 && r.User == 0 && r.Name != "" && len(r.Name) <= cascade.MaxNameLen && len(body.Hash) == sha256.Size
	}
	if !fits || r.Deleted && r.Body != nil {
		return fmt.Errorf("%s does not hold what a %s is", r.Key, r.Kind)
	}
	*b = cascade.Batch{Contexts: b.Contexts[:0], Users: b.Users[:0], Overrides: b.Overrides[:0]}
	r.addTo(b)
	return b.Check()
}

// addTo adds what the record means to a batch for the engine.
func (r *Record) addTo(b *cascade.Batch) {
	switch body := r.Body.(type) {
	case *Context:
		b.Contexts = append(b.Contexts, cascade.Context{ID: r.Context, Name: body.Name, Logins: body.Logins, Enabled: body.Enabled, Tags: body.Tags})
	case *User:
		b.Users = append(b.Users, cascade.User{
			Context: r.Context, ID: r.User, Enabled: body.Enabled, Permissions: body.Permissions,
			Login: body.Login, Mails: body.Mails, DisplayName: body.DisplayName,
		})
	case *Override:
		o := cascade.Override{
			Key:   cascade.Key{Subject: r.Subject(), Property: r.Name},
			Value: body.Value, Final: body.Final, Protected: body.Protected,
			Reason: body.Reason, Actor: body.Actor, Time: body.Time,
		}
		if body.Expires != nil {
			o.Expires = *body.Expires
		}
		b.Overrides = append(b.Overrides, o)
	case nil:
		switch {
		case r.Deleted && r.Kind == KindContext:
			b.DeleteContexts = append(b.DeleteContexts, r.Context)
		case r.Deleted:
			b.DeleteUsers = append(b.DeleteUsers, r.Subject())
		}
	}
}

// The keys in the buckets sort as lists are to be shown.
func (k Key) bytes() []byte {
	switch k.Kind {
	case KindContext:
		return binary.BigEndian.AppendUint32(nil, k.Context)
	case KindUser:
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, k.Context), k.User)
	case KindOverride:
		b := make([]byte, 0, 8+len(k.Name))
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, k.Context), k.User)
		return append(b, k.Name...)
	}
	return []byte(k.Name)
}

var errBadKey = errors.New("a key of the store does not parse")

func parseKey(kind Kind, b []byte) (Key, error) { return (*texts)(nil).parseKey(kind, b) }

func (t *texts) parseKey(kind Kind, b []byte) (Key, error) {
	k := Key{Kind: kind}
	switch {
	case kind == KindToken && len(b) > 0:
		k.Name = string(b)
	case kind == KindContext && len(b) == 4:
		k.Context = binary.BigEndian.Uint32(b)
	case kind == KindUser && len(b) == 8, kind == KindOverride && len(b) > 8:
		k.Context, k.User, k.Name = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), t.of(b[8:])
	default:
		return k, errBadKey
	}
	return k, nil
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Context, b.Context), cmp.Compare(a.User, b.User), cmp.Compare(a.Name, b.Name))
}
