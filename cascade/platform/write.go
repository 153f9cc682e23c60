package platform

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/exchange"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

const (
	// writeTimeout bounds a write: below what a request waits for.
	writeTimeout = 15 * time.Second
	// maxTries is how often a write begins anew that lost to another one, each
	// time after a random part of retryPause.
	maxTries   = 5
	retryPause = 100 * time.Millisecond
	// A value that was written is read again until it shows, every showEvery and
	// for showWithin: the platform may read from a replica.
	showEvery  = 100 * time.Millisecond
	showWithin = 2 * time.Second
)

// CacheTime is how long the platform's middleware may answer for a user from
// its cache of attributes, which a change by SQL does not clear.
const CacheTime = 300 * time.Second

var (
	// ErrReadOnly is returned while sluice.platform.write is false.
	ErrReadOnly = errors.New(PropWrite + " is false: Sluice only reads the platform's database")
	// ErrNotThere is returned where there is nothing to remove.
	ErrNotThere = errors.New("the platform has no such attribute")
	// ErrUnconfirmed is returned for a write whose COMMIT was not answered.
	ErrUnconfirmed = errors.New("the platform's database did not answer at the end: the write may be done, or not; the same write may be sent again")
)

// CaseError is returned where the attribute is there in another case: the
// database takes both for one, the platform does not.
type CaseError struct{ Have, Want string }

func (e *CaseError) Error() string {
	return fmt.Sprintf("the platform's database has the attribute %q, which it takes for %q, and the middleware reads neither as the other: remove it with the platform's own tools first", e.Have, e.Want)
}

// Write is what is to be stored.
type Write struct {
	Subject  cascade.Subject // a context, or a user
	Property string
	Value    *string // nil: the attribute is removed
	DryRun   bool    // everything but the end
	// Record is told what changes before it does, while the row is locked. Where it
	// fails, nothing is written.
	Record func(Change) error
}

// Change is what a write changes.
type Change struct {
	Attribute string
	Table     string  // with its database
	Before    *string // as stored; nil: there is none
	After     *string
}

