package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/seed47708276/sluice/cascade/store"
)

// transaction is one try.
type transaction struct {
	*attempt
	ctx        context.Context
	tx         *sql.Tx
	rev        uint64 // of the head that it saw
	committing bool   // COMMIT was sent

	records map[store.Key]*store.Record // what was read, and what the group made of it; nil: there is none
	changed []store.Key                 // in their order
	dirty   map[store.Key]bool
	ids     map[store.Key]string
	marks   marks
}

// run tries once. After an error nothing more is said in the transaction.
func (t *transaction) run(db *sql.DB) (made []store.Sealed, err error) {
	if t.tx, err = db.BeginTx(t.ctx, nil); err != nil {
		return nil, err
	}
	defer func() { _ = t.tx.Rollback() }() // what it says after an error is worth nothing
	// The head first: it keeps others out.
	h, err := scanHead(t.tx.QueryRowContext(t.ctx, selectHead+" FOR UPDATE"))
	if err != nil {
		return nil, err
	}
	t.rev = h.Head.Revision
	if err := t.prefetch(h.Head); err != nil {
		return nil, err
	}
	done := map[string]store.Entry{}
	if t.lookup || t.giveUp {
		if done, err = t.requested(); err != nil {
			return nil, err
		}
	}
	at := h.Head
	for _, p := range t.group {
		p.Entry, p.Err = store.Entry{}, nil
		if e, there := done[p.Write.Request]; there {
			if p.Err = store.Again(&e, p.Write); p.Err == nil {
				p.Entry = e
			}
			continue
		}
		x, err := t.decide(p.Write, at)
		if err != nil {
			if !isAnswer(err) {
				return nil, err
			}
			p.Err = err
			continue
		}
		made, at = append(made, x), x.Head()
		done[p.Write.Request] = x.Entry
		if p.Entry = x.Entry; t.giveUp {
			p.Entry, p.Err = store.Entry{}, &store.GivenUpError{Request: p.Write.Request}
		}
	}
	if len(made) == 0 {
		return nil, t.tx.Rollback()
	}
	if err := t.write(made, at); err != nil {
		return nil, err
	}
	t.committing = true
	return made, t.tx.Commit()
}

// isAnswer reports whether an error is the answer of a write, and none of the
// transaction.
func isAnswer(err error) bool {
	return errors.As(err, new(*store.ConditionError)) || errors.As(err, new(*store.NotFoundError)) || errors.As(err, new(*store.BadWriteError))
}

// decide seals a write by the rules, and has what it changes be seen by those
// that follow in the group.
func (t *transaction) decide(w *store.Write, at store.Head) (store.Sealed, error) {
	if t.giveUp {
		return store.Seal(at, &store.Write{Actor: w.Actor, Action: store.ActionGivenUp, Reason: "the database did not answer in time; what was asked: " + clip(w.Reason), Request: w.Request}, []store.Changed{})
	}
	changes, err := store.Decide(t, w)
	if err != nil {
		return store.Sealed{}, err
	}
	x, err := store.Seal(at, w, changes)
	if err != nil {
		return x, err
	}
	if limit := t.d.maxText(t.ctx, t.tx); len(x.Text) > limit {
		return x, &store.BadWriteError{Reason: fmt.Sprintf("the write has %d bytes, and the database takes %d (half of its max_allowed_packet): do it in parts", len(x.Text), limit)}
	}
	for _, c := range x.Changes {
		if !t.dirty[c.Key] {
			t.dirty[c.Key] = true
			t.changed = append(t.changed, c.Key)
		}
		t.records[c.Key] = nil
		if c.After != nil {
			t.records[c.Key] = &store.Record{Key: c.Key, State: *c.After}
		}
	}
	return x, nil
}

// clip bounds a reason that is quoted in another.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 1000)], "") }

