package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// TestRegistration registers a thousand users through the real API of doveadm, is
// interrupted, and goes on; an unknown one hurts no other. Then one who opens a
// socket is registered by the server itself.
func TestRegistration(t *testing.T) {
	const users = 1000
	logins := []string{}
	for i := range users {
		logins = append(logins, fmt.Sprintf("user%d@example.com", i+1))
	}
	door := newFront(t)
	d := newDovecot(t, strings.TrimPrefix(door.URL, "http://"), logins...)
	tree := newTree(t)
	text := "com.openexchange.dovecot.doveadm.enabled=true\ncom.openexchange.dovecot.doveadm.apiSecret=another-s3cret\n" +
		"com.openexchange.dovecot.doveadm.endpoints=http://127.0.0.1:1/doveadm/v1, http://" + d.http + "/doveadm/v1\n" +
		"com.openexchange.rest.services.basic-auth.login=dovecot\ncom.openexchange.rest.services.basic-auth.password=s3cr/et\n" +
		"com.openexchange.pns.delayDuration=0\n"
	file := filepath.Join(tree, "zz.properties")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, tree, t.TempDir())
	door.member.Store(&p.public)
	records := `{"context":{"id":1337,"name":"acme"}}` + "\n"
	for i, login := range append(logins, "stranger@example.com") {
		records += fmt.Sprintf(`{"user":{"context":1337,"id":%d,"login":"u%d","mail":[%q]}}`+"\n", i+1, i+1, login)
	}
	if code := p.requestWith("POST", "/admin/v1/import?reason=test", records, nil, "Content-Type: application/x-ndjson"); code != http.StatusOK {
		t.Fatalf("import: %d", code)
	}
	run := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.Command(binary(t), append([]string{"mailpush"}, args...)...)
		cmd.Env = append(os.Environ(), "SLUICE_SERVER="+p.admin)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}
	registered := func() (n int) {
		files, err := filepath.Glob(filepath.Join(d.dir, "mail", "*", "dovecot-attributes"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if cmd, out := run("register", "--all", "--dry-run"); cmd.Run() == nil || !strings.Contains(out.String(), "0 registered, 1000 unregistered, 1 not done") || registered() > 0 {
		t.Errorf("a dry run: %s", out)
	}
	began := time.Now()
	cmd, out := run("register", "--all")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "some are registered", func() bool { return registered() > 100 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if n := registered(); n >= users {
		t.Errorf("%d are registered although it was interrupted", n)
	}
	if !strings.Contains(out.String(), "1001 users") || !strings.Contains(out.String(), "at most 37 MB") {
		t.Errorf("it does not say what it costs: %s", out)
	}
	cmd, out = run("register", "--all")
	if err := cmd.Run(); err == nil || !strings.Contains(out.String(), "1000 registered, 0 unregistered, 1 not done") || !strings.Contains(out.String(), "1001@1337 stranger@example.com no_user") {
		t.Errorf("%v %s", err, out)
	}
	t.Logf("%d users registered in %v, with an interruption", registered(), time.Since(began).Round(time.Millisecond))
	if n := registered(); n != users {
		t.Errorf("%d are registered", n)
	}
	if cmd, out := run("status", "user7@example.com"); cmd.Run() != nil || !strings.Contains(out.String(), "7@1337 user7@example.com registered (user=7@1337)") {
		t.Errorf("status: %s", out)
	}
	if cmd, out := run("unregister", "user7@example.com"); cmd.Run() != nil || !strings.Contains(out.String(), "7@1337 user7@example.com unregistered") {
		t.Errorf("unregister: %s", out)
	}
	if cmd, out := run("status", "user7@example.com"); cmd.Run() != nil || !strings.Contains(out.String(), "unregistered") {
		t.Errorf("status: %s", out)
	}

	// Where the server registers by itself, the user's next mail is seen.
	if err := os.WriteFile(file, []byte(text+"sluice.mailpush.register=auto\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.request("POST", "/admin/v1/config/reload", "", nil)
	c := p.node("sio4", p.login(7))
	waitFor(t, "it is connected", func() bool { return c.seen("connect", 1) != nil })
	waitFor(t, "the user is registered", func() bool { return p.metric(`sluice_push_registrations_total{outcome="done"}`) == "1" })
	if err := d.deliver("user7@example.com", fmt.Sprintf(mailHead, 1)+"Subject: registered\n"+plainText+"\nx\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the mail is seen", func() bool { return len(c.mails()) == 1 })
}

// TestDemoMail holds that the demo delivers a mail where Dovecot is installed.
func TestDemoMail(t *testing.T) {
	testkit.Tool(t, "dovecot", "dovecot-core dovecot-lmtpd")
	cmd := exec.Command(binary(t), "demo", "--once", "--mail")
	dir, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The folder of a test is too deep for sockets, and closed to Dovecot's users.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"subject":"Käsekuchen","teaser":"There is cake in the kitchen."`) || !strings.Contains(string(out), "17@1337 anna@example.com registered") {
		t.Errorf("%v\n%s", err, out)
	}
}
