package cascade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/tables"
)

// The platform's own database is a second source of contexts, users and values,
// beside the directory and the overrides. Its entries are read one by one as
// subjects are met, so a subject that was not read yet is none of which nothing
// is set: see AccountUnread.

// PlatformContext is a context as the platform's database has it.
type PlatformContext struct {
	Context
	Missing  bool   // there is no such context; only the ID counts
	Reseller uint32 // that owns it; 0: none
	Config   []Override
}

// PlatformUser is a user as the platform's database has it.
type PlatformUser struct {
	User
	Missing bool // there is no such user; only Context and ID count
	Config  []Override
}

// Reseller is a sub-admin of the platform. Its values count for the contexts
// that it or one of its children owns.
type Reseller struct {
	ID         uint32
	Name       string
	Parent     uint32 // 0: none
	Taxonomies []string
	Config     map[string]string
}

// maxResellerDepth bounds the way up from a reseller to its last parent, which
// a reseller that is its own parent would make endless.
const maxResellerDepth = 32

// platform is what was read of it so far. It is immutable.
type platform struct {
	tables    *tables.Tables
	owners    map[uint32]uint32 // context -> reseller
	resellers map[uint32]*Reseller
	read      func(Subject) time.Time // when it was read last; zero: never
}

// ConnectPlatform makes the engine expect contexts and users from the platform's
// database: until one is read, its account is AccountUnread. read tells when
// that was. It is called once, before the engine is used by others.
func (e *Engine) ConnectPlatform(read func(Subject) time.Time) {
	e.mu.Lock()
	old := e.cur.Load()
	sn := *old
	sn.platform = &platform{tables: tables.New(len(e.opt.Schema.decls)), owners: map[uint32]uint32{}, resellers: map[uint32]*Reseller{}, read: read}
	sn.tree = sn.tree.withReseller(&sn)
	sn.generation++
	sn.held = old.held.follow(e, &sn)
	e.publish(old, &sn)
}

// Resellers reports whether the scope reseller is looked at; without it their
// values have no effect.
func (sn *Snapshot) Resellers() bool {
	return slices.ContainsFunc(sn.tree.path, func(p provider) bool { return p.scope() == ScopeReseller })
}

// withReseller is the tree with the scope reseller in its path where no file
// names a path: that is the existing system's default.
func (t *compiled) withReseller(sn *Snapshot) *compiled {
	if sn.platform == nil || !t.standard || t.server.at(scopesID) != nil {
		return t
	}
	next := *t
	next.path = nil
	for _, s := range tables.ScopeOrder {
		next.path = append(next.path, providers[s])
	}
	next.standard = false
	next.locks = slices.Clone(next.path)
	slices.Reverse(next.locks)
	next.final = slices.Clone(t.final)
	for p, at := range next.final {
		if at == 0 {
			continue
		}
		// The number is an index into the path, of which one more scope is part.
		scope := t.path[at-1].scope()
		next.final[p] = uint8(1 + slices.Index(tables.ScopeOrder, scope))
	}
	return &next
}

// ApplyPlatform takes what was read: each context and user replaces what was
// known of it. resellers replace all; nil leaves them. known tells that subjects
// which were read before may have changed: then the subscribers are told.
func (e *Engine) ApplyPlatform(contexts []PlatformContext, users []PlatformUser, resellers []Reseller, known bool) error {
	e.mu.Lock()
	old := e.cur.Load()
	if old.platform == nil {
		e.mu.Unlock()
		return fmt.Errorf("no platform is connected")
	}
	b := old.platform.batch(old.names, contexts, users)
	ed := old.names.Edit()
	t, err := old.platform.tables.Apply(b, ed, time.Now())
	if err != nil {
		e.mu.Unlock()
		return err
	}
	sn, next := *old, *old.platform
	next.tables = t
	if len(contexts) > 0 {
		next.owners = maps.Clone(next.owners)
		for _, c := range contexts {
			if delete(next.owners, c.ID); c.Reseller != 0 && !c.Missing {
				next.owners[c.ID] = c.Reseller
			}
		}
	}
	if resellers != nil {
		next.resellers = make(map[uint32]*Reseller, len(resellers))
		for i := range resellers {
			next.resellers[resellers[i].ID] = &resellers[i]
			for name := range resellers[i].Config {
				ed.Add(name)
			}
		}
	}
	e.rename(b)
	sn.platform, sn.names = &next, ed.Table()
	sn.generation++
	sn.held = old.held.follow(e, &sn)
	if known {
		e.publish(old, &sn)
		return nil
	}
	// Nobody has been answered for a subject that was not read: there is nothing
	// to ask again.
	sn.memo = e.nextMemo(&sn)
	e.cur.Store(&sn)
	e.mu.Unlock()
	return nil
}

