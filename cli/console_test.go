package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// walkPatience bounds a walk through the console on a loaded machine.
const walkPatience = 5 * time.Minute

// newConsoleServer has what the pages of the console are about: a bad file, a
// change of files, context sets and people.
func newConsoleServer(t *testing.T) *process {
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
		{"set", "com.example.flag", "false", "-c", "1337", "--reason", "of another property"},
		{"context", "set", "1337", "--name", "acme", "--tags", "webmail"},
		{"user", "set", "17", "-c", "1337", "--login", "anna", "--mail", "anna@example.com", "--display-name", "Anna Müller"},
		{"user", "set", "18", "-c", "1337", "--login", "andi", "--display-name", strings.Repeat("long <b>name</b> ", 20)},
	} {
		if code, _, errs := run(append(args, "--server", p.admin)...); code != 0 {
			t.Fatal(errs)
		}
	}
	return p
}

// consoleTokens makes a token for each role, as JSON.
func consoleTokens(t *testing.T, p *process) string {
	tokens := map[string]string{}
	for _, role := range auth.Roles {
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
	return string(given)
}

// walkConsole starts a script that uses the console at an address.
func walkConsole(t *testing.T, script, address, tokens string, args ...string) *node {
	return runNode(t, script, nil, append([]string{script, testkit.Tool(t, "chromium", "chromium"), address, tokens}, args...)...)
}

// walked waits for a script, and fails with what it finds wrong.
func (n *node) walked(t *testing.T) {
	t.Helper()
	testkit.Within(t, walkPatience, n.name+" ends", func() bool { return n.seen("done", 1) != nil })
	for k := 1; n.seen("wrong", k) != nil; k++ {
		t.Errorf("%s", n.seen("wrong", k).Data)
	}
}

// TestConsole has people of three roles use the console in Chromium: every page
// and action, without scripts, and with axe-core. SLUICE_PICTURES names a folder
// for pictures of the pages.
func TestConsole(t *testing.T) {
	p := newConsoleServer(t)
	walkConsole(t, "console.js", p.tcp, consoleTokens(t, p), p.site(t).URL+"/login?user=17&lib=sio4").walked(t)
}

// TestConsoleTasks does what people come for, says how many clicks that takes, and
// goes through all pages by keyboard and by role.
func TestConsoleTasks(t *testing.T) {
	p := newConsoleServer(t)
	anna := browser(t, "anna", p.site(t).URL+"/login?user=17&lib=sio4")
	p.poll("Anna's page is connected", func() bool { return anna.seen("connect", 1) != nil })
	p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":[{"subject":"hello"}]}`, nil)
	p.poll("Anna's page has the mail", func() bool { return anna.seen("ox:mail:new", 1) != nil })
	n := walkConsole(t, "consoletasks.js", p.tcp, consoleTokens(t, p))
	n.walked(t)
	for k := 1; n.seen("task", k) != nil; k++ {
		t.Logf("%s", n.seen("task", k).Data)
	}
}

// TestConsoleRole takes away the role of somebody whose page is open, and then the
// token.
func TestConsoleRole(t *testing.T) {
	tree := newTree(t)
	file := filepath.Join(t.TempDir(), "tokens")
	secret := auth.NewTokenText()
	tokenFile := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tokenFile("somebody editor " + secret + "\n")
	put(t, tree, "own.properties", "sluice.admin.tokenFile="+file+"\n")
	p := launch(t, tree, t.TempDir())
	var tokens map[string]string
	if err := json.Unmarshal([]byte(consoleTokens(t, p)), &tokens); err != nil {
		t.Fatal(err)
	}
	tokens["editor"] = secret
	given, err := json.Marshal(tokens)
	if err != nil {
		t.Fatal(err)
	}
	n := walkConsole(t, "consolefaults.js", p.tcp, string(given), "role")
	for i, step := range []struct{ event, line, role string }{{"demote", "somebody viewer " + secret + "\n", "viewer"}, {"end", "", ""}} {
		p.poll(step.event, func() bool { return n.seen(step.event, 1) != nil || n.seen("done", 1) != nil })
		tokenFile(step.line)
		p.poll("the token file is read", func() bool {
			req, err := http.NewRequest("GET", p.tcp+"/admin/v1/whoami", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+secret)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var who struct{ Role string }
			if err := json.NewDecoder(res.Body).Decode(&who); err != nil {
				t.Fatal(err)
			}
			return who.Role == step.role
		})
		put(t, tree, "shown.properties", fmt.Sprintf("com.example.shown=%d\n", i)) // which open pages hear of
	}
	n.walked(t)
}

// TestConsoleMember kills the member that shows the console.
func TestConsoleMember(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	tokens := consoleTokens(t, f.members[0].process)
	f.members[1].poll("the other member knows the tokens", func() bool {
		var list struct{ Tokens []any }
		f.members[1].request("GET", "/admin/v1/tokens", "", &list)
		return len(list.Tokens) == len(auth.Roles)
	})
	b := newBalancer(t, f)
	b.members.Store(&[]string{f.members[0].tcp})
	n := walkConsole(t, "consolefaults.js", b.addr, tokens, "member")
	ended := func(event string) func() bool {
		return func() bool { return n.seen(event, 1) != nil || n.seen("done", 1) != nil }
	}
	f.members[0].poll("the page is open", ended("kill"))
	if err := f.members[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	testkit.Within(t, walkPatience, "the page says that it is alone", ended("back"))
	b.members.Store(&[]string{f.members[1].tcp})
	n.walked(t)
}

// TestConsoleInput has others write what pages must not be taken in by.
func TestConsoleInput(t *testing.T) {
	const hostile, mark = `<script>alert(1)</script><img src=x onerror=alert(1)>"'&amp;`, "\u202e"
	tree := newTree(t)
	put(t, tree, "good.properties", "com.example.hostile="+hostile+strings.Repeat("y", 10_000)+"\n")
	p := launch(t, tree, t.TempDir())
	put(t, tree, "hostile.properties", "com.example.hostile="+hostile+"\ncom.example.wrong=\\u<b>\n") // a finding
	long := strings.Repeat("x", 4000)
	write := func(method, path string, body any) {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status := p.request(method, path, string(b), nil); status >= 300 {
			t.Fatalf("%s %s: %d", method, path, status)
		}
	}
	write("PUT", "/admin/v1/contexts/1337", map[string]any{"name": "c" + hostile, "tags": []string{"tag<b>", hostile + mark}})
	write("PUT", "/admin/v1/contexts/1337/users/19", map[string]any{"login": "evil" + hostile, "displayName": "evil " + hostile + mark + "name"})
	write("PUT", "/admin/v1/contexts/1337/users/20", map[string]any{"login": "evil2" + hostile})
	write("PUT", "/admin/v1/contexts/1337/users/19/websockets", map[string]any{"enabled": false, "reason": hostile + mark + long})
	write("PUT", "/admin/v1/contexts/1337/users/20/properties?name=com.example.other", map[string]any{"value": hostile + mark + strings.Repeat("y", 10_000), "reason": hostile})
	write("POST", "/admin/v1/sessions", map[string]any{"context": 1337, "user": 19, "client": hostile, "userAgent": hostile + mark})
	walkConsole(t, "consolefaults.js", p.tcp, consoleTokens(t, p), "input").walked(t)
}
