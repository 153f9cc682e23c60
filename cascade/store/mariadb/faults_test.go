package mariadb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
	"github.com/seed47708276/sluice/testkit"
)

var everyone = cascade.Subject{Context: 1}

// says waits until a write of a member fails in a way, and the reason is told.
func says(t *testing.T, m *storetest.Member, want any, text string) {
	t.Helper()
	var last error
	testkit.Poll(t, "a write is refused with "+text, func() bool {
		_, last = m.Put(t.Context(), everyone, "refused", "v")
		return errors.As(last, want) && strings.Contains(last.Error(), text)
	})
}

// What is wrong with a database, its users and its tables is named, together
// with what to do; nothing is written, and look-ups go on.
func TestBadDatabases(t *testing.T) {
	s := sqltest.Shared(t)
	for name, c := range map[string]struct {
		spoil func(w *world)
		want  any
		text  string
	}{
		"wrong password": {func(w *world) { w.opt.Password = "wrong" }, new(*store.UnavailableError), "correct the user or the password"},
		"no such database": {func(w *world) {
			s.SQL("GRANT ALL ON *.* TO '" + w.opt.User + "'@'%'")
			w.opt.Database = "nowhere"
		}, new(*store.UnavailableError), "sluice database init"},
		"missing grant": {func(w *world) { s.SQL("REVOKE INSERT ON " + w.opt.Database + ".* FROM '" + w.opt.User + "'@'%'") }, new(*store.UnavailableError), "the grant INSERT on `" + "%" + "`.`sluice_entry` is missing"},
		"missing grant to read": {func(w *world) {
			s.SQL("REVOKE SELECT ON " + w.opt.Database + ".* FROM '" + w.opt.User + "'@'%'")
		}, new(*store.UnavailableError), "the grant SELECT on"},
		"not set up": {func(w *world) { s.SQL("DROP TABLE sluice_head", w.opt.Database) }, new(*store.NoStoreError), "sluice database init"},
		"newer":      {func(w *world) { s.SQL("UPDATE sluice_head SET version = 99", w.opt.Database) }, new(*store.NoStoreError), "version 99, and this binary knows 2"},
		"older":      {func(w *world) { s.SQL("UPDATE sluice_head SET version = 0", w.opt.Database) }, new(*store.NoStoreError), "run `sluice database init`"},
		"foreign": {func(w *world) {
			s.SQL("DROP TABLE sluice_head; CREATE TABLE sluice_head (x INT)", w.opt.Database)
		}, new(*store.NoStoreError), "none of Sluice's"},
		"no server": {func(w *world) { w.opt.Hosts = []string{fmt.Sprintf("127.0.0.1:%d", sqltest.FreePort(t))} }, new(*store.UnavailableError), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			c.spoil(w)
			m := w.open("")
			says(t, m, c.want, strings.Replace(c.text, "%", w.opt.Database, 1))
			if name != "missing grant" { // it can still be followed
				testkit.Poll(t, "the member says so", func() bool { return m.Standing() != nil })
			}
		})
	}
}

