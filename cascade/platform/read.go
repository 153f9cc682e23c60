package platform

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/exchange"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

// found is what a round of queries brings together.
type found struct {
	contexts map[uint32]*cascade.PlatformContext
	users    map[cascade.Subject]*cascade.PlatformUser
	odd      map[cascade.Subject]map[string]string // rows that do not count as they are
	letters  map[cascade.Subject]map[string]string // names of attributes, by themselves in lower case
	failed   map[uint32]error                      // contexts whose user database could not be read
}

func (f *found) oddity(su cascade.Subject, name, text string) {
	if f.odd[su] == nil {
		f.odd[su] = map[string]string{}
	}
	f.odd[su][name] = text
}

// partError is returned where only some user databases could be read.
type partError struct{ failed map[uint32]error } // by context

func (e *partError) Error() string {
	for _, err := range e.failed {
		return fmt.Sprintf("%v (%d contexts)", err, len(e.failed))
	}
	return "no context failed"
}

// errorOf is the part of a read's error that is about a context.
func errorOf(err error, context uint32) error {
	var part *partError
	if errors.As(err, &part) {
		return part.failed[context]
	}
	return err
}

// read reads subjects, hands the engine what is new, and remembers when. It
// returns how many queries that took.
func (p *Platform) read(ctx context.Context, subjects []cascade.Subject) (queries int, err error) {
	select {
	case p.reads <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-p.reads }()
	if p.anew.Swap(false) {
		clear(p.absent)
		clear(p.resting)
	}
	q := &round{p: p, ctx: ctx}
	defer func() {
		queries = q.n
		if ctx.Err() == nil {
			p.note(err)
		}
	}()
	err = p.readRound(q, subjects)
	return queries, err
}

func (p *Platform) readRound(q *round, subjects []cascade.Subject) error {
	resellers, err := p.global(q)
	if err != nil {
		return err
	}
	start := time.Now()
	f := found{
		contexts: map[uint32]*cascade.PlatformContext{}, users: map[cascade.Subject]*cascade.PlatformUser{},
		odd: map[cascade.Subject]map[string]string{}, letters: map[cascade.Subject]map[string]string{}, failed: map[uint32]error{},
	}
	if len(subjects) > 0 {
		if err := p.fill(q, &f, subjects); err != nil {
			return err
		}
	}
	if err := p.hand(&f, resellers, start); err != nil {
		return err
	}
	if len(f.failed) > 0 {
		return &partError{f.failed}
	}
	return nil
}

// hand gives the engine the subjects that differ from what it knows.
func (p *Platform) hand(f *found, resellers []cascade.Reseller, at time.Time) error {
	var contexts []cascade.PlatformContext
	var users []cascade.PlatformUser
	sums, known := map[cascade.Subject]uint64{}, resellers != nil
	p.mu.Lock()
	differs := func(su cascade.Subject, sum uint64) bool {
		sums[su] = sum
		old, ok := p.seen[su]
		known = known || ok && old.sum != sum
		return !ok || old.sum != sum
	}
	for id, c := range f.contexts {
		if differs(cascade.Subject{Context: id}, sumOf(c)) {
			contexts = append(contexts, *c)
		}
	}
	for su, u := range f.users {
		if differs(su, sumOf(u)) {
			users = append(users, *u)
		}
	}
	p.mu.Unlock()
	if len(contexts)+len(users) > 0 || resellers != nil {
		if err := p.opt.Engine.ApplyPlatform(contexts, users, resellers, known); err != nil {
			return err
		}
	}
	if len(resellers) > 0 && !p.opt.Engine.Snapshot().Resellers() {
		p.opt.Logger.Warn("the platform has resellers, and "+cascade.PropScopes+" leaves the scope reseller out: their values have no effect, as there", slog.Int("resellers", len(resellers)))
	}
	p.mu.Lock()
	for su, sum := range sums {
		p.seen[su] = seen{at, sum}
	}
	p.mu.Unlock()
	for su := range sums {
		p.found(su, f.odd[su])
	}
	return nil
}

