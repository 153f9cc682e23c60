package cli_test

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

// fleet is a cluster of real processes over one Redis, each behind a proxy.
type fleet struct {
	t       *testing.T
	redis   *redistest.Server // nil: the lines lead to several servers, without proxies
	lines   []string          // of the tree, beside those of each member; the first one keeps the store
	members []*member

	browsers bool              // sessions are made for a browser
	replica  *redistest.Server // of redis; nil: it has none
	behind   *redistest.Proxy  // the way of the replica to its master
	shards   *redistest.Shards // where redis is nil
}

// member is one of them. Its process is another after a restart.
type member struct {
	*process
	name  string
	args  []string // of its command line, beside the usual ones
	proxy *redistest.Proxy

	binary       string // of another build; empty: this one
	acknowledged int    // writes of disable
}

const fleetLease = 2 * time.Second

func newFleet(t *testing.T, redis *redistest.Server, members int, lines ...string) *fleet {
	t.Helper()
	return newFleetOf(t, redis, make([]string, members), lines...)
}

// newFleetOf has a member for each binary, where an empty one is of this build.
func newFleetOf(t *testing.T, redis *redistest.Server, binaries []string, lines ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: redis, lines: lines}
	for i, path := range binaries {
		m := &member{name: "m" + strconv.Itoa(i), binary: path}
		if redis != nil {
			m.proxy = redistest.NewProxy(t, redis.Addr)
		}
		f.members = append(f.members, m)
		f.launch(m)
	}
	f.meet()
	return f
}

// launch starts the process of a member, for the first time or again.
func (f *fleet) launch(m *member) {
	f.t.Helper()
	tree, state := f.tree(m), ""
	if m.process != nil {
		state = m.state
	} else {
		state = f.t.TempDir()
	}
	m.process = launchBinary(f.t, cmp.Or(m.binary, binary(f.t)), tree, state, m.args...)
}

// tree writes that of a member, and returns its folder.
func (f *fleet) tree(m *member) string {
	f.t.Helper()
	tree := ""
	if m.process != nil {
		tree = m.tree
	} else {
		tree = newTree(f.t)
	}
	lines := append([]string{
		"sluice.remote.member=" + m.name,
		"sluice.remote.lease=" + fleetLease.String(),
		"sluice.drain.spread=200ms",
		"sluice.websockets.rebalance=false", // each test puts its sockets where it wants them
		"sluice.store.keeper=m0",
		"com.openexchange.redis.username=sluice",
		"com.openexchange.redis.password=" + redistest.Password,
	}, f.lines...)
	if m.proxy != nil {
		lines = append(lines, "com.openexchange.redis.hosts="+m.proxy.Addr)
	}
	text := ""
	for _, l := range lines {
		text += l + "\n"
	}
	if err := os.WriteFile(filepath.Join(tree, "zz-fleet.properties"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return tree
}

// meet waits until every member sees as many alive as there are.
func (f *fleet) meet() {
	f.t.Helper()
	for _, m := range f.members {
		m.poll("the members know each other", func() bool {
			var list struct {
				Status  string
				Members []struct{ Alive bool }
			}
			if m.request("GET", "/admin/v1/members", "", &list) != http.StatusOK || list.Status != "ok" {
				return false
			}
			alive := 0
			for _, x := range list.Members {
				if x.Alive {
					alive++
				}
			}
			return alive == len(f.members)
		})
	}
}

// buffered are the messages for other members that a member has not got rid of.
func (m *member) buffered() int {
	n, err := strconv.Atoi(m.metric("sluice_remote_buffered"))
	if err != nil {
		return 0
	}
	return n
}

// login makes a session of a user on the first member.
func (f *fleet) login(user int) login {
	f.t.Helper()
	if !f.browsers {
		return f.members[0].login(user)
	}
	l, err := f.members[0].loginAgent(strconv.Itoa(user), browserAgent)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// dial opens a socket of text messages.
func (m *member) dial(l login, connection string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, m.public+"/ws/x?connection="+connection+"&session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}, "User-Agent": {browserAgent}}})
	return conn, err
}

// A session made on one member is good on all, a message reaches the sockets of
// all, limits hold for all together, and so do the calls that close.
func TestCluster(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 3, "sluice.websockets.maxPerUser=2",
		delayProperty+"=0")
	a, b, c := f.members[0], f.members[1], f.members[2]
	l := a.login(17)
	onB, err := b.dial(l, "b")
	if err != nil {
		t.Fatal(err)
	}
	onC, err := c.dial(l, "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.dial(l, "a"); err == nil {
		t.Error("a third socket is admitted")
	}
	var sent struct{ Local, Remote int }
	a.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n","args":["x"],"sync":true,"id":"one"}`, &sent)
	if sent.Local != 0 || sent.Remote != 2 {
		t.Errorf("%+v", sent)
	}
	var again struct{ Duplicate bool }
	if b.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n","args":["x"],"id":"one"}`, &again); !again.Duplicate {
		t.Error("the id is new to another member")
	}
	for _, conn := range []*websocket.Conn{onB, onC} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, data, err := conn.Read(ctx)
		cancel()
		if err != nil || string(data) != `{"name":"n","args":["x"],"namespace":"/"}` {
			t.Errorf("%s, %v", data, err)
		}
	}

	// The same connection id on another member takes over.
	ended := make(chan websocket.StatusCode, 1)
	read := func(conn *websocket.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				ended <- websocket.CloseStatus(err)
				return
			}
		}
	}
	want := func(what string, code websocket.StatusCode) {
		t.Helper()
		if got := <-ended; got != code {
			t.Errorf("%s: close %d, want %d", what, got, code)
		}
	}
	go read(onB)
	onA, err := a.dial(l, "b")
	if err != nil {
		t.Fatal(err)
	}
	want("taken over", 4409)

	go read(onA)
	b.request("DELETE", "/admin/v1/sockets?context=1337&user=17&connection=b", "", nil)
	want("closed by an administrator", 4410)

	go read(onC)
	start := time.Now()
	if code := a.request("DELETE", "/admin/v1/sessions/"+l.Session, "", nil); code != http.StatusNoContent && code != http.StatusOK {
		t.Errorf("delete: %d", code)
	}
	want("the session is gone", 4401)
	t.Logf("closed on another member %v after the call", time.Since(start))
}

