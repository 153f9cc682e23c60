package cli_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

// TestConsole has people of three roles use the console in Chromium: every page
// and action, by keyboard, without scripts, and with axe-core. SLUICE_PICTURES
// names a folder for pictures of the pages.
func TestConsole(t *testing.T) {
	chromium := testkit.Tool(t, "chromium", "chromium")
	tree := newTree(t)
	put(t, tree, "contextSets/console.yml", "switched-off:\n  withTags: \"off\"\n  com.openexchange.websockets.enabled: \"false\"\nautumn:\n  withTags: webmail & rollout.autumn.50.context\n  com.openexchange.websockets.enabled: \"true\"\nmixed:\n  withTags: webmail | beta & webmail | gamma\n  com.openexchange.websockets.requestQueueSize: \"10\"\n")
	put(t, tree, "bad.properties", "a=good\n")
	p := launch(t, tree, t.TempDir())
	put(t, tree, "bad.properties", "a=\\uZZZZ\n")
	p.poll("the bad file is found", func() bool {
		var ready struct{ Status string }
		return p.request("GET", "/readyz", "", &ready) == http.StatusOK && ready.Status == "degraded"
	})
	put(t, tree, "shown.properties", "com.example.shown=1\n")
	p.poll("the change is remembered", func() bool {
		var log struct{ Reloads []struct{ Changed []any } }
		p.request("GET", "/admin/v1/config/reloads", "", &log)
		return len(log.Reloads) > 0 && len(log.Reloads[0].Changed) == 1
	})
	for _, args := range [][]string{
		{"context", "set", "1337", "--name", "acme", "--tags", "webmail"},
		{"user", "set", "17", "-c", "1337", "--login", "anna", "--mail", "anna@example.com", "--display-name", "Anna Müller"},
		{"user", "set", "18", "-c", "1337", "--login", "andi", "--display-name", strings.Repeat("long <b>name</b> ", 20)},
	} {
		if code, _, errs := run(append(args, "--server", p.admin)...); code != 0 {
			t.Fatal(errs)
		}
	}
	site := p.site(t)
	tokens := map[string]string{}
	for _, role := range []string{"viewer", "operator", "editor"} {
		code, out, errs := run("token", "create", role, "--role", role, "--server", p.admin)
		if code != 0 {
			t.Fatal(errs)
		}
		tokens[role] = strings.TrimSpace(out)
	}
	given, err := json.Marshal(tokens)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"console.js", chromium, p.tcp, string(given), site.URL + "/login?user=17&lib=sio4"}
	if dir := os.Getenv("SLUICE_PICTURES"); dir != "" {
		args = append(args, dir)
	}
	cmd := exec.Command("node", args...)
	cmd.Dir = clientDir
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
