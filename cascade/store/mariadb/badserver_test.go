package mariadb

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/testkit"
)

// A way that drops packets: look-ups go on, and each
// write is done once, or refused, or said to be unknown and then settled.
func TestBlackHole(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	p := newLossy(t, s.Host)
	w.opt.Hosts = []string{p.addr}
	l := newLedger(t, 30, w.open("").Ready(t), w.open("").Ready(t))
	l.more(20)
	rounds := 1
	if *torture {
		rounds = 5
	}
	for range rounds {
		p.hole.Store(true)
		if len(l.members[0].Values()) == 0 {
			t.Error("look-ups do not go on")
		}
		time.Sleep(200 * time.Millisecond) // packets are dropped for that long
		p.hole.Store(false)
		p.breakAll()
		l.more(20)
	}
	l.end()
}

// The clocks of two members differ by years: the order of writes is that of the
// database.
func TestClocks(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "1"); err != nil {
		t.Fatal(err)
	}
	// What one whose clock is ahead has written.
	s.SQL("UPDATE sluice_entry SET at = '2099-01-01 00:00:00'", w.opt.Database)
	if _, err := m.Put(t.Context(), everyone, "p", "2"); err != nil {
		t.Fatal(err)
	}
	other := w.open("").Ready(t)
	if v, _ := other.Value(everyone, "p"); v != "2" || other.Head() != m.Head() {
		t.Errorf("%q at %v", v, other.Head())
	}
}

// Tables of several states, as a part of a backup leaves them, stop the writes and
// say what to do, and nothing is taken from them; the backup, loaded whole, ends
// that.
func TestMixed(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	m := w.open("").Ready(t)
	put := func(value string) error {
		_, err := m.Put(t.Context(), everyone, "p", value)
		return err
	}
	if err := put("1"); err != nil {
		t.Fatal(err)
	}
	dump := s.Dump(w.opt.Database)
	if err := put("2"); err != nil {
		t.Fatal(err)
	}
	later := s.Dump(w.opt.Database)
	for table, text := range map[string]string{
		"sluice_head":   "the head of revision 1, the log of revision 2, the records of revision 2",
		"sluice_entry":  "the head of revision 2, the log of revision 1, the records of revision 2",
		"sluice_record": "the head of revision 2, the log of revision 2, the records of revision 1",
	} {
		s.SQL(tableOf(t, dump, table), w.opt.Database)
		says(t, m, new(*store.UnavailableError), text)
		if v, _ := m.Value(everyone, "p"); v != "2" {
			t.Errorf("%s: %q is taken from it", table, v)
		}
		s.SQL(later, w.opt.Database)
		testkit.Poll(t, "nothing is wrong any more", func() bool { return m.Standing() == nil })
	}
	s.SQL(tableOf(t, dump, "sluice_record")+"; DELETE FROM sluice_record", w.opt.Database)
	says(t, m, new(*store.UnavailableError), "the records of nothing")
	s.SQL(dump, w.opt.Database)
	testkit.Poll(t, "the backup is taken", func() bool { v, _ := m.Value(everyone, "p"); return v == "1" && m.Standing() == nil })
	if err := put("3"); err != nil {
		t.Error(err)
	}
	if v, _ := m.Value(everyone, "p"); v != "3" || m.Head().Revision != 2 {
		t.Errorf("%q at %v", v, m.Head())
	}
}

// tableOf is the part of a dump that is of one table.
func tableOf(t *testing.T, dump, table string) string {
	t.Helper()
	_, from, ok := strings.Cut(dump, "DROP TABLE IF EXISTS `"+table+"`;")
	if !ok {
		t.Fatalf("the dump has no table %s", table)
	}
	part, _, _ := strings.Cut(from, "DROP TABLE IF EXISTS")
	part, _, _ = strings.Cut(part, "/*!40103") // settings, which the head of a dump has kept
	return "DROP TABLE `" + table + "`;" + part
}

// A disk that is full refuses writes with what is missing, and takes them again
// when there is room.
func TestDiskFull(t *testing.T) {
	s, full, free := sqltest.StartSmall(t)
	w := newWorld(t, s)
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Fatal(err)
	}
	full()
	// The tables have room of their own, which writes use up. A value that does not
	// stand in its row would have InnoDB end the server: it does where a rollback
	// finds no room.
	large := strings.Repeat("x", 2000)
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		_, err = m.Put(t.Context(), everyone, fmt.Sprint("large", i), large)
	}
	if !errors.As(err, new(*store.UnavailableError)) || !strings.Contains(err.Error(), "the server has no room left") {
		t.Errorf("a full disk: %v", err)
	}
	if v, _ := m.Value(everyone, "p"); v != "v" {
		t.Error("look-ups do not go on")
	}
	free()
	testkit.Poll(t, "writes go on", func() bool { _, err := m.Put(t.Context(), everyone, "last", large); return err == nil })
}

// TLS is used where it is asked for, checks the server's certificate, and is not
// left out where the server has none.
func TestTLS(t *testing.T) {
	cert, key, pool := testkit.Certificate(t)
	_, _, others := testkit.Certificate(t)
	s := sqltest.Start(t, "--ssl-cert="+cert, "--ssl-key="+key)
	w := newWorld(t, s)
	s.SQL("ALTER USER '" + w.opt.User + "'@'%' REQUIRE SSL")
	w.opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Error(err)
	}
	w.opt.TLS = nil
	says(t, w.open(""), new(*store.UnavailableError), "correct the user or the password")
	w.opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: others}
	says(t, w.open(""), new(*store.UnavailableError), "certificate")
	s.Stop()
	s.Run("--skip-ssl")
	w.opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	says(t, w.open(""), new(*store.UnavailableError), "TLS")
}

// The version of a server as it tells it, and whether it is enough.
func TestServerVersion(t *testing.T) {
	for text, old := range map[string]bool{
		"10.11.14-MariaDB-0+deb12u2":              false,
		"10.6.0-MariaDB":                          false,
		"11.4.2-MariaDB-log":                      false,
		"5.5.5-10.6.16-MariaDB-1:10.6.16+maria~x": false,
		"10.5.29-MariaDB":                         true,
		"5.5.68-MariaDB":                          true,
		"5.5.5-10.3.39-MariaDB":                   true,
		"8.0.36":                                  true, // no MariaDB
		"":                                        true,
		"MariaDB":                                 true,
		"10.x-MariaDB":                            true,
	} {
		err := checkVersion(text)
		if (err != nil) != old {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && !strings.Contains(err.Error(), "10.6") {
			t.Errorf("%q does not say what is needed: %v", text, err)
		}
	}
}
