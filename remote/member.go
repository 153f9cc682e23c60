package remote

import (
	"time"

	"github.com/seed47708276/sluice/cascade/store"
)

// Member is what a member tells of itself with each heartbeat.
type Member struct {
	Name        string    `json:"member"`
	Incarnation string    `json:"incarnation"` // of this process: a restart is another
	Version     string    `json:"version"`
	Started     time.Time `json:"started"`
	Sockets     int64     `json:"sockets"`
	Draining    bool      `json:"draining,omitempty"` // it stops: its sockets go to the others
	Generation  uint64    `json:"generation"`         // of its configuration
	Digest      string    `json:"digest"`             // of its effective configuration
	Degraded    bool      `json:"degraded"`           // its configuration or its link

	// Restart tells of the properties whose values in its files await a restart:
	// the name, the value in force and the next, in one text each.
	Restart []string `json:"restart,omitempty"`
	// DoveAdm names the endpoints of Dovecot's HTTP API that do not answer it.
	DoveAdm []string `json:"doveAdm,omitempty"`

	Held *Held `json:"held,omitempty"` // a change of its files that awaits an administrator

	Store  *store.Head `json:"store,omitempty"`  // what it has of the overrides; nil: it does not say
	Keeper string      `json:"keeper,omitempty"` // whom its files name the keeper of the store

	// Salt is a sum of the salt of its cookies' names, for the others to compare
	// and nobody to see; "": an older version.
	Salt string `json:"salt,omitempty"`

	// What the reader knows of it, never sent.
	Alive bool          `json:"-"`
	Age   time.Duration `json:"-"` // since its last heartbeat
	Self  bool          `json:"-"`
}

// Answer is what one member answered to Ask: a body, or why there is none.
type Answer struct {
	Member, Incarnation string
	Body                []byte
	Err                 error
}

// Held is a change of a member's files that would close too many of its sockets.
type Held struct {
	Digest  string `json:"digest"`
	Users   int    `json:"users"`
	Sockets int    `json:"sockets"`
}