// maxText bounds the text of an entry: with its escapes it must fit a packet.
func (d *Database) maxText(ctx context.Context, tx *sql.Tx) int {
	d.mu.Lock()
	packet := d.packet
	d.mu.Unlock()
	if packet == 0 {
		if tx.QueryRowContext(ctx, "SELECT @@max_allowed_packet").Scan(&packet) != nil || packet <= 0 {
			packet = 1 << 20 // the next statement fails as this has
		}
		d.mu.Lock()
		d.packet = packet
		d.mu.Unlock()
	}
	return max(packet/2-packetSlack, packetSlack/4)
}

// requested returns the entries of writes of the group that are there.
func (t *transaction) requested() (map[string]store.Entry, error) {
	args := make([]any, len(t.group))
	for i, p := range t.group {
		args[i] = []byte(p.Write.Request)
	}
	rows, err := t.tx.QueryContext(t.ctx, "SELECT req, text FROM sluice_entry WHERE req IN ("+places(len(args), "?")+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	done := make(map[string]store.Entry)
	for rows.Next() {
		var req, text []byte
		var e store.Entry
		if err := rows.Scan(&req, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("the entry of the request %s does not parse: %w", req, err)
		}
		done[string(req)] = e
	}
	return done, rows.Err()
}

// write puts entries, what they lead to, and the head into the transaction.
func (t *transaction) write(made []store.Sealed, at store.Head) error {
	s := statement{t: t, begin: "INSERT INTO sluice_entry (rev, req, chain, at, text) VALUES ", mark: "(?,?,?,?,?)"}
	for i := range made {
		x := &made[i]
		if err := s.add(len(x.Text), x.Revision, []byte(x.Request), x.Chain[:], x.Time, x.Text); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	put := statement{t: t, begin: "INSERT INTO sluice_record (id, body) VALUES ", mark: "(?,?)", end: " ON DUPLICATE KEY UPDATE body = VALUES(body)"}
	remove := statement{t: t, begin: "DELETE FROM sluice_record WHERE id IN (", mark: "?", end: ")"}
	for _, k := range t.changed {
		r := t.records[k]
		if r == nil {
			if err := remove.add(len(t.id(k)), []byte(t.id(k))); err != nil {
				return err
			}
			continue
		}
		body, err := json.Marshal(r)
		if err == nil {
			err = put.add(len(body), []byte(t.id(k)), body)
		}
		if err != nil {
			return err
		}
	}
	if err := put.add(0, []byte(markID), []byte(mark(at))); err != nil {
		return err
	}
	if err := errors.Join(put.flush(), remove.flush()); err != nil {
		return err
	}
	if at.Revision > maxLog && at.Revision/trimAtOnce != t.rev/trimAtOnce {
		if _, err := t.tx.ExecContext(t.ctx, "DELETE FROM sluice_entry WHERE rev <= ? ORDER BY rev LIMIT ?", at.Revision-maxLog, 2*trimAtOnce); err != nil {
			return err
		}
	}
	done, err := t.tx.ExecContext(t.ctx, "UPDATE sluice_head SET rev = ?, chain = ? WHERE one = 1", at.Revision, at.Chain[:])
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errNoSetup)
	}
	return nil
}

// statement has many rows, and is sent in parts that fit a packet.
type statement struct {
	t                *transaction
	begin, mark, end string
	args             []any
	rows, size       int
}

func (s *statement) add(size int, args ...any) error {
	if s.rows > 0 && (s.rows == maxRows || s.size+size > maxRowBytes) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.args, s.rows, s.size = append(s.args, args...), s.rows+1, s.size+size
	return nil
}

func (s *statement) flush() error {
	if s.rows == 0 {
		return nil
	}
	_, err := s.t.tx.ExecContext(s.t.ctx, s.begin+places(s.rows, s.mark)+s.end, s.args...)
	s.args, s.rows, s.size = nil, 0, 0
	return err
}

// places are n marks for values.
func places(n int, mark string) string {
	return strings.TrimSuffix(strings.Repeat(mark+",", n), ",")
}
