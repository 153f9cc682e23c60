package tables

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/people"
)

// Context is a context of the directory. Its name need not be unique; Logins are
// its login mappings.
type Context struct {
	ID      uint32
	Name    string
	Logins  []string
	Enabled bool
	Tags    []string
}

// Names are what people look a context up by.
func (c *Context) Names() *people.Names { return &people.Names{Name: c.Name, Logins: c.Logins} }

// User is a user of a context, with the permission names whose tags (uc...)
// the user carries.
type User struct {
	Context     uint32
	ID          uint32
	Enabled     bool
	Permissions []string
	Login       string   // within the context; may be empty, as the others
	Mails       []string // all the addresses
	DisplayName string
}

// Names are what people look a user up by.
func (u *User) Names() *people.Names {
	return &people.Names{Login: u.Login, Mails: u.Mails, Name: u.DisplayName}
}

// Key names one override: of a context (User 0) or of a user.
type Key struct {
	Subject
	Property string
}

// Override is a value that a context or a user has of its own.
type Override struct {
	Key
	Value     string
	Final     string // a scope, or "": scopes more specific than it are skipped
	Protected bool
	Reason    string
	Actor     string
	Time      time.Time // when it was set; whole milliseconds are kept
	Expires   time.Time // zero: never; it takes effect while Engine.Run runs

	Platform bool // it was read from the platform's database
	Unfit    bool // Value does not fit its declaration: a last good one is kept
}

// Batch is a set of changes that apply together or not at all. Deletions come
// first. A deleted context or user leaves a closed tombstone until it is put
// again, and takes its overrides with it.
type Batch struct {
	Reset           bool      // forget everything first
	Revision        string    // names the state that the batch leads to; "": the engine counts
	Missing         []Subject // contexts that do not exist: closed, and their users keep what is known of them
	Forget          []Subject // contexts and users whose records go without a tombstone; not their overrides
	DeleteContexts  []uint32
	DeleteUsers     []Subject
	DeleteOverrides []Key
	Contexts        []Context
	Users           []User
	Overrides       []Override
}

// Limits of what a directory holds per entry, so that one entry cannot grow
// without bound; the databases of the existing system are stricter.
const (
	MaxNameLen     = 512       // bytes of a property name, as in files
	MaxValueLen    = 256 << 10 // bytes of a value, as in files
	MaxTags        = 256       // of a context
	MaxPermissions = 256       // of a user
	MaxTextLen     = 4096      // bytes of a reason, an actor, a context's name or a tag
	maxPermSets    = 1<<20 - 1 // distinct sets of permissions
)

// Check refuses a context that is out of bounds.
func (c *Context) Check() error {
	switch {
	case c.ID == 0 || c.ID > MaxID:
		return fmt.Errorf("context %d is not an id: use 1 to %d", c.ID, MaxID)
	case len(c.Tags) > MaxTags:
		return fmt.Errorf("context %d has %d tags: at most %d", c.ID, len(c.Tags), MaxTags)
	case len(c.Name) > MaxTextLen || slices.ContainsFunc(c.Tags, func(t string) bool { return len(t) > MaxTextLen }):
		return fmt.Errorf("context %d: a name or tag is longer than %d bytes", c.ID, MaxTextLen)
	}
	if err := c.Names().Check(); err != nil {
		return fmt.Errorf("context %d: %w", c.ID, err)
	}
	return nil
}

// Check refuses a user who is out of bounds.
func (u *User) Check() error {
	switch {
	case u.Context == 0 || u.Context > MaxID || u.ID == 0 || u.ID > MaxID:
		return fmt.Errorf("user %d in context %d: ids are 1 to %d", u.ID, u.Context, MaxID)
	case len(u.Permissions) > MaxPermissions:
		return fmt.Errorf("user %d in context %d has %d permissions: at most %d", u.ID, u.Context, len(u.Permissions), MaxPermissions)
	case slices.ContainsFunc(u.Permissions, func(p string) bool { return len(p) > MaxTextLen }):
		return fmt.Errorf("user %d in context %d: a permission is longer than %d bytes", u.ID, u.Context, MaxTextLen)
	}
	if err := u.Names().Check(); err != nil {
		return fmt.Errorf("user %d in context %d: %w", u.ID, u.Context, err)
	}
	return nil
}

// Check refuses an override that is out of bounds. Its value may not fit its property:
// the tables know no types.
func (o *Override) Check() error {
	switch {
	case o.Context == 0 || o.Context > MaxID || o.User > MaxID:
		return fmt.Errorf("override of %s: context %d and user %d are not ids: use 1 to %d", o.Property, o.Context, o.User, MaxID)
	case Trim(o.Property) == "":
		return fmt.Errorf("override for %s: the property has no name", o.Subject)
	case len(o.Property) > MaxNameLen:
		return fmt.Errorf("override for %s: the property's name is longer than %d bytes", o.Subject, MaxNameLen)
	case len(o.Value) > MaxValueLen:
		return fmt.Errorf("override of %s for %s: the value is longer than %d bytes", o.Property, o.Subject, MaxValueLen)
	case len(o.Reason) > MaxTextLen || len(o.Actor) > MaxTextLen:
		return fmt.Errorf("override of %s for %s: the reason or the actor is longer than %d bytes", o.Property, o.Subject, MaxTextLen)
	case o.Final != "" && !slices.Contains(ScopeOrder, o.Final):
		return fmt.Errorf("override of %s for %s: final names %q, which is no scope: use one of %s",
			o.Property, o.Subject, o.Final, strings.Join(ScopeOrder, ", "))
	}
	return nil
}

// Check refuses a batch that holds anything out of bounds; Apply does so too.
func (b *Batch) Check() error {
	for i := range b.Contexts {
		if err := b.Contexts[i].Check(); err != nil {
			return err
		}
	}
	for i := range b.Users {
		if err := b.Users[i].Check(); err != nil {
			return err
		}
	}
	for i := range b.Overrides {
		if err := b.Overrides[i].Check(); err != nil {
			return err
		}
	}
	return nil
}
