package cli_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

// What one member writes into the platform's database the others read at once: their
// sockets are closed, and let in again, long before the refresh.
func TestPlatformWriteInCluster(t *testing.T) {
	t.Parallel()
	db, tree := startPlatform(t)
	enablePlatformWrites(t, db, tree)
	f := newFleet(t, redistest.Start(t), 3, delayProperty+"=0",
		"sluice.platform.enabled=true", "sluice.platform.refresh=1h", "sluice.platform.write=true",
		"sluice.platform.hosts="+db.Host, "sluice.platform.user=reader", "sluice.platform.password=secret")
	sluice := func(args ...string) string {
		t.Helper()
		code, out, errs := run(append(args, "-c", "1337", "--platform", "--server", f.members[0].admin)...)
		if code != 0 {
			t.Fatalf("%q: %d: %s%s", args, code, out, errs)
		}
		return out + errs
	}
	for _, of := range [][]string{{"-u", "17"}, nil} { // a user's attribute, and the context's
		l := f.login(17)
		var conns []*websocket.Conn
		for _, m := range f.members {
			m.poll("it is no longer too early for clients", func() bool { return m.status(l, "x") != http.StatusServiceUnavailable })
			conn, err := m.dial(l, m.name)
			if err != nil {
				t.Fatalf("%s, %v: %v", m.name, of, err)
			}
			conns = append(conns, conn)
		}
		if out := sluice(append([]string{"disable"}, of...)...); strings.Contains(out, "could not be told") {
			t.Errorf("%s", out)
		}
		for i, conn := range conns {
			if code := closeCode(t, conn); code != 4403 {
				t.Errorf("%s, %v: closed with %d", f.members[i].name, of, code)
			}
			if got := f.members[i].status(l, "x"); got != http.StatusBadRequest {
				t.Errorf("%s, %v: answered with %d while it is off", f.members[i].name, of, got)
			}
		}
		sluice(append([]string{"reset"}, of...)...)
		for _, m := range f.members {
			if got := m.status(l, "x"); got != http.StatusSwitchingProtocols {
				t.Errorf("%s, %v: answered with %d when it is on again", m.name, of, got)
			}
		}
	}
}