// sumOf tells two reads of a subject apart. 2^-64 is the chance that a change is
// not seen. JSON has each field of what it is given, whatever methods its types
// have.
func sumOf(v any) uint64 {
	h := fnv.New64a()
	if err := json.NewEncoder(h).Encode(v); err != nil {
		panic(err) // plain structs of texts, numbers and times
	}
	return h.Sum64()
}

// round is one round of queries.
type round struct {
	p   *Platform
	ctx context.Context
	n   int // queries
}

// rows runs a query on a pool and calls f for each row. A table of the optional
// ones that is not there has no rows.
func (q *round) rows(pool *sqlpool.Pool, optional, query string, f func(*sql.Rows) error) (err error) {
	if optional != "" && q.p.absent[optional] {
		return nil
	}
	q.n++
	q.p.mu.Lock()
	q.p.queries++
	q.p.mu.Unlock()
	ctx, cancel := context.WithTimeout(q.ctx, readTimeout)
	defer cancel()
	node := pool.Pick(ctx)
	defer func() {
		if q.ctx.Err() == nil {
			node.Note(err)
		}
		if optional != "" && sqlpool.Classify(err) == sqlpool.Setup {
			q.p.absent[optional] = true
			q.p.opt.Logger.Info("the platform's database has no " + optional + ": it is done without")
			err = nil
		}
		if err != nil {
			err = sqlpool.Explain(err)
			if sqlpool.Classify(err) == sqlpool.Setup {
				err = fmt.Errorf("%w: this is not the schema of the platform that Sluice reads", err)
			}
		}
	}()
	rows, err := node.DB().QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// quote is a name of a database in a query.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func idList(ids []uint32) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = strconv.FormatUint(uint64(id), 10)
	}
	return strings.Join(list, ",")
}

// place is where the users of a context are.
type place struct {
	server int64
	schema string
}

