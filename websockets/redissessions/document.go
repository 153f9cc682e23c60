package redissessions

import (
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/seed47708276/sluice/websockets"
)

// documentVersion is that of the format. A change that an older member would
// misunderstand raises it; one that it may ignore adds a field.
const documentVersion = 1

// errDocument says nothing of the contents, which hold a secret.
var errDocument = errors.New("sessions in Redis: a document cannot be read: does another program, or a newer Sluice, write below this cluster's keys?")

// document is the value of a session's key.
type document struct {
	Version    int        `json:"v"`
	ID         string     `json:"id"`
	Secret     string     `json:"secret"`
	Context    int32      `json:"context"`
	User       int32      `json:"user"`
	Client     string     `json:"client"`
	AnyAgent   bool       `json:"anyAgent,omitempty"`
	Hash       string     `json:"hash,omitempty"`
	Guest      bool       `json:"guest,omitempty"`
	Restricted bool       `json:"restricted,omitempty"`
	Address    netip.Addr `json:"address"`
	Created    time.Time  `json:"created"`
	Expires    time.Time  `json:"expires"`    // zero: never; else the time to live of the key counts
	Lifetime   int64      `json:"lifetimeMs"` // what a touch adds
}

func encode(s *websockets.Session) ([]byte, error) {
	return json.Marshal(document{
		documentVersion, s.ID, s.Secret, s.Context, s.User, s.Client, s.AnyAgent, s.Hash, s.Guest, s.Restricted,
		s.Address, s.Created, s.Expires, s.Lifetime.Milliseconds(),
	})
}

// decode reads what encode has written.
func decode(text []byte) (*websockets.Session, error) {
	var d document
	if json.Unmarshal(text, &d) != nil || d.Version != documentVersion ||
		d.ID == "" || d.Secret == "" || d.Context <= 0 || d.User <= 0 || d.Lifetime < 0 || d.Lifetime > maxLifetime.Milliseconds() {
		return nil, errDocument
	}
	return &websockets.Session{
		ID: d.ID, Secret: d.Secret, Context: d.Context, User: d.User, Client: d.Client, AnyAgent: d.AnyAgent, Hash: d.Hash,
		Guest: d.Guest, Restricted: d.Restricted, Address: d.Address, Created: d.Created, Expires: d.Expires,
		Lifetime: time.Duration(d.Lifetime) * time.Millisecond,
	}, nil
}

// maxLifetime bounds what a document may ask for.
const maxLifetime = 10 * 365 * 24 * time.Hour