// Init keeps what is there, brings an earlier version up to date, and touches no
// newer and no foreign one; two at once do it once.
func TestInit(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Fatal(err)
	}
	if did := w.init(); len(did) != 0 {
		t.Errorf("again: %v", did)
	}
	// Tables of version 1 had no mark among the records.
	s.SQL("UPDATE sluice_head SET version = 1; DELETE FROM sluice_record WHERE id = '"+markID+"'", w.opt.Database)
	says(t, m, new(*store.NoStoreError), "run `sluice database init`")
	if did := w.init(); len(did) != 1 {
		t.Errorf("from an earlier version: %v", did)
	}
	testkit.Poll(t, "writes go on", func() bool { _, err := m.Put(t.Context(), everyone, "p", "w"); return err == nil })
	admin := w.opt
	admin.User, admin.Password = sqltest.Root, ""
	var work sync.WaitGroup
	var busy atomic.Int64
	other := admin
	other.Database = "fresh"
	for range 4 {
		work.Go(func() {
			if _, err := Init(t.Context(), other); err != nil {
				if !strings.Contains(err.Error(), "another") {
					t.Error(err)
				}
				busy.Add(1)
			}
		})
	}
	work.Wait()
	if n := s.SQL("SELECT COUNT(*) FROM sluice_head", "fresh"); n != "1" || busy.Load() == 4 {
		t.Errorf("%s heads, %d refused", n, busy.Load())
	}
	s.SQL("UPDATE sluice_head SET version = 99", w.opt.Database)
	if _, err := Init(t.Context(), admin); !errors.As(err, new(*VersionError)) {
		t.Errorf("newer: %v", err)
	}
	s.SQL("DROP TABLE sluice_entry; CREATE TABLE sluice_entry (x INT)", "fresh")
	if _, err := Init(t.Context(), other); !errors.As(err, new(*ForeignError)) {
		t.Errorf("foreign: %v", err)
	}
	if _, err := Init(t.Context(), w.opt); err == nil {
		t.Error("a user without the grants has made tables")
	}
	status, err := Look(t.Context(), w.opt)
	if !errors.As(err, new(*VersionError)) || len(status.Nodes) != 1 || status.Nodes[0].Error != "" {
		t.Errorf("%+v %v", status, err)
	}
}