// A member that is killed disappears within two leases, and its sockets count no
// more after one.
func TestMemberDies(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2, "sluice.websockets.maxPerUser=1")
	a, b := f.members[0], f.members[1]
	l := a.login(17)
	if _, err := b.dial(l, "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.dial(l, "a"); err == nil {
		t.Error("a second socket is admitted")
	}
	killed := time.Now()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.poll("its socket counts no more", func() bool { _, err := a.dial(l, "a"); return err == nil })
	t.Logf("the user is admitted %v after the kill", time.Since(killed))
	a.poll("it is not listed", func() bool {
		var list struct{ Members []struct{ Alive bool } }
		a.request("GET", "/admin/v1/members", "", &list)
		return len(list.Members) == 1
	})
	t.Logf("it is not listed %v after the kill (lease %v)", time.Since(killed), fleetLease)
}

// Drift between members is shown, and ends with it.
func TestDrift(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	warnings := func() int {
		var list struct{ Warnings []string }
		a.request("GET", "/admin/v1/members", "", &list)
		return len(list.Warnings)
	}
	// Their digests can be compared once both have the key of the cluster.
	a.poll("the members agree", func() bool {
		var list struct{ Members []struct{ Digest string } }
		a.request("GET", "/admin/v1/members", "", &list)
		return warnings() == 0 && len(list.Members) == 2 && list.Members[0].Digest != "" && list.Members[0].Digest == list.Members[1].Digest
	})
	path := filepath.Join(b.tree, "more.properties")
	if err := os.WriteFile(path, []byte("com.openexchange.websockets.enabled=false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	took := a.poll("drift is shown", func() bool { return warnings() == 1 })
	t.Logf("shown %v after the save", took)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	a.poll("there is none any more", func() bool { return warnings() == 0 })
}

// Without Redis a cluster's member starts, serves, and joins when Redis comes.
func TestRedisComesLate(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	f := &fleet{t: t, redis: s, members: []*member{{name: "m0", proxy: redistest.NewProxy(t, s.Addr)}}}
	m := f.members[0]
	f.launch(m)
	var ready struct{ Status string }
	m.poll("it is ready, degraded", func() bool {
		return m.request("GET", "/readyz", "", &ready) == http.StatusOK && ready.Status == "degraded"
	})
	if code := m.request("POST", "/admin/v1/sessions", `{"context":1337,"user":17,"client":"c"}`, nil); code != http.StatusServiceUnavailable {
		t.Errorf("a login without Redis: %d", code)
	}
	s.Restart()
	m.poll("it is ready", func() bool {
		return m.request("GET", "/readyz", "", &ready) == http.StatusOK && ready.Status == "ready"
	})
	m.login(17)
}

// reader counts what a socket gets.
type reader struct {
	mu    sync.Mutex
	texts []string
	err   error
	ended time.Time // when err came
}

func (r *reader) run(conn *websocket.Conn) {
	conn.SetReadLimit(1 << 20)
	for {
		_, data, err := conn.Read(context.Background())
		r.mu.Lock()
		if r.err = err; err == nil {
			r.texts = append(r.texts, string(data))
		} else {
			r.ended = time.Now()
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}
