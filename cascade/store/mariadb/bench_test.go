package mariadb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
	"github.com/seed47708276/sluice/testkit"
)

// benchTime is how long each kind of writing is measured.
const benchTime = 4 * time.Second

// BenchmarkWrites measures an acknowledged write against the bare transaction by
// the same driver, in turns; 64 writers against one; and the time from a write on
// one member to its being in force on another. On one server, and with
// -torture on three Galera nodes.
func BenchmarkWrites(b *testing.B) {
	b.Run("one server", func(b *testing.B) {
		s := sqltest.Start(b)
		benchWrites(b, newWorld(b, s), newWorld(b, s))
	})
	if *torture {
		b.Run("three Galera nodes", func(b *testing.B) {
			c := sqltest.StartCluster(b, 3)
			benchWrites(b, newGaleraWorld(b, c), newGaleraWorld(b, c))
		})
	}
}

func benchWrites(b *testing.B, w, plain *world) {
	m := w.open("").Ready(b)
	pool, err := sqlpool.Open(plain.opt)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	db := pool.Nodes()[0].DB()
	var bare, ours []time.Duration
	for i := 0; i < 20 || len(bare) < 400; i++ { // in turns, so that both meet the same machine
		start := time.Now()
		if err := bareTransaction(db, i); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, time.Since(start))
		start = time.Now()
		if _, err := m.Put(context.Background(), cascade.Subject{Context: 1, User: uint32(i%500 + 1)}, "com.openexchange.websockets.enabled", "false"); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
	}
	one := rate(b, m, 1)
	many := rate(b, m, 64)
	other := w.open("").Ready(b)
	testkit.Poll(b, "the other member has all", func() bool { return other.Head() == m.Head() })
	var across []time.Duration
	for i := range 300 {
		value := fmt.Sprint("v", i)
		start := time.Now()
		if _, err := m.Put(context.Background(), everyone, "across", value); err != nil {
			b.Fatal(err)
		}
		for {
			if v, _ := other.Value(everyone, "across"); v == value {
				break
			}
			if time.Since(start) > time.Minute {
				b.Fatal("the other member does not follow")
			}
			time.Sleep(100 * time.Microsecond)
		}
		across = append(across, time.Since(start))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(bare, 50), "bare-p50-ms")
	b.ReportMetric(ms(ours, 50), "write-p50-ms")
	b.ReportMetric(ms(ours, 50)/ms(bare, 50), "write/bare")
	b.ReportMetric(one, "1-writer/s")
	b.ReportMetric(many, "64-writers/s")
	b.ReportMetric(many/one, "64/1")
	b.ReportMetric(ms(across, 50), "across-p50-ms")
	b.ReportMetric(ms(across, 99), "across-p99-ms")
}

// ms is a percentile in milliseconds.
func ms(list []time.Duration, percent int) float64 {
	slices.Sort(list)
	return float64(list[min(len(list)*percent/100, len(list)-1)]) / float64(time.Millisecond)
}

// rate is how many writes a second so many writers of a member make.
func rate(b *testing.B, m *storetest.Member, writers int) float64 {
	var work sync.WaitGroup
	var mu sync.Mutex
	total := 0
	start := time.Now()
	for w := range writers {
		work.Go(func() {
			n := 0
			for ; time.Since(start) < benchTime; n++ {
				if _, err := m.Put(context.Background(), cascade.Subject{Context: uint32(w + 2), User: uint32(n%500 + 1)}, "com.openexchange.websockets.enabled", "false"); err != nil {
					b.Error(err)
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
		})
	}
	work.Wait()
	return float64(total) / time.Since(start).Seconds()
}

// bareTransaction does what a write has to, with no code of ours: lock the head,
// read the record, write the entry, the record and the head.
func bareTransaction(db *sql.DB, i int) error {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	var version, adopted int
	var rev uint64
	var chain, history []byte
	if err := tx.QueryRowContext(ctx, selectHead+" FOR UPDATE").Scan(&version, &rev, &chain, &history, &adopted); err != nil {
		return err
	}
	id := []byte(fmt.Sprintf("override:1:%d:com.openexchange.websockets.enabled", i%500+1))
	var was []byte
	if err := tx.QueryRowContext(ctx, "SELECT body FROM sluice_record WHERE id = ?", id).Scan(&was); err != nil && err != sql.ErrNoRows {
		return err
	}
	k := store.OverrideKey(cascade.Subject{Context: 1, User: uint32(i%500 + 1)}, "com.openexchange.websockets.enabled")
	body, err := json.Marshal(store.Record{Key: k, State: store.State{Revision: rev + 1, Body: &store.Override{Value: "false", Actor: "test", Reason: "r", Time: time.UnixMilli(1).UTC()}}})
	if err != nil {
		return err
	}
	w := &store.Write{Actor: "test", Reason: "r", Action: "override.set", Request: store.NewRequest()}
	x, err := store.Seal(store.Head{Revision: rev, Chain: store.Chain(chain)}, w, []store.Changed{{Key: k, After: &store.State{Body: &store.Override{Value: "false", Actor: "test", Reason: "r", Time: time.UnixMilli(1).UTC()}}}})
	if err != nil {
		return err
	}
	for _, s := range []struct {
		text string
		args []any
	}{
		{"INSERT INTO sluice_entry (rev, req, chain, at, text) VALUES (?,?,?,?,?)", []any{x.Revision, []byte(w.Request), x.Chain[:], x.Time, x.Text}},
		{"INSERT INTO sluice_record (id, body) VALUES (?,?) ON DUPLICATE KEY UPDATE body = VALUES(body)", []any{id, body}},
		{"UPDATE sluice_head SET rev = ?, chain = ? WHERE one = 1", []any{x.Revision, x.Chain[:]}},
	} {
		if _, err := tx.ExecContext(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
