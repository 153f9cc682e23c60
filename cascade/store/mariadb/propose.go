package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// settleTime is how long a group of writes is tried again; then what is in
	// doubt is given up, which has giveUpTime.
	settleTime = 14 * time.Second
	// refuseAfter is how long nodes that take no transaction are tried: nothing
	// is in doubt, and who asks is told.
	refuseAfter = 4 * time.Second
	giveUpTime  = 15 * time.Second
	// Conflicts are tried again after a random time up to minConflict, doubled up
	// to maxConflict.
	minConflict = 5 * time.Millisecond
	maxConflict = 200 * time.Millisecond
	// Another node is tried after minMove to maxMove.
	minMove = 20 * time.Millisecond
	maxMove = 70 * time.Millisecond
	// stuckAfter is how many conflicts on one revision in a row say that the head
	// is below the entries: it was restored while members wrote.
	stuckAfter = 10
	// maxRows and maxRowBytes bound one statement.
	maxRows     = 1000
	maxRowBytes = 2 << 20
	// packetSlack is what a statement has beside its values.
	packetSlack = 64 << 10
	// maxLog is how many entries are kept, trimAtOnce how many are removed with
	// one write.
	maxLog     = 1_000_000
	trimAtOnce = 1000
)

// Propose implements store.Truth.
func (d *Database) Propose(ctx context.Context, group []*store.Proposal) []store.Sealed {
	settle, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	a := &attempt{d: d, group: group}
	made, err := a.settle(settle)
	if err == nil {
		return made
	}
	if !a.doubt {
		fill(group, asError(err))
		return nil
	}
	// What was perhaps done is either found done, or made never to be.
	giving, cancel := context.WithTimeout(d.ctx, giveUpTime)
	defer cancel()
	a.giveUp = true
	made, gerr := a.settle(giving)
	if gerr == nil {
		return made
	}
	d.opt.Logger.Warn("it is not known whether writes are done: who asked is to ask again", slog.Int("count", len(group)), slog.Any("err", gerr))
	for _, p := range group {
		p.Entry, p.Err = store.Entry{}, &store.UnconfirmedError{Request: p.Write.Request}
	}
	return nil
}

func fill(group []*store.Proposal, err error) {
	for _, p := range group {
		p.Entry, p.Err = store.Entry{}, err
	}
}

// attempt is a group of writes that is tried until it is settled.
type attempt struct {
	d      *Database
	group  []*store.Proposal
	doubt  bool // a COMMIT was sent whose answer did not come
	lookup bool // a write of the group may be there already
	giveUp bool // write that they are not done
}