// Rows that someone changed by hand do not count, with their keys named;
// everything else does.
func TestChangedByHand(t *testing.T) {
	w := newWorld(t, sqltest.Shared(t))
	m := w.open("").Ready(t)
	for _, p := range []string{"a", "b", "c", "d"} {
		if _, err := m.Put(t.Context(), everyone, p, "v"); err != nil {
			t.Fatal(err)
		}
	}
	w.server.SQL(`UPDATE sluice_record SET body = 'x' WHERE id = 'override:1:0:a';
		UPDATE sluice_record SET body = REPLACE(body, '"context":1', '"context":2') WHERE id = 'override:1:0:b';
		UPDATE sluice_entry SET text = 'x' WHERE rev = 2;
		INSERT INTO sluice_record VALUES ('override:1:0:z', '{}')`, w.opt.Database)
	fresh := w.open("").Ready(t)
	for p, want := range map[string]bool{"a": false, "b": false, "c": true, "d": true} {
		if _, ok := fresh.Value(everyone, p); ok != want {
			t.Errorf("%s counts: %v", p, ok)
		}
	}
	testkit.Poll(t, "the keys are named", func() bool {
		return len(fresh.Skipped()) == 4 && strings.Contains(strings.Join(fresh.Skipped(), " "), "override:1:0:a")
	})
	if _, err := fresh.Put(t.Context(), everyone, "a", "again"); err != nil {
		t.Errorf("it is set again: %v", err)
	}
	testkit.Poll(t, "the others have it", func() bool { v, _ := m.Value(everyone, "a"); return v == "again" })
	if list, _, err := fresh.Log(0, 100, nil); err != nil || len(list) != 5 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// A write that is too large for the server is refused, whatever its values are,
// and others go on.
func TestPacket(t *testing.T) {
	w := newWorld(t, sqltest.Start(t, "--max-allowed-packet=1M"))
	m := w.open("").Ready(t)
	var changes []store.Change
	for i := range 4 {
		changes = append(changes, storetest.Set(everyone, fmt.Sprint("p", i), strings.Repeat("'", cascade.MaxValueLen)))
	}
	_, err := m.Do(t.Context(), store.Write{Actor: "x", Reason: "r", Action: "a", Changes: changes})
	if !errors.As(err, new(*store.BadWriteError)) || !strings.Contains(err.Error(), "max_allowed_packet") {
		t.Errorf("%v", err)
	}
	if _, err := m.Do(t.Context(), store.Write{Actor: "x", Reason: "r", Action: "a", Changes: changes[:1]}); err != nil {
		t.Errorf("the largest value: %v", err)
	}
	var many []store.Change
	for i := range 1500 {
		many = append(many, storetest.Set(cascade.Subject{Context: 1, User: uint32(i + 1)}, "p", "v"))
	}
	if _, err := m.Do(t.Context(), store.Write{Actor: "x", Reason: "r", Action: "a", Changes: many}); err != nil {
		t.Errorf("many rows: %v", err)
	}
}

// A database restored from a backup is the truth: members notice that it went
// back, whether the revision is below theirs or not, and take it.
func TestRestored(t *testing.T) {
	w := newWorld(t, sqltest.Shared(t))
	a, b := w.open("").Ready(t), w.open("").Ready(t)
	set := func(value string) {
		t.Helper()
		testkit.Poll(t, "a write", func() bool { _, err := a.Put(t.Context(), everyone, "p", value); return err == nil })
	}
	set("1")
	set("2")
	dump := w.server.Dump(w.opt.Database)
	for i := range 5 {
		set(fmt.Sprint("lost", i))
	}
	testkit.Poll(t, "all have it", func() bool { return a.Head() == b.Head() })
	for _, more := range []int{0, 9} {
		w.server.SQL(dump, w.opt.Database)
		for i := range more {
			fresh := w.open("").Ready(t)
			if _, err := fresh.Put(t.Context(), everyone, "other", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []*storetest.Member{a, b} {
			testkit.Poll(t, "the members take it", func() bool {
				v, _ := m.Value(everyone, "p")
				list, _, err := m.Log(0, 100, nil)
				return v == "2" && m.Standing() == nil && err == nil && len(list) == 2+more
			})
		}
	}
	set("after")
	testkit.Poll(t, "writes go on", func() bool { v, _ := b.Value(everyone, "p"); return v == "after" })
	if n := a.Stats().Resyncs; n == 0 {
		t.Error("it is not counted")
	}
}

// A server that is read-only, stops, stands still or is killed: writes are
// refused or done once, look-ups go on, and so do writes afterwards.
func TestServerFails(t *testing.T) {
	s := sqltest.Start(t)
	w := newWorld(t, s)
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		testkit.Poll(t, "writes go on", func() bool { _, err := m.Put(t.Context(), everyone, "q", "v"); return err == nil })
	}
	s.SQL("SET GLOBAL read_only = 1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	_, err := m.Put(ctx, everyone, "refused", "v")
	cancel()
	if err == nil {
		t.Error("a read-only server has taken a write")
	}
	s.SQL("SET GLOBAL read_only = 0")
	again()
	s.Signal(syscall.SIGSTOP)
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	if _, err := m.Put(ctx, everyone, "still", "v"); !errors.Is(err, store.ErrUnconfirmed) {
		t.Errorf("a server that stands still: %v", err)
	}
	cancel()
	if _, ok := m.Value(everyone, "p"); !ok {
		t.Error("look-ups do not go on")
	}
	s.Signal(syscall.SIGCONT)
	again()
	s.Kill()
	testkit.Poll(t, "the member says so", func() bool { return m.Standing() != nil })
	if _, ok := m.Value(everyone, "p"); !ok {
		t.Error("look-ups do not go on")
	}
	s.Run()
	again()
	// One that starts while the database is away goes on from its copy.
	s.Stop()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = w.open(m.Path)
	if _, ok := m.Value(everyone, "p"); !ok {
		t.Error("a start without the database has no look-ups")
	}
	says(t, m, new(*store.UnavailableError), "")
	s.Run()
	m.Ready(t)
	again()
}

// lossy stands before a server, and loses the answer to a COMMIT when it is told
// to: before the server has it, or after.
type lossy struct {
	addr   string
	target string
	before atomic.Int64 // commits that do not reach the server
	after  atomic.Int64 // commits whose answer does not come back
	hits   atomic.Int64
	hole   atomic.Bool // what comes for the server is dropped

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// breakAll ends all connections: they have lost what was dropped.
func (p *lossy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func newLossy(t *testing.T, target string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.conns[c], p.conns[s] = true, true
			p.mu.Unlock()
			work.Go(func() { p.pump(c, s) })
			work.Go(func() {
				_, _ = io.Copy(c, s) // ends with the connection
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.breakAll()
		work.Wait()
	})
	return p
}

func (p *lossy) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.hole.Load() {
			continue
		}
		if bytes.HasSuffix(buf[:n], []byte("\x03COMMIT")) {
			if p.before.Add(-1) >= 0 {
				p.hits.Add(1)
				return
			}
			if p.after.Add(-1) >= 0 {
				p.hits.Add(1)
				_ = from.Close() // the answer has no way back
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A COMMIT whose answer is lost: the write is done once, whether the server had
// it or not.
func TestCommitLost(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	p := newLossy(t, s.Host)
	w.opt.Hosts = []string{p.addr}
	m := w.open("").Ready(t)
	rounds := 20
	for i := range rounds {
		if i%2 == 0 {
			p.before.Store(1)
		} else {
			p.after.Store(1)
		}
		e, err := m.Put(t.Context(), everyone, fmt.Sprint("p", i), "v")
		if err != nil || e.Revision != uint64(i+1) {
			t.Errorf("%d: revision %d, %v", i, e.Revision, err)
		}
	}
	if p.hits.Load() != int64(rounds) {
		t.Errorf("%d of %d answers were lost", p.hits.Load(), rounds)
	}
	if n := s.SQL("SELECT COUNT(*), COUNT(DISTINCT req), MAX(rev) FROM sluice_entry", w.opt.Database); strings.Join(strings.Fields(n), " ") != fmt.Sprintf("%d %d %d", rounds, rounds, rounds) {
		t.Errorf("entries: %s", n)
	}
}

// "Not done" is written before it is said: a write that was given up is never
// done, and one that is found done is.
func TestGivenUp(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	d := w.database()
	write := func(request string) *store.Proposal {
		return &store.Proposal{Write: &store.Write{Actor: "x", Reason: "r", Action: "a", Request: request, Changes: []store.Change{storetest.Set(everyone, request, "v")}}}
	}
	done, lost := write("done"), write("lost")
	if made := d.Propose(t.Context(), []*store.Proposal{done}); len(made) != 1 || done.Err != nil {
		t.Fatalf("%v %v", made, done.Err)
	}
	a := &attempt{d: d, group: []*store.Proposal{done, lost}, doubt: true, giveUp: true}
	made, err := a.settle(t.Context())
	if err != nil || len(made) != 1 || made[0].Action != store.ActionGivenUp || len(made[0].Changes) != 0 {
		t.Fatalf("%+v %v", made, err)
	}
	if done.Err != nil || done.Entry.Revision != 1 || !errors.As(lost.Err, new(*store.GivenUpError)) {
		t.Errorf("%v %v", done.Err, lost.Err)
	}
	again := write("lost")
	d.Propose(t.Context(), []*store.Proposal{again})
	if !errors.As(again.Err, new(*store.GivenUpError)) {
		t.Errorf("asked again: %+v %v", again.Entry, again.Err)
	}
	m := w.open("").Ready(t)
	testkit.Poll(t, "followers skip it", func() bool { return m.Head().Revision == 2 })
	if len(m.Values()) != 1 {
		t.Errorf("in force: %v", m.Values())
	}
}

// The first host that answers is used; what is no host is refused.
func TestHosts(t *testing.T) {
	s := sqltest.Shared(t)
	w := newWorld(t, s)
	w.opt.Hosts = []string{fmt.Sprintf("127.0.0.1:%d", sqltest.FreePort(t)), s.Socket, s.Host}
	m := w.open("").Ready(t)
	if _, err := m.Put(t.Context(), everyone, "p", "v"); err != nil {
		t.Errorf("the first host is dead: %v", err)
	}
	for _, hosts := range [][]string{nil, {""}, {"a b"}} {
		o := w.opt
		o.Hosts = hosts
		if _, err := sqlpool.Open(o); err == nil {
			t.Errorf("%q is taken", hosts)
		}
	}
}
