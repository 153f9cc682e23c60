package platform

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// sampleUsers are taken of a context, so that a sample has many contexts; more
// where there are too few.
const sampleUsers = 5

// Sample returns up to n users of the platform, some of each of some contexts,
// chosen by chance: contexts after a gap in the ids come more often. Nothing of
// them is kept. It takes two queries for each context, at the pace of the
// rounds.
func (p *Platform) Sample(ctx context.Context, n int) ([]cascade.Subject, error) {
	if err := p.Reread(ctx, cascade.Subject{}); err != nil { // the servers of the user databases
		return nil, err
	}
	name := quote(p.opt.Config.Database) + "."
	var first, last sql.NullInt64
	var contexts int
	q := &round{p: p, ctx: ctx}
	err := q.rows(p.config, "", "SELECT MIN(cid), MAX(cid), COUNT(DISTINCT cid) FROM "+name+"context_server2db_pool", func(r *sql.Rows) error { return r.Scan(&first, &last, &contexts) })
	if err != nil || !first.Valid {
		return nil, err
	}
	each := max(sampleUsers, (n+contexts-1)/contexts)
	have, met := []cascade.Subject{}, map[uint32]bool{}
	// Where there are few contexts, the same come again.
	for tries := 0; len(have) < n && tries < 2*n; tries++ {
		from := first.Int64 + rand.Int64N(last.Int64-first.Int64+1)
		id, at := uint32(0), place{}
		err := q.rows(p.config, "", fmt.Sprintf("SELECT cid, read_db_pool_id, db_schema FROM %scontext_server2db_pool WHERE cid >= %d ORDER BY cid LIMIT 1", name, from), func(r *sql.Rows) error {
			return r.Scan(&id, &at.server, &at.schema)
		})
		if err != nil {
			return have, err
		}
		if !met[id] {
			met[id] = true
			if err := p.sampleOf(q, id, at, min(each, n-len(have)), &have); err != nil {
				return have, err
			}
		}
		pause := time.NewTimer(time.Second / time.Duration(p.opt.Queries()))
		select {
		case <-ctx.Done():
			pause.Stop()
			return have, ctx.Err()
		case <-pause.C:
		}
	}
	return have, nil
}

// sampleOf adds up to n users of a context.
func (p *Platform) sampleOf(q *round, id uint32, at place, n int, have *[]cascade.Subject) error {
	select {
	case p.reads <- struct{}{}:
	case <-q.ctx.Done():
		return q.ctx.Err()
	}
	pool, err := p.pool(at.server, false)
	<-p.reads
	if err != nil {
		return err
	}
	return q.rows(pool, "", fmt.Sprintf("SELECT id FROM %s.user WHERE cid = %d ORDER BY RAND() LIMIT %d", quote(at.schema), id, n), func(r *sql.Rows) error {
		su := cascade.Subject{Context: id}
		if err := r.Scan(&su.User); err != nil {
			return err
		}
		*have = append(*have, su)
		return nil
	})
}