// settle tries until the group has its answers.
func (a *attempt) settle(ctx context.Context) ([]store.Sealed, error) {
	wait := minConflict
	stuck, stuckAt, start := 0, uint64(0), time.Now()
	for {
		node := a.d.pool.Pick(ctx)
		// A statement ends with the pool's own timeouts: a context that may end costs
		// a goroutine for each, and does not end a COMMIT.
		t := &transaction{attempt: a, ctx: context.WithoutCancel(ctx)}
		made, err := t.run(node.DB())
		node.Note(err)
		class := sqlpool.Classify(err)
		if err == nil {
			if len(made) > 0 {
				a.d.tell(made[len(made)-1].Revision)
			}
			return made, nil
		}
		if t.committing && class == sqlpool.Lost {
			a.doubt, a.lookup = true, true
		}
		pause := time.Duration(0)
		switch class {
		case sqlpool.Conflict:
			pause, wait = rand.N(wait), min(2*wait, maxConflict)
		case sqlpool.Duplicate:
			if sqlpool.DuplicateKey(err) == keyRequest {
				a.lookup = true
			} else if stuck++; t.rev != stuckAt {
				stuck, stuckAt = 1, t.rev
			} else if stuck >= stuckAfter {
				return nil, &store.NoStoreError{Reason: fmt.Sprintf("the head in the database is revision %d, and there are entries above it: a backup was restored while members wrote; stop all members, restore it again, and start them", t.rev)}
			}
			pause, wait = rand.N(wait), min(2*wait, maxConflict)
		case sqlpool.Elsewhere, sqlpool.Lost:
			if !a.doubt && time.Since(start) > refuseAfter {
				return nil, err
			}
			pause = minMove + rand.N(maxMove-minMove)
		case sqlpool.TooLarge:
			if !a.doubt && len(a.group) == 1 {
				return nil, &store.BadWriteError{Reason: sqlpool.Explain(err).Error()}
			}
			return nil, err
		default:
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

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
	done := map[string]store.Entry{}
	if t.lookup || t.giveUp {
		if done, err = t.requested(); err != nil {
			return nil, err
		}
	}
	if !t.giveUp {
		if err := t.prefetch(); err != nil {
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
			p.Entry, p.Err = store.Entry{}, &store.UnavailableError{Err: errors.New("the database did not answer in time")}
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
	rows, err := t.tx.QueryContext(t.ctx, "SELECT req, text FROM sluice_entry WHERE req IN ("+marks(len(args), "?")+")", args...)
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

// prefetch reads the records that the group names.
func (t *transaction) prefetch() error {
	t.records, t.dirty, t.ids = make(map[store.Key]*store.Record), make(map[store.Key]bool), make(map[store.Key]string)
	var args []any
	for _, p := range t.group {
		for i := range p.Write.Changes {
			k := p.Write.Changes[i].Key
			if _, seen := t.records[k]; seen {
				continue
			}
			t.records[k] = nil
			args = append(args, []byte(t.id(k)))
		}
	}
	for len(args) > 0 {
		part := args[:min(len(args), maxRows)]
		args = args[len(part):]
		if err := t.read("SELECT id, body FROM sluice_record WHERE id IN ("+marks(len(part), "?")+")", part...); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) id(k store.Key) string {
	id, there := t.ids[k]
	if !there {
		id = rowID(k)
		t.ids[k] = id
	}
	return id
}

// read takes records that the group has not changed.
func (t *transaction) read(query string, args ...any) error {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		r, err := parseRow(string(id), body)
		if err != nil {
			// It counts for nobody, and is written over.
			t.d.skip(string(id), err)
			continue
		}
		if !t.dirty[r.Key] {
			t.records[r.Key] = r
		}
	}
	return rows.Err()
}

// Get implements store.Records.
func (t *transaction) Get(k store.Key) (*store.Record, error) {
	if r, seen := t.records[k]; seen {
		return r, nil
	}
	t.records[k] = nil
	err := t.read("SELECT id, body FROM sluice_record WHERE id = ?", []byte(t.id(k)))
	return t.records[k], err
}

// Below implements store.Records.
func (t *transaction) Below(k store.Key, kind store.Kind, f func(*store.Record) error) error {
	from, to := fmt.Sprintf("%s:%d:", kind, k.Context), fmt.Sprintf("%s:%d;", kind, k.Context)
	if k.User != 0 {
		from, to = fmt.Sprintf("%s:%d:%d:", kind, k.Context, k.User), fmt.Sprintf("%s:%d:%d;", kind, k.Context, k.User)
	}
	if err := t.read("SELECT id, body FROM sluice_record WHERE id >= ? AND id < ?", []byte(from), []byte(to)); err != nil {
		return err
	}
	var found []store.Key
	for key, r := range t.records {
		if r != nil && key.Kind == kind && key.Context == k.Context && (k.User == 0 || key.User == k.User) {
			found = append(found, key)
		}
	}
	slices.SortFunc(found, func(a, b store.Key) int { return strings.Compare(t.id(a), t.id(b)) })
	for _, key := range found {
		if err := f(t.records[key]); err != nil {
			return err
		}
	}
	return nil
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
	_, err := s.t.tx.ExecContext(s.t.ctx, s.begin+marks(s.rows, s.mark)+s.end, s.args...)
	s.args, s.rows, s.size = nil, 0, 0
	return err
}

// marks are n places for values.
func marks(n int, mark string) string {
	return strings.TrimSuffix(strings.Repeat(mark+",", n), ",")
}
