package cascade

import (
	"io/fs"

	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// Subject is who a property is resolved for. Ids run from 1 to MaxID; a User
// needs a Context; the zero Subject is the server view.
type Subject = tables.Subject

// MaxID is the largest context or user id: ids are Java ints in the databases
// that they come from.
const MaxID = tables.MaxID

// NewSubject checks ids as they come from outside; 0 means none.
func NewSubject(context, user int64) (Subject, error) { return tables.NewSubject(context, user) }

// ParseID reads one id: decimal digits only, 1 to MaxID.
func ParseID(s string) (uint32, error) { return tables.ParseID(s) }

// The scopes, from the most to the least specific
// (docs/reference/cascade.md#scopes). ScopeReseller has values only where the
// platform's database is read.
const (
	ScopeUser        = tables.ScopeUser
	ScopeContext     = tables.ScopeContext
	ScopeReseller    = tables.ScopeReseller
	ScopeContextSets = tables.ScopeContextSets
	ScopeServer      = tables.ScopeServer

	// ScopeDefault is where a value comes from that only the code defines.
	ScopeDefault = tables.ScopeDefault
)

// Scopes lists every scope from the most to the least specific.
func Scopes() []string { return tables.Scopes() }

// What a directory holds, and a change of it: see the package tables.
type (
	// Context is a context of the directory.
	Context = tables.Context
	// User is a user of a context, with the permission names whose tags (uc...)
	// the user carries.
	User = tables.User
	// Key names one override: of a context (User 0) or of a user.
	Key = tables.Key
	// Override is a value that a context or a user has of its own.
	Override = tables.Override
	// Batch is a set of changes that apply together or not at all.
	Batch = tables.Batch
)

// Limits of what a directory holds per entry.
const (
	MaxNameLen     = tables.MaxNameLen
	MaxValueLen    = tables.MaxValueLen
	MaxTags        = tables.MaxTags
	MaxPermissions = tables.MaxPermissions
	MaxTextLen     = tables.MaxTextLen
)

// FileReport is what is known of one file of the tree.
type FileReport = tree.FileReport

// The statuses of a file. All but FileOK serve the last good contents.
const (
	FileOK      = tree.FileOK
	FileFailed  = tree.FileFailed
	FileHeld    = tree.FileHeld
	FileMissing = tree.FileMissing
)

// WatchMode tells how changes are noticed.
type WatchMode = tree.WatchMode

// The modes.
const (
	WatchOff     = tree.WatchOff
	WatchInotify = tree.WatchInotify
	WatchRescan  = tree.WatchRescan // no events: everything is read again each few seconds
)

// WriteFile replaces a file so that a crash or power cut leaves the old or the
// new contents, never a mix.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return tree.WriteFile(path, data, mode)
}
