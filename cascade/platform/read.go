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

// read reads subjects, hands the engine what is new, and remembers when. Of
// contexts that were read within age it reads the users alone. It returns how many
// queries that took.
func (p *Platform) read(ctx context.Context, subjects []cascade.Subject, age time.Duration) (queries int, err error) {
	select {
	case p.reads <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-p.reads }()
	if p.anew.Swap(false) {
		clear(p.absent)
		clear(p.resting)
		clear(p.homes)
	}
	if len(p.homes) > maxHomes {
		clear(p.homes)
	}
	q := &round{p: p, ctx: ctx}
	defer func() {
		queries = q.n
		if ctx.Err() == nil {
			p.note(err)
		}
	}()
	err = p.readRound(q, subjects, age)
	return queries, err
}

func (p *Platform) readRound(q *round, subjects []cascade.Subject, age time.Duration) error {
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
		if err := p.fill(q, &f, subjects, age); err != nil {
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
	if err := q.ctx.Err(); err != nil {
		return err
	}
	// The pool bounds each answer by readTimeout. A context that can end would cost
	// two goroutines for each query, which are more than the rest of a small one.
	ctx := context.WithoutCancel(q.ctx)
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

// fill reads contexts, then what is in their user databases. Users of a context
// that was read within age and who are not where they were then may have moved
// with it: both are read.
func (p *Platform) fill(q *round, f *found, subjects []cascade.Subject, age time.Duration) error {
	byContext := map[uint32][]uint32{}
	for _, su := range subjects {
		list := byContext[su.Context]
		if su.User != 0 && !slices.Contains(list, su.User) {
			list = append(list, su.User)
		}
		byContext[su.Context] = list
	}
	var ids []uint32
	places, now := map[place][]uint32{}, time.Now()
	for id := range byContext {
		if h, ok := p.homes[id]; ok && len(byContext[id]) > 0 && now.Sub(h.at) < age {
			places[h.place] = append(places[h.place], id)
		} else {
			ids = append(ids, id)
			f.contexts[id] = &cascade.PlatformContext{Context: cascade.Context{ID: id}, Missing: true}
		}
		for _, u := range byContext[id] {
			f.users[cascade.Subject{Context: id, User: u}] = &cascade.PlatformUser{User: cascade.User{Context: id, ID: u}, Missing: true}
		}
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		if err := p.fillContexts(q, f, ids, places); err != nil {
			return err
		}
	}
	if err := p.fillPlaces(q, f, places, byContext); err != nil {
		return err
	}
	for _, id := range ids {
		delete(p.homes, id)
	}
	for at, list := range places {
		for _, id := range list {
			if f.contexts[id] != nil {
				p.homes[id] = home{at, now}
			}
		}
	}
	var moved []cascade.Subject
	for su, u := range f.users {
		if u.Missing && f.contexts[su.Context] == nil {
			moved = append(moved, su)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	return p.fill(q, f, moved, 0)
}

// fillPlaces reads user databases. One that does not answer rests for a while.
func (p *Platform) fillPlaces(q *round, f *found, places map[place][]uint32, byContext map[uint32][]uint32) error {
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
