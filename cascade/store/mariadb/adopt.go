package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// adoptRows and adoptBytes bound one read of the file, and so one transaction:
	// a large one would hold up every node.
	adoptRows  = 1000
	adoptBytes = 2 << 20
)

// Adopt makes what a member's file has the truth in the database. Without force
// it returns store.ErrBehind where the database holds decisions that the file
// has not. While it works the database has no head, and nothing is written; where
// it ends early it is run again. It is called as store.Adoption.Register is.
func (d *Database) Adopt(ctx context.Context, s *store.Store, head store.Head, force bool) (id store.Identity, err error) {
	node := d.pool.Pick(ctx)
	defer func() { node.Note(err) }()
	db := node.DB()
	h, err := scanHead(db.QueryRowContext(ctx, selectHead))
	switch {
	case errors.Is(err, errNoSetup):
		// Of an adoption that ended early; where there are no tables, that is said next.
	case err != nil:
		return id, asError(err)
	case h.Head.Revision > 0 && h.Head != head && !force:
		if had, err := s.Had(h.Head); err != nil || had {
			if err != nil {
				return id, err
			}
			break // the file has gone on from there
		}
		return id, fmt.Errorf("%w: the database has %v", store.ErrBehind, h.Head)
	}
	next := store.Standing{ID: store.NewRequest(), Head: head, Adopted: true}
	if err := d.replace(ctx, db, s, next); err != nil {
		return id, asError(err)
	}
	d.tell(head.Revision)
	return store.Identity{ID: next.ID, Copy: true, Of: d.Describe()}, nil
}

func (d *Database) replace(ctx context.Context, db *sql.DB, s *store.Store, next store.Standing) error {
	for _, statement := range []string{"DELETE FROM sluice_head", "DELETE FROM sluice_record LIMIT 5000", "DELETE FROM sluice_entry LIMIT 5000"} {
		for {
			done, err := db.ExecContext(ctx, statement)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 || !strings.Contains(statement, "LIMIT") {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	for _, kind := range store.Kinds {
		for after := []byte(nil); ; {
			list, more, err := s.Page(kind, after, adoptRows, adoptBytes)
			if err != nil {
				return err
			}
			if err := insertRecords(ctx, db, list); err != nil {
				return err
			}
			if after = more; after == nil {
				break
			}
		}
	}
	for at := uint64(0); at < next.Head.Revision; {
		list, err := s.LogAfter(at, adoptRows, adoptBytes)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if err := insertEntries(ctx, db, list); err != nil {
			return err
		}
		at = list[len(list)-1].Revision
	}
	_, err := db.ExecContext(ctx, "INSERT INTO sluice_head (one, version, rev, chain, history, adopted) VALUES (1, ?, ?, ?, ?, 1)",
		Schema, next.Head.Revision, next.Head.Chain[:], next.ID)
	if err == nil {
		// Until then writes are refused, and where it ends here it is run again.
		_, err = db.ExecContext(ctx, setMark)
	}
	return err
}

func insertRecords(ctx context.Context, db *sql.DB, list []store.Record) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 2*len(list))
	for i := range list {
		body, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		args = append(args, []byte(rowID(list[i].Key)), body)
	}
	_, err := db.ExecContext(ctx, "INSERT INTO sluice_record (id, body) VALUES "+places(len(list), "(?,?)"), args...)
	return err
}

func insertEntries(ctx context.Context, db *sql.DB, list []store.Sealed) error {
	args := make([]any, 0, 5*len(list))
	for i := range list {
		x := &list[i]
		request := x.Request
		if request == "" { // of a version that gave writes no names
			request = fmt.Sprintf("revision-%d", x.Revision)
		}
		args = append(args, x.Revision, []byte(request), x.Chain[:], x.Time, x.Text)
	}
	_, err := db.ExecContext(ctx, "INSERT INTO sluice_entry (rev, req, chain, at, text) VALUES "+places(len(list), "(?,?,?,?,?)"), args...)
	return err
}

// NodeStatus is what one node says.
type NodeStatus struct {
	Host    string `json:"host"`
	Version string `json:"version"`
	State   string `json:"state"` // of Galera; "": it is alone
	Cluster int    `json:"cluster"`
	Error   string `json:"error,omitempty"`
}

// Status is what `sluice database status` shows.
type Status struct {
	Nodes    []NodeStatus   `json:"nodes"`
	Standing store.Standing `json:"standing"`
	Schema   int            `json:"schema"`
	Records  int64          `json:"records"`
	Entries  int64          `json:"entries"`
	Last     *time.Time     `json:"last"` // the last write
}

// Look asks all nodes how they are, and one for what is kept. It returns the
// status also with an error.
func Look(ctx context.Context, o sqlpool.Options) (s Status, err error) {
	pool, err := sqlpool.Open(o)
	if err != nil {
		return s, err
	}
	defer pool.Close()
	for _, n := range pool.Nodes() {
		st, nerr := look(ctx, n)
		if nerr != nil {
			st.Error = sqlpool.Explain(nerr).Error()
			err = errors.Join(err, fmt.Errorf("%s: %w", n.Host, sqlpool.Explain(nerr)))
		}
		s.Nodes = append(s.Nodes, st)
	}
	db := pool.Pick(ctx).DB()
	h, herr := scanHead(db.QueryRowContext(ctx, selectHead))
	s.Standing, s.Schema = h.Standing, h.version
	if herr == nil {
		herr = db.QueryRowContext(ctx, "SELECT (SELECT COUNT(*) FROM sluice_record WHERE id <> '"+markID+"'), (SELECT COUNT(*) FROM sluice_entry), (SELECT at FROM sluice_entry ORDER BY rev DESC LIMIT 1)").
			Scan(&s.Records, &s.Entries, &s.Last)
	}
	if herr != nil {
		err = errors.Join(err, sqlpool.Explain(herr))
	}
	return s, err
}

func look(ctx context.Context, n *sqlpool.Node) (st NodeStatus, err error) {
	st.Host = n.Host
	db := prepared(n)
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&st.Version); err != nil {
		return st, err
	}
	if err := checkVersion(st.Version); err != nil {
		return st, err
	}
	var readOnly bool
	if err := db.QueryRowContext(ctx, "SELECT @@read_only").Scan(&readOnly); err != nil {
		return st, err
	}
	var name string
	err = db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_cluster_size'").Scan(&name, &st.Cluster)
	if err == nil && st.Cluster > 0 {
		err = db.QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &st.State)
		if err == nil && st.State != "Synced" {
			err = &sqlpool.StateError{Host: n.Host, State: st.State}
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err == nil && readOnly {
		err = errors.New("the server is read-only")
	}
	return st, err
}
