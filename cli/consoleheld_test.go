package cli_test

import (
	"net/http"
	"testing"

	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/remote/redistest"
)

// TestConsoleHeld has the brake hold a change of the files, which an editor lets
// through on the page of the configuration; another value needs a restart.
func TestConsoleHeld(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "brake.properties", "sluice.gate.maxClose=0\nsluice.metrics.public=false\n")
	put(t, tree, "zswitch.properties", "com.openexchange.websockets.enabled=true\n")
	p := launch(t, tree, t.TempDir())
	desk := p.dial(p.login(17), "desk")
	put(t, tree, "zswitch.properties", "com.openexchange.websockets.enabled=false\n")
	put(t, tree, "restart.properties", "sluice.admin.socketGroup=staff\n")
	p.poll("the change is held, and a value waits for a restart", func() bool {
		var status struct{ Held, Pending any }
		return p.request("GET", "/admin/v1/config", "", &status) == http.StatusOK && status.Held != nil && status.Pending != nil
	})
	walkConsole(t, "consolefaults.js", p.tcp, consoleTokens(t, p), "held").walked(t)
	if code := closeCode(t, desk); code != 4403 && code != 1005 {
		t.Errorf("the socket of who is off now ended with %d", code)
	}
}

// TestConsolePlan plans on one member what sends people away from another one, and
// says so where that does not answer.
func TestConsolePlan(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	m, other := f.members[0], f.members[1]
	tokens := consoleTokens(t, m.process)
	other.poll("the other member knows the tokens", func() bool {
		var list struct{ Tokens []any }
		other.request("GET", "/admin/v1/tokens", "", &list)
		return len(list.Tokens) == len(auth.Roles)
	})
	for _, connection := range []string{"a", "b"} {
		conn, err := other.dial(f.login(17), connection)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	walkConsole(t, "consolefaults.js", m.tcp, tokens, "plan").walked(t)
}