// fill reads contexts, then what is in their user databases.
func (p *Platform) fill(q *round, f *found, subjects []cascade.Subject) error {
	byContext := map[uint32][]uint32{}
	for _, su := range subjects {
		list := byContext[su.Context]
		if su.User != 0 && !slices.Contains(list, su.User) {
			list = append(list, su.User)
		}
		byContext[su.Context] = list
	}
	var ids []uint32
	for id := range byContext {
		ids = append(ids, id)
		f.contexts[id] = &cascade.PlatformContext{Context: cascade.Context{ID: id}, Missing: true}
		for _, u := range byContext[id] {
			f.users[cascade.Subject{Context: id, User: u}] = &cascade.PlatformUser{User: cascade.User{Context: id, ID: u}, Missing: true}
		}
	}
	slices.Sort(ids)
	in := idList(ids)
	name := quote(p.opt.Config.Database) + "."
	err := q.rows(p.config, "", "SELECT cid, name, enabled FROM "+name+"context WHERE cid IN ("+in+")", func(r *sql.Rows) error {
		var id uint32
		var text sql.NullString
		var enabled sql.NullInt64 // NULL counts as false, as it does for the platform
		if err := r.Scan(&id, &text, &enabled); err != nil {
			return err
		}
		c := f.contexts[id]
		c.Missing, c.Enabled = false, enabled.Int64 != 0
		next := c.Context
		next.Name = text.String
		p.keep(f, cascade.Subject{Context: id}, "name", cascade.Batch{Contexts: []cascade.Context{next}}, func() { c.Context = next })
		return nil
	})
	if err != nil {
		return err
	}
	err = q.rows(p.config, "login2context", "SELECT cid, login_info FROM "+name+"login2context WHERE cid IN ("+in+") ORDER BY cid, login_info", func(r *sql.Rows) error {
		var id uint32
		var login string
		if err := r.Scan(&id, &login); err != nil {
			return err
		}
		c := f.contexts[id]
		next := *c
		next.Logins = append(slices.Clone(c.Logins), login)
		p.keep(f, cascade.Subject{Context: id}, login, cascade.Batch{Contexts: []cascade.Context{next.Context}}, func() { *c = next })
		return nil
	})
	if err != nil {
		return err
	}
	err = q.rows(p.config, "context2subadmin", "SELECT cid, sid FROM "+name+"context2subadmin WHERE cid IN ("+in+")", func(r *sql.Rows) error {
		var id, sid uint32
		if err := r.Scan(&id, &sid); err != nil {
			return err
		}
		f.contexts[id].Reseller = sid
		return nil
	})
	if err != nil {
		return err
	}
	places := map[place][]uint32{}
	err = q.rows(p.config, "", "SELECT cid, read_db_pool_id, db_schema FROM "+name+"context_server2db_pool WHERE cid IN ("+in+")", func(r *sql.Rows) error {
		var id uint32
		var at place
		if err := r.Scan(&id, &at.server, &at.schema); err != nil {
			return err
		}
		if !slices.Contains(places[at], id) { // one for each server that is registered
			places[at] = append(places[at], id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for at, ids := range places {
		rest := p.resting[at]
		if rest.err == nil || time.Now().After(rest.till) {
			rest.err = p.fillUsers(q, f, at, ids, byContext)
			if q.ctx.Err() != nil {
				return q.ctx.Err()
			}
			rest.till = time.Now().Add(restOfSchema)
			p.resting[at] = rest
		}
		if rest.err == nil {
			continue
		}
		// What came of them is not whole: what was known before counts.
		for _, id := range ids {
			f.failed[id] = fmt.Errorf("the user database %s: %w", at.schema, rest.err)
			delete(f.contexts, id)
			for _, u := range byContext[id] {
				delete(f.users, cascade.Subject{Context: id, User: u})
			}
		}
	}
	return nil
}

// keep changes an entry where the engine will take it, else reports the row.
func (p *Platform) keep(f *found, su cascade.Subject, name string, after cascade.Batch, change func()) {
	if err := after.Check(); err != nil {
		f.oddity(su, name, err.Error())
		return
	}
	change()
}

// fillUsers reads one user database.
func (p *Platform) fillUsers(q *round, f *found, at place, ids []uint32, byContext map[uint32][]uint32) error {
	pool, err := p.pool(at.server, false)
	if err != nil {
		return err
	}
	slices.Sort(ids)
	name := quote(at.schema) + "."
	err = q.rows(pool, "", "SELECT cid, name, value FROM "+name+"contextAttribute WHERE cid IN ("+idList(ids)+") AND value IS NOT NULL AND (name = 'taxonomy/types' OR name LIKE 'config/%') ORDER BY cid, name", func(r *sql.Rows) error {
		var id uint32
		var attribute, value string
		if err := r.Scan(&id, &attribute, &value); err != nil {
			return err
		}
		c, su := f.contexts[id], cascade.Subject{Context: id}
		a, err := exchange.DecodeAttribute(su, attribute, value)
		f.take(su, attribute, a, err)
		if a.Override != nil {
			c.Config = append(c.Config, *a.Override)
		}
		if a.Tags != nil {
			next := c.Context
			next.Tags = a.Tags
			p.keep(f, su, attribute, cascade.Batch{Contexts: []cascade.Context{next}}, func() { c.Tags = a.Tags })
		}
		return nil
	})
	if err != nil {
		return err
	}
	// One range of the primary key for each context: a list of pairs would be a
	// scan of the table.
	where := func(table, user string) string {
		var parts []string
		for _, id := range ids {
			if list := byContext[id]; len(list) > 0 {
				slices.Sort(list)
				parts = append(parts, fmt.Sprintf("%s.cid = %d AND %s.%s IN (%s)", table, id, table, user, idList(list)))
			}
		}
		return strings.Join(parts, " OR ")
	}
	if where("u", "id") == "" {
		return nil
	}
	err = q.rows(pool, "", "SELECT u.cid, u.id, u.mailEnabled, c.permissions FROM "+name+"user AS u LEFT JOIN "+name+"user_configuration AS c ON c.cid = u.cid AND c.user = u.id WHERE "+where("u", "id"), func(r *sql.Rows) error {
		var su cascade.Subject
		var enabled sql.NullInt64
		var bits sql.NullString
		if err := r.Scan(&su.Context, &su.User, &enabled, &bits); err != nil {
			return err
		}
		u := f.users[su]
		u.Missing, u.Enabled = false, enabled.Int64 != 0
		if bits.Valid {
			list, err := exchange.PermissionNames(bits.String)
			if err != nil {
				f.oddity(su, "permissions", err.Error())
			}
			u.Permissions = list
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = q.rows(pool, "", "SELECT a.cid, a.id, a.name, a.value FROM "+name+"user_attribute AS a WHERE ("+where("a", "id")+") AND a.value IS NOT NULL AND a.name LIKE 'config/%' ORDER BY a.cid, a.id, a.name", func(r *sql.Rows) error {
		var su cascade.Subject
		var attribute, value string
		if err := r.Scan(&su.Context, &su.User, &attribute, &value); err != nil {
			return err
		}
		a, err := exchange.DecodeAttribute(su, attribute, value)
		f.take(su, attribute, a, err)
		if u := f.users[su]; a.Override != nil {
			u.Config = append(u.Config, *a.Override)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.fillNames(q, f, pool, name, where)
}

// fillNames reads what users are called.
func (p *Platform) fillNames(q *round, f *found, pool *sqlpool.Pool, name string, where func(table, user string) string) error {
	for _, n := range []struct {
		optional, query string
		set             func(*cascade.User, string)
	}{
		{
			"login2user", "SELECT l.cid, l.id, l.uid FROM " + name + "login2user AS l WHERE " + where("l", "id") + " ORDER BY l.cid, l.id, l.uid",
			func(u *cascade.User, s string) {
				if u.Login == "" {
					u.Login = s
				}
			},
		},
		{
			"column mail of user", "SELECT u.cid, u.id, u.mail FROM " + name + "user AS u WHERE (" + where("u", "id") + ") AND u.mail IS NOT NULL",
			func(u *cascade.User, s string) { u.Mails = appendNew(u.Mails, s) },
		},
		{
			"user_alias", "SELECT a.cid, a.user, a.alias FROM " + name + "user_alias AS a WHERE " + where("a", "user") + " ORDER BY a.cid, a.user, a.alias",
			func(u *cascade.User, s string) { u.Mails = appendNew(u.Mails, s) },
		},
		{
			"prg_contacts", "SELECT c.cid, c.userid, c.field01 FROM " + name + "prg_contacts AS c WHERE (" + where("c", "userid") + ") AND c.field01 IS NOT NULL",
			func(u *cascade.User, s string) { u.DisplayName = s },
		},
	} {
		err := q.rows(pool, n.optional, n.query, func(r *sql.Rows) error {
			var su cascade.Subject
			var text string
			if err := r.Scan(&su.Context, &su.User, &text); err != nil {
				return err
			}
			u := f.users[su]
			if u == nil || text == "" {
				return nil
			}
			next := u.User
			n.set(&next, text)
			p.keep(f, su, n.optional, cascade.Batch{Users: []cascade.User{next}}, func() { u.User = next })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clip(list), s)
}

// take reports what of an attribute does not count, and names that differ from
// another one by their case alone: the platform takes them for two, and whoever
// wrote them hardly did.
func (f *found) take(su cascade.Subject, name string, a exchange.Attribute, err error) {
	if a.Override != nil {
		if f.letters[su] == nil {
			f.letters[su] = map[string]string{}
		}
		lower := strings.ToLower(name)
		if other, has := f.letters[su][lower]; has {
			f.oddity(su, name, fmt.Sprintf("it differs from %q by the case of its letters only, and counts apart from it", other))
		}
		f.letters[su][lower] = name
	}
	if err != nil {
		f.oddity(su, name, err.Error())
	}
	if len(a.Notes) > 0 {
		f.oddity(su, name, strings.Join(a.Notes, "; "))
	}
}
