package mariadb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/store"
)

// prefetch reads the records that the group names, and holds the tables to the
// head.
func (t *transaction) prefetch(h store.Head) error {
	t.records, t.dirty, t.ids = make(map[store.Key]*store.Record), make(map[store.Key]bool), make(map[store.Key]string)
	args := []any{[]byte(markID)}
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
	for more := " UNION ALL " + newest; len(args) > 0; more = "" {
		part := args[:min(len(args), maxRows)]
		args = args[len(part):]
		if err := t.read("SELECT id, body FROM sluice_record WHERE id IN ("+places(len(part), "?")+")"+more, part...); err != nil {
			return err
		}
	}
	return t.marks.check(h)
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
		if t.marks.take(string(id), body) {
			continue
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