// ForgetPlatform drops what was read of subjects, so that they are unread.
func (e *Engine) ForgetPlatform(gone []Subject) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.cur.Load()
	b := &Batch{Forget: gone}
	for _, su := range gone {
		b.DeleteOverrides = append(b.DeleteOverrides, old.platform.keys(old.names, su)...)
	}
	t, err := old.platform.tables.Apply(b, old.names.Edit(), time.Now())
	if err != nil {
		return err
	}
	for _, su := range gone {
		if sh, _ := old.tables.Record(su.Context, su.User); sh == nil {
			e.people.Put(people.Subject(su), &people.Names{})
		}
	}
	sn, next := *old, *old.platform
	next.tables, next.owners = t, maps.Clone(next.owners)
	for _, su := range gone {
		if su.User == 0 {
			delete(next.owners, su.Context)
		}
	}
	sn.platform = &next
	sn.generation++
	sn.held = old.held.follow(e, &sn)
	sn.memo = e.nextMemo(&sn)
	e.cur.Store(&sn)
	return nil
}

// batch is the change that makes subjects what was read of them.
func (pl *platform) batch(names *tables.Names, contexts []PlatformContext, users []PlatformUser) *Batch {
	b := &Batch{}
	replace := func(su Subject, config []Override) {
		keep := make(map[string]bool, len(config))
		for _, o := range config {
			o.Subject, o.Platform = su, true
			keep[o.Property] = true
			b.Overrides = append(b.Overrides, o)
		}
		for _, k := range pl.keys(names, su) {
			if !keep[k.Property] {
				b.DeleteOverrides = append(b.DeleteOverrides, k)
			}
		}
	}
	for i := range contexts {
		c := &contexts[i]
		if c.Missing {
			// Its users are answered for by the context: they keep what was read.
			b.Forget = append(b.Forget, Subject{Context: c.ID})
			b.Missing = append(b.Missing, Subject{Context: c.ID})
			replace(Subject{Context: c.ID}, nil)
			continue
		}
		b.Contexts = append(b.Contexts, c.Context)
		replace(Subject{Context: c.ID}, c.Config)
	}
	for i := range users {
		u := &users[i]
		su := Subject{Context: u.Context, User: u.ID}
		if u.Missing {
			b.DeleteUsers = append(b.DeleteUsers, su)
			continue
		}
		b.Users = append(b.Users, u.User)
		replace(su, u.Config)
	}
	return b
}

// keys lists the values that were read of one subject. Without its record nothing
// was.
func (pl *platform) keys(names *tables.Names, su Subject) (keys []Key) {
	if sh, _ := pl.tables.Record(su.Context, su.User); sh == nil {
		return nil
	}
	pl.tables.EachOverride(su.Context, su.User, func(p uint32, _ bool) { keys = append(keys, Key{Subject: su, Property: names.List[p]}) })
	return keys
}

// context is what was read of a context; nil: nothing, or that there is none.
func (pl *platform) context(id uint32) *tables.Entry {
	if pl == nil {
		return nil
	}
	if c := pl.tables.Context(id); c != nil && !c.Deleted {
		return c
	}
	return nil
}

