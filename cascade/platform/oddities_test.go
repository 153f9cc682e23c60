package platform

import (
	"slices"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
)

// TestNamesOfTwo: a login that two users have, or that differs by the case of its
// letters only, finds both, so that no command takes one for the other; each is
// served by what is its own.
func TestNamesOfTwo(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("ALTER TABLE oxdb_5.login2user DROP PRIMARY KEY, MODIFY uid VARCHAR(128) COLLATE utf8mb4_bin; ALTER TABLE configdb.context MODIFY name VARCHAR(128) COLLATE utf8mb4_bin NOT NULL;" +
		"INSERT INTO oxdb_5.login2user VALUES (12, 9, 'anna'), (12, 3, 'ANNA'); UPDATE configdb.context SET name = 'ACME' WHERE cid = 16;" +
		"INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (12, 9, 'config/b.own', 'nine'), (12, 2, 'config/b.own', 'two')")
	for _, su := range []cascade.Subject{{Context: 12, User: 2}, {Context: 12, User: 3}, {Context: 12, User: 9}, {Context: 16, User: 2}} {
		s.load(t, su.Context, su.User)
	}
	find := func(text string, users bool) (list []cascade.Subject) {
		for _, h := range s.engine.People().Exact(text, users, 10) {
			list = append(list, cascade.Subject(h.Subject))
		}
		slices.SortFunc(list, func(a, b cascade.Subject) int { return int(a.Context) - int(b.Context) + int(a.User) - int(b.User) })
		return list
	}
	for _, name := range []string{"anna", "Anna", "ANNA"} {
		if got := find(name, true); !slices.Equal(got, []cascade.Subject{{Context: 12, User: 2}, {Context: 12, User: 3}, {Context: 12, User: 9}}) {
			t.Errorf("users called %s: %v", name, got)
		}
	}
	if got := find("acme", false); !slices.Equal(got, []cascade.Subject{{Context: 12}, {Context: 16}}) {
		t.Errorf("contexts called acme: %v", got)
	}
	sn := s.engine.Snapshot()
	for user, want := range map[uint32]string{2: "two", 9: "nine"} {
		if v, _ := sn.Get(cascade.Subject{Context: 12, User: user}, "b.own"); v.Text != want {
			t.Errorf("user %d has %q, want %q", user, v.Text, want)
		}
	}
	if n := s.engine.People().Of(people.Subject{Context: 12, User: 3}); n.Login != "ANNA" {
		t.Errorf("the login of user 3 is %q", n.Login)
	}
}

// TestClocksDiffer: whatever time the database believes it is, what changes comes
// into force, what is written shows, and ages are told by the clock of here.
func TestClocksDiffer(t *testing.T) {
	s := standOn(t, sqltest.Start(t, "--init-connect=SET timestamp=2000000000", "--default-time-zone=-11:00"), nil, time.Second)
	su := cascade.Subject{Context: 12, User: 2}
	s.connect(su)
	began := time.Now()
	s.load(t, 12, 2)
	if at, err := s.clock(t); err != nil || at.Sub(began).Abs() < 24*time.Hour {
		t.Fatalf("the clock of the database is %v: %v", at, err)
	}
	if at := s.p.readAt(su); at.Before(began) || at.After(time.Now()) {
		t.Errorf("read at %v, and it was after %v", at, began)
	}
	on := s.engine.Bool(enabled)
	s.sql("INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (12, 2, 'config/" + enabled + "', 'false')")
	s.eventually(t, "the attribute counts", func() bool { return !on.For(su) })
	if _, err := s.p.Write(t.Context(), Write{Subject: su, Property: enabled, Value: ptr("true")}); err != nil {
		t.Fatal(err)
	}
	if !on.For(su) {
		t.Error("what was written does not count")
	}
}

// clock is the time of the database as a reader's connection sees it.
func (s *stand) clock(t *testing.T) (at time.Time, err error) {
	t.Helper()
	var seconds int64
	err = s.p.config.Pick(t.Context()).DB().QueryRowContext(t.Context(), "SELECT UNIX_TIMESTAMP()").Scan(&seconds)
	return time.Unix(seconds, 0), err
}
