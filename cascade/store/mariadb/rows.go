package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/seed47708276/sluice/cascade/store"
)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// entries reads the log after a revision up to another. One that does not parse
// is replaced by one that says so.
func (d *Database) entries(ctx context.Context, q querier, after, until uint64, limit int) (list []store.Sealed, err error) {
	rows, err := q.QueryContext(ctx, "SELECT rev, chain, text FROM sluice_entry WHERE rev > ? AND rev <= ? ORDER BY rev LIMIT ?", after, until, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	size := 0
	for rows.Next() && size < sinceBytes {
		var rev uint64
		var chain, text []byte
		if err := rows.Scan(&rev, &chain, &text); err != nil {
			return nil, err
		}
		if len(chain) != len(store.Chain{}) {
			chain = make([]byte, len(store.Chain{}))
		}
		x, err := store.Unseal(rev, store.Chain(chain), text)
		if err != nil {
			d.skip(fmt.Sprintf("entry %d", rev), err)
			x = unreadable(rev, store.Chain(chain))
		}
		size += len(text)
		list = append(list, x)
	}
	return list, rows.Err()
}

// unreadable stands for an entry that does not parse.
func unreadable(rev uint64, chain store.Chain) store.Sealed {
	e := store.Entry{Revision: rev, Action: "unreadable", Reason: "the row in sluice_entry does not parse: someone changed it", Changes: []store.Changed{}}
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // it has no field that cannot be written
	}
	return store.Sealed{Entry: e, Chain: chain, Text: text}
}

// skip remembers a row that does not parse, and says so once.
func (d *Database) skip(key string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.skipped) == maxSkipped || slices.Contains(d.skipped, key) {
		return
	}
	d.skipped = append(d.skipped, key)
	d.opt.Logger.Error("a row in the database does not parse and does not count: set it again, or delete it", slog.String("key", key), slog.Any("err", err))
}

// Skipped are the keys of rows that do not parse.
func (d *Database) Skipped() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.skipped...)
}

// Load implements store.Truth.
func (d *Database) Load(ctx context.Context, records func([]store.Record) error, entries func([]store.Sealed) error) (st store.Standing, err error) {
	node := d.pool.Pick(ctx)
	ours := false // an error of records or entries
	defer func() {
		if !ours {
			node.Note(err)
			err = asError(err)
		}
	}()
	tx, err := node.DB().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return st, err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	h, err := scanHead(tx.QueryRowContext(ctx, selectHead))
	if err != nil {
		return st, err
	}
	if err := whole(ctx, tx, h.Head); err != nil {
		return st, err
	}
	d.mu.Lock()
	d.skipped = nil
	d.mu.Unlock()
	for after := ""; ; {
		list, last, err := d.page(ctx, tx, after)
		if err != nil {
			return st, err
		}
		if last == "" {
			break
		}
		if err := records(list); err != nil {
			ours = true
			return st, err
		}
		after = last
	}
	for at := uint64(0); at < h.Head.Revision; {
		list, err := d.entries(ctx, tx, at, h.Head.Revision, loadRecords)
		if err != nil {
			return st, err
		}
		if len(list) == 0 {
			break
		}
		at = list[len(list)-1].Revision
		if err := entries(list); err != nil {
			ours = true
			return st, err
		}
	}
	return h.Standing, nil
}

// page reads records after a key.
func (d *Database) page(ctx context.Context, tx *sql.Tx, after string) (list []store.Record, last string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, body FROM sluice_record WHERE id > ? ORDER BY id LIMIT ?", []byte(after), loadRecords)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var id, body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return nil, "", err
		}
		if last = string(id); last == markID {
			continue
		}
		if r, err := parseRow(last, body); err != nil {
			d.skip(last, err)
		} else {
			list = append(list, *r)
		}
	}
	return list, last, rows.Err()
}

// rowID names a record.
func rowID(k store.Key) string {
	return fmt.Sprintf("%s:%d:%d:%s", k.Kind, k.Context, k.User, k.Name)
}

func parseRow(id string, body []byte) (*store.Record, error) {
	r := new(store.Record)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, err
	}
	if rowID(r.Key) != id {
		return nil, fmt.Errorf("it holds %s", r.Key)
	}
	return r, r.Check()
}
