package cli_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// TestConsoleNumbers measures what docs/console.md says of the console's speed. It
// holds no bound: the machine may be loaded.
func TestConsoleNumbers(t *testing.T) {
	if !*torture {
		t.Log("it takes minutes: it is in the full round (-torture)")
		return
	}
	figures := func(n *node) {
		t.Helper()
		n.walked(t)
		for k := 1; n.seen("figure", k) != nil; k++ {
			t.Logf("%s", n.seen("figure", k).Data)
		}
	}
	t.Run("paint", func(t *testing.T) {
		p := newConsoleServer(t)
		figures(walkConsole(t, "consolenumbers.js", p.tcp, consoleTokens(t, p), "paint"))
	})
	t.Run("keystroke", func(t *testing.T) {
		p := launch(t, newTree(t), t.TempDir())
		const users, each, contexts = 1_000_000, 5_000, 1_000
		for first := 0; first < users; first += each {
			var list strings.Builder
			for i := first; i < first+each; i++ {
				fmt.Fprintf(&list, `{"user":{"context":%d,"id":%d,"login":"person%d","mail":["person%d@example.com"],"displayName":"Person Number%d"}}`+"\n", i%contexts+1, i/contexts+1, i, i, i%977)
			}
			if status := p.requestWith("POST", "/admin/v1/import?reason=many", list.String(), nil, "Content-Type: application/x-ndjson"); status != http.StatusOK {
				t.Fatalf("import: %d", status)
			}
		}
		figures(walkConsole(t, "consolenumbers.js", p.tcp, consoleTokens(t, p), "keystroke"))
	})
	t.Run("events", func(t *testing.T) {
		p := launch(t, newTree(t), t.TempDir())
		n := walkConsole(t, "consolenumbers.js", p.tcp, consoleTokens(t, p), "events")
		const each = 100 // what one write publishes one by one
		tick := time.NewTicker(time.Second / 10)
		defer tick.Stop()
		for round := 0; n.seen("done", 1) == nil; round++ {
			<-tick.C
			if n.seen("ready", 1) == nil {
				continue
			}
			var list strings.Builder
			for user := 1; user <= each; user++ {
				fmt.Fprintf(&list, `{"context":7,"user":%d,"property":"com.openexchange.websockets.enabled","value":"%t"},`, user, round%2 == 0)
			}
			p.request("POST", "/admin/v1/overrides", `{"reason":"r","overrides":[`+strings.TrimSuffix(list.String(), ",")+`]}`, nil)
		}
		figures(n)
	})
	t.Run("idle", func(t *testing.T) {
		f := newFleet(t, redistest.Start(t), 3)
		m := f.members[0]
		tokens := consoleTokens(t, m.process)
		const span = 30 * time.Second
		share := func() float64 {
			before := m.cpu()
			time.Sleep(span) // what is measured is that nothing happens
			return 100 * float64(m.cpu()-before) / float64(span)
		}
		m.poll("the tokens are stored", func() bool {
			var list struct{ Tokens []any }
			m.request("GET", "/admin/v1/tokens", "", &list)
			return len(list.Tokens) == len(auth.Roles)
		})
		alone := share()
		n := walkConsole(t, "consolenumbers.js", m.tcp, tokens, "idle")
		testkit.Within(t, walkPatience, "the page is open", func() bool { return n.seen("open", 1) != nil })
		with := share()
		t.Logf("a member of an idle cluster of 3 takes %.2f %% of a core, and %.2f %% with the page of the cluster open", alone, with)
		figures(n)
	})
}
