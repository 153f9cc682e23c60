package platform

import (
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// TestMillionUsers reads the share that one of 20 members has of a million
// connected users, as its hub lists them, from one real user database: what
// docs/platform.md computes holds, and a change in the last context counts.
func TestMillionUsers(t *testing.T) {
	const (
		contexts, each = 500, 100 // 50,000 users
		perSecond      = 20       // the default of sluice.platform.queries
		refresh        = time.Minute
	)
	s := newStand(t, nil, refresh)
	s.sql("USE oxdb_5; INSERT INTO configdb.context (cid, name, enabled) SELECT 1000 + seq, CONCAT('c', seq), 1 FROM seq_1_to_500;" +
		"INSERT INTO configdb.context_server2db_pool SELECT 2, 1000 + seq, 3, 3, 'oxdb_5' FROM seq_1_to_500;" +
		"INSERT INTO user (cid, id, mailEnabled) SELECT 1000 + c.seq, u.seq, 1 FROM seq_1_to_500 AS c, seq_1_to_100 AS u;" +
		"INSERT INTO user_attribute (cid, id, name, value) VALUES (1500, 100, 'config/" + enabled + "', 'true')")
	s.mu.Lock()
	for c := uint32(1); c <= contexts; c++ {
		for u := uint32(1); u <= each; u++ {
			s.connected = append(s.connected, cascade.Subject{Context: 1000 + c, User: u})
		}
	}
	s.mu.Unlock()
	on, last := s.engine.Bool(enabled), cascade.Subject{Context: 1000 + contexts, User: each}
	for round, want := range []bool{true, false} {
		if !want {
			s.sql("UPDATE oxdb_5.user_attribute SET value = 'false' WHERE cid = 1500 AND id = 100")
		}
		before, start := s.p.Status().Queries, time.Now()
		if err := s.p.Refresh(t.Context()); err != nil { // without the pace: its pauses are what is computed
			t.Fatal(err)
		}
		queries := s.p.Status().Queries - before
		paced := time.Duration(queries) * time.Second / perSecond
		t.Logf("round %d: %d users in %d queries: %v at %d a second; without the pace %v", round, contexts*each, queries, paced, perSecond, time.Since(start).Round(time.Millisecond))
		if paced > refresh {
			t.Errorf("a round takes %v at %d queries a second, and is due each %v", paced, perSecond, refresh)
		}
		if got := on.For(last); got != want {
			t.Errorf("round %d: the last user is %v", round, got)
		}
		if known := s.p.Status().Known; known < contexts*(each+1) {
			t.Errorf("round %d: %d contexts and users are known", round, known)
		}
	}
}