// Write changes one attribute of the platform in one transaction, in the form
// that its own code writes. It returns what changes as soon as that is known,
// also beside an error.
func (p *Platform) Write(ctx context.Context, w Write) (Change, error) {
	if !p.opt.Write() {
		return Change{}, ErrReadOnly
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	pool, schema, err := p.writer(ctx, w.Subject)
	if err != nil {
		return Change{}, err
	}
	var c Change
	for try := 1; ; try++ {
		node := pool.Pick(ctx)
		c, err = p.transact(ctx, node.DB(), schema, &w)
		node.Note(err)
		if class := sqlpool.Classify(err); try == maxTries || class != sqlpool.Conflict && class != sqlpool.Duplicate {
			break
		}
		pause := time.NewTimer(mathrand.N(retryPause))
		select {
		case <-ctx.Done():
			pause.Stop()
			return c, ctx.Err()
		case <-pause.C:
		}
	}
	if err != nil {
		return c, sqlpool.Explain(err)
	}
	if !w.DryRun {
		p.show(ctx, w.Subject, w.Property, &c)
	}
	return c, nil
}

// writer finds the server on which the attributes of a context are written.
func (p *Platform) writer(ctx context.Context, su cascade.Subject) (pool *sqlpool.Pool, schema string, err error) {
	select {
	case p.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	defer func() { <-p.reads }()
	q := &round{p: p, ctx: ctx}
	if err := p.readRound(q, []cascade.Subject{su}, 0); err != nil {
		return nil, "", err
	}
	places := map[place]bool{}
	err = q.rows(p.config, "", "SELECT write_db_pool_id, db_schema FROM "+quote(p.opt.Config.Database)+fmt.Sprintf(".context_server2db_pool WHERE cid = %d", su.Context), func(r *sql.Rows) error {
		var at place
		if err := r.Scan(&at.server, &at.schema); err != nil {
			return err
		}
		places[at] = true
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if len(places) != 1 {
		return nil, "", fmt.Errorf("context_server2db_pool names %d places to write %v to, and one is needed", len(places), cascade.Subject{Context: su.Context})
	}
	for at := range places {
		pool, err = p.pool(at.server, true)
		schema = at.schema
	}
	return pool, schema, err
}

// transact does a write in one transaction. After an error the transaction is
// over, and nothing is done, unless it is ErrUnconfirmed.
func (p *Platform) transact(ctx context.Context, db *sql.DB, schema string, w *Write) (c Change, err error) {
	user := w.Subject.User != 0
	name, _, err := exchange.EncodeAttribute(user, w.Property, "", nil)
	if err != nil {
		return c, err
	}
	table, where, args := "contextAttribute", "cid = ? AND name = ?", []any{w.Subject.Context, name}
	if user {
		table, where, args = "user_attribute", "cid = ? AND id = ? AND name = ?", []any{w.Subject.Context, w.Subject.User, name}
	}
	c = Change{Attribute: name, Table: schema + "." + table}
	table = quote(schema) + "." + quote(table)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return c, err
	}
	over := false
	defer func() {
		if !over {
			_ = tx.Rollback() // what it says proves nothing
		}
	}()
	var have string
	var before sql.NullString
	switch err := tx.QueryRowContext(ctx, "SELECT name, value FROM "+table+" WHERE "+where+" FOR UPDATE", args...).Scan(&have, &before); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return c, err
	case have != name:
		return c, &CaseError{have, name}
	default:
		c.Before = &before.String
	}
	if w.Value != nil {
		_, after, err := exchange.EncodeAttribute(user, w.Property, *w.Value, c.Before)
		if err != nil {
			return c, err
		}
		c.After = &after
	}
	switch {
	case c.Before == nil && c.After == nil:
		return c, ErrNotThere
	case c.After == nil:
		_, err = tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+where, args...)
	case c.Before != nil:
		_, err = tx.ExecContext(ctx, "UPDATE "+table+" SET value = ? WHERE "+where, append([]any{*c.After}, args...)...)
	default:
		err = insert(ctx, tx, table, schema, w.Subject, name, *c.After)
	}
	if err != nil || w.DryRun {
		return c, err
	}
	if w.Record != nil {
		if err := w.Record(c); err != nil {
			return c, err
		}
	}
	over = true
	if err := tx.Commit(); err != nil {
		p.opt.Logger.Error("the end of a write to the platform's database was not answered", slog.String("table", c.Table), slog.Int64("context", int64(w.Subject.Context)), slog.Int64("user", int64(w.Subject.User)), slog.Any("err", err))
		if class := sqlpool.Classify(err); class == sqlpool.Lost || class == sqlpool.Ours {
			return c, fmt.Errorf("%w: %v", ErrUnconfirmed, err) // not %w: whoever tries again looks at the cause
		}
		return c, err
	}
	return c, nil
}

// insert writes a row that is not there, with a uuid of its own where the table
// has that column.
func insert(ctx context.Context, tx *sql.Tx, table, schema string, su cascade.Subject, name, value string) error {
	plain, columns, args := "contextAttribute", "cid, name, value", []any{su.Context, name, value}
	if su.User != 0 {
		plain, columns, args = "user_attribute", "cid, id, name, value", []any{su.Context, su.User, name, value}
	}
	var has int
	err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = ? AND table_name = ? AND column_name = 'uuid'", schema, plain).Scan(&has)
	if err != nil {
		return err
	}
	if has > 0 {
		var id [16]byte
		rand.Read(id[:])                                // never fails (crypto/rand)
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant of RFC 9562
		columns, args = columns+", uuid", append(args, id[:])
	}
	marks := "?"
	for range len(args) - 1 {
		marks += ", ?"
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO "+table+" ("+columns+") VALUES ("+marks+")", args...)
	return err
}

// show reads a subject until what was written of it shows here, or what somebody
// wrote since, and no longer than showWithin: then the next round finds it.
func (p *Platform) show(ctx context.Context, su cascade.Subject, property string, c *Change) {
	ctx, cancel := context.WithTimeout(ctx, showWithin)
	defer cancel()
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		if _, err := p.read(ctx, []cascade.Subject{su}, 0); err == nil && (p.shows(su, property, c.After) || !p.shows(su, property, c.Before)) {
			return
		}
		select {
		case <-ctx.Done():
			p.opt.Logger.Warn("what was written into the platform's database does not show yet in what is read of it", slog.Int64("context", int64(su.Context)), slog.Int64("user", int64(su.User)))
			return
		case <-tick.C:
		}
	}
}

// shows reports whether the engine has an attribute as it is stored.
func (p *Platform) shows(su cascade.Subject, property string, stored *string) bool {
	value, has := p.opt.Engine.Snapshot().PlatformValue(su, property)
	if stored == nil || !has {
		return stored == nil && !has
	}
	a, err := exchange.DecodeAttribute(su, "config/"+property, *stored)
	return err == nil && a.Override != nil && a.Override.Value == value
}

// Reread reads a subject again, for another member has changed it.
func (p *Platform) Reread(ctx context.Context, su cascade.Subject) error {
	_, err := p.read(ctx, []cascade.Subject{su}, 0)
	return err
}
