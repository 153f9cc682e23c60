package mariadb

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed47708276/sluice/cascade/store"
)

// A backup is loaded table by table, while members write. So each table tells of
// which state it is: the head does, the newest entry of the log, and a row among
// the records. Whoever writes or takes everything over sees all three in one
// transaction, which keeps tables from being replaced until its end, and goes no
// further where they differ.
const (
	// markID is the key of that row. It sorts behind all records: a dump has it
	// last, so that it is there when they are.
	markID = "~head"
	// newestID stands for the newest entry in what newest selects.
	newestID = "~newest"
	// newest selects the state of the log, in the form of mark.
	newest = "(SELECT '" + newestID + "' AS id, CONCAT(rev, ' ', LOWER(HEX(chain))) AS body FROM sluice_entry ORDER BY rev DESC LIMIT 1)"
	// setMark has the records be of the state of the head.
	setMark = "INSERT INTO sluice_record (id, body) SELECT '" + markID + "', CONCAT(rev, ' ', LOWER(HEX(chain))) FROM sluice_head WHERE one = 1 AND rev > 0 ON DUPLICATE KEY UPDATE body = VALUES(body)"
)

// mark is a state as a table tells it; that of nothing is "".
func mark(h store.Head) string {
	if h.Revision == 0 {
		return ""
	}
	return fmt.Sprintf("%d %x", h.Revision, h.Chain[:])
}

// marks are what the log and the records are of.
type marks struct{ entries, records string }

// take keeps what a row of newest or of markID says, and reports whether it was
// one of these.
func (m *marks) take(id string, body []byte) bool {
	switch id {
	case newestID:
		m.entries = string(body)
	case markID:
		m.records = string(body)
	default:
		return false
	}
	return true
}

// check returns a MixedError where a table is of another state than the head.
func (m *marks) check(h store.Head) error {
	if want := mark(h); m.entries != want || m.records != want {
		return &MixedError{Head: mark(h), Entries: m.entries, Records: m.records}
	}
	return nil
}

// whole holds all tables to the head that was seen in a transaction.
func whole(ctx context.Context, q querier, h store.Head) error {
	rows, err := q.QueryContext(ctx, "SELECT id, body FROM sluice_record WHERE id = '"+markID+"' UNION ALL "+newest)
	if err != nil {
		return err
	}
	defer rows.Close()
	var m marks
	for rows.Next() {
		var id string
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		m.take(id, body)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return m.check(h)
}

// MixedError is returned where the tables are of several states. Nothing is
// written, and nothing is taken from them.
type MixedError struct{ Head, Entries, Records string }

func (e *MixedError) Error() string {
	of := func(mark string) string {
		rev, _, _ := strings.Cut(mark, " ")
		if rev == "" {
			return "nothing"
		}
		return "revision " + rev
	}
	return fmt.Sprintf("the tables in the database are of several states (the head of %s, the log of %s, the records of %s): a backup is being restored; where that has ended, restore it once more, all tables of it",
		of(e.Head), of(e.Entries), of(e.Records))
}