// account is the state of a subject in the platform's database.
func (pl *platform) account(su Subject) Account {
	switch sh, rec := pl.tables.Record(su.Context, 0); {
	case sh == nil:
		return AccountUnread
	case rec&tables.RecDeleted != 0:
		return ContextDeleted
	case rec&tables.RecEnabled == 0:
		return ContextDisabled
	}
	if su.User == 0 {
		return AccountOpen
	}
	switch sh, rec := pl.tables.Record(su.Context, su.User); {
	case sh == nil:
		return AccountUnread
	case rec&tables.RecDeleted != 0:
		return UserDeleted
	case rec&tables.RecEnabled == 0:
		return UserDisabled
	}
	return AccountOpen
}

// chain calls f with the reseller of a context and its parents, the next first,
// until f returns false.
func (pl *platform) chain(context uint32, f func(*Reseller) bool) {
	if pl == nil {
		return
	}
	id := pl.owners[context]
	for range maxResellerDepth {
		r := pl.resellers[id]
		if r == nil || !f(r) || r.Parent == id {
			return
		}
		id = r.Parent
	}
}

// PlatformOrigin is a place in the platform's database.
type PlatformOrigin struct {
	Attribute string     `json:"attribute"`          // such as config/com.openexchange.x
	Of        string     `json:"of"`                 // user, context or reseller
	Reseller  string     `json:"reseller,omitempty"` // its name
	Read      *time.Time `json:"read"`               // when it was read last
}

// String is the origin in a sentence.
func (o *PlatformOrigin) String() string {
	what := o.Of + " attribute " + o.Attribute
	if o.Of == ScopeReseller {
		what = fmt.Sprintf("property %s of reseller %s", strings.TrimPrefix(o.Attribute, "config/"), o.Reseller)
	}
	age := ""
	if o.Read != nil {
		age = fmt.Sprintf(", read %v ago", time.Since(*o.Read).Round(time.Second))
	}
	return what + " (platform database" + age + ")"
}

func (pl *platform) origin(of, property string, su Subject) *PlatformOrigin {
	o := &PlatformOrigin{Attribute: "config/" + property, Of: of}
	if at := pl.read(su); !at.IsZero() {
		at = at.UTC()
		o.Read = &at
	}
	return o
}

// resellerScope is the scope reseller: the properties of the context's reseller,
// else of its parent, and so on. They have no metadata.
type resellerScope struct{}

func (resellerScope) scope() string { return ScopeReseller }

func (resellerScope) find(sn *Snapshot, su Subject, p uint32) (h hit, ok bool) {
	if sn.platform == nil || su.Context == 0 || len(sn.platform.resellers) == 0 {
		return hit{}, false
	}
	name := sn.names.List[p]
	sn.platform.chain(su.Context, func(r *Reseller) bool {
		text, has := r.Config[name]
		if has {
			h, ok = hit{i: r.ID, bits: tables.BoolBits(text)}, true
		}
		return !has
	})
	return h, ok
}

func (resellerScope) text(sn *Snapshot, p uint32, h hit) string {
	return sn.platform.resellers[h.i].Config[sn.names.List[p]]
}

func (resellerScope) good(*Snapshot, uint32, hit) (string, bool) { return "", false }

func (resellerScope) origin(sn *Snapshot, p uint32, h hit) *Origin {
	o := sn.platform.origin(ScopeReseller, sn.names.List[p], Subject{})
	o.Reseller = sn.platform.resellers[h.i].Name
	return &Origin{Platform: o}
}

func (resellerScope) lock(*Snapshot, Subject, uint32) string        { return "" }
func (resellerScope) lockOrigin(*Snapshot, Subject, uint32) *Origin { return nil }

func (resellerScope) names(sn *Snapshot, su Subject, add func(uint32)) {
	sn.platform.chain(su.Context, func(r *Reseller) bool {
		for name := range r.Config {
			if p, ok := sn.names.ID(name); ok {
				add(p)
			}
		}
		return true
	})
}
