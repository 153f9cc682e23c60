package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

const browserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// dialAgent opens a socket as a browser does, and returns the status of the
// handshake.
func (m *member) dialAgent(l login, connection string) int {
	m.t.Helper()
	conn, res, err := websocket.Dial(m.t.Context(), m.public+"/ws/x?connection="+connection+"&session="+l.Session, &websocket.DialOptions{HTTPHeader: http.Header{
		"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}, "User-Agent": {browserAgent},
	}})
	if err == nil {
		_ = conn.CloseNow()
	}
	if res == nil {
		m.t.Fatal(err)
	}
	return res.StatusCode
}

// A session that a browser has made on one member is good on all, with nothing
// to configure, and stays so when Redis is empty and when a member comes new.
func TestSaltOfTheCluster(t *testing.T) {
	s := redistest.Start(t)
	f := newFleet(t, s, 2)
	everywhere := func(what string) {
		t.Helper()
		for _, m := range f.members {
			l, err := m.loginAgent("17", browserAgent)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range f.members {
				if code := other.dialAgent(l, "c"); code != http.StatusSwitchingProtocols {
					t.Errorf("%s: a session of %s at %s: %d", what, m.name, other.name, code)
				}
			}
			m.request("DELETE", "/admin/v1/sessions/"+l.Session, "", nil)
		}
	}
	everywhere("from the start")
	salt := s.Client().Get(t.Context(), "sluice:{sluice}:salt").Val()
	if len(salt) < 32 {
		t.Fatalf("the salt of the cluster is %q", salt)
	}
	s.Client().FlushAll(t.Context())
	f.members[0].poll("the cluster has its salt again", func() bool {
		return s.Client().Get(t.Context(), "sluice:{sluice}:salt").Val() == salt
	})
	f.meet()
	everywhere("after a loss")
	extra := &member{name: "m2", proxy: redistest.NewProxy(t, s.Addr)}
	f.members = append(f.members, extra)
	f.launch(extra)
	f.meet()
	everywhere("with a new member")
}

// Members whose salts are set differently say so.
func TestSaltsThatDiffer(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	f.members[0].poll("they agree", func() bool { return len(f.members[0].warnings()) == 0 })
	if err := os.WriteFile(filepath.Join(f.members[1].tree, "salt.properties"), []byte("com.openexchange.cookie.hash.salt=another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, m := range f.members {
		m.poll("it is shown", func() bool {
			for _, w := range m.warnings() {
				if strings.Contains(w, "member "+f.members[1-i].name+" has another salt") && strings.Contains(w, "com.openexchange.cookie.hash.salt") {
					return true
				}
			}
			return false
		})
		m.poll("it is said", func() bool { return strings.Contains(m.log(), "has another salt") })
	}
}

// A Redis that evicts is named wherever an administrator looks.
func TestRedisThatEvicts(t *testing.T) {
	s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	f := newFleet(t, s, 1)
	m := f.members[0]
	named := func(text string) bool {
		return strings.Contains(text, "maxmemory-policy allkeys-lru") && strings.Contains(text, "noeviction")
	}
	m.poll("it is said at the start", func() bool { return named(m.log()) })
	var ready struct {
		Status string
		Checks []struct{ Name, Status, Detail string }
	}
	m.poll("readiness has it", func() bool {
		m.request("GET", "/readyz", "", &ready)
		for _, c := range ready.Checks {
			if c.Name == "redis" && c.Status == "degraded" && named(c.Detail) {
				return ready.Status == "degraded"
			}
		}
		return false
	})
	if w := m.warnings(); len(w) != 1 || !named(w[0]) {
		t.Errorf("members warns %q", w)
	}
	if v := m.metric("sluice_redis_evicts"); v != "1" {
		t.Errorf("the metric is %q", v)
	}
	if err := s.Client().ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	m.poll("it is over", func() bool { return m.metric("sluice_redis_evicts") == "0" && len(m.warnings()) == 0 })
}

func (m *member) warnings() []string {
	var list struct{ Warnings []string }
	m.request("GET", "/admin/v1/members", "", &list)
	return list.Warnings
}
