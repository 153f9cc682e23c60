package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The demo's login for producers of notifications, and its user's address.
const (
	demoLogin    = "dovecot"
	demoPassword = "demo"
	demoMail     = "anna@example.com"
	demoKey      = "demo-key"
)

// demoDovecot is a whole configuration of Dovecot 2.3, on loopback in a folder of
// its own. docs/dovecot.md explains what of it is for Sluice.
const demoDovecot = `base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
first_valid_uid = 1
default_internal_user = {internal}
default_internal_group = {internalGroup}
default_login_user = {login}
mail_uid = {mail}
mail_gid = {mailGroup}
mail_location = sdbox:~/dbox
mail_attribute_dict = file:%h/dovecot-attributes
mail_plugins = $mail_plugins notify push_notification
userdb {
  driver = passwd-file
  args = {dir}/users
}
passdb {
  driver = passwd-file
  args = {dir}/users
}
namespace inbox {
  inbox = yes
}
plugin {
  push_notification_driver = ox:url=http://{account}@{public}/preliminary/http-notify/v1/notify user_from_metadata cache_lifetime=0 timeout_msecs=2000
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = {lmtp}
  }
}
doveadm_api_key = {key}
service doveadm {
  inet_listener http {
    address = 127.0.0.1
    port = {http}
  }
}
`

// mailServer is the demo's Dovecot.
type mailServer struct {
	lmtp, http string // addresses
	stop       func()
}

var errNoDovecot = errors.New("no Dovecot is installed: on Debian, apt-get install dovecot-core dovecot-lmtpd")

// startDovecot runs Dovecot in dir, which notifies at public, HOST:PORT.
func startDovecot(ctx context.Context, dir, public string) (_ *mailServer, err error) {
	program, err := exec.LookPath("dovecot")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/dovecot"); err != nil {
			return nil, errNoDovecot
		}
	}
	if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err != nil {
		return nil, errNoDovecot
	}
	names := map[string]string{"internal": "dovecot", "internalGroup": "dovecot", "login": "dovenull", "mail": "mail", "mailGroup": "mail"}
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return nil, err
		}
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			return nil, err
		}
		names = map[string]string{"internal": me.Username, "internalGroup": group.Name, "login": me.Username, "mail": me.Username, "mailGroup": group.Name}
	}
	m := &mailServer{lmtp: freeAddr("127.0.0.1:24024"), http: freeAddr("127.0.0.1:24080")}
	for _, addr := range []*string{&m.lmtp, &m.http} {
		if *addr, err = concretePort(*addr); err != nil {
			return nil, err
		}
	}
	for name, value := range map[string]string{
		"dir": dir, "public": public, "account": demoLogin + ":" + demoPassword, "key": demoKey,
		"lmtp": portOf(m.lmtp), "http": portOf(m.http),
	} {
		names[name] = value
	}
	conf := demoDovecot
	for name, value := range names {
		conf = strings.ReplaceAll(conf, "{"+name+"}", value)
	}
	home := filepath.Join(dir, "mail")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	if err := ownFolder(home, names["mail"]); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"dovecot.conf": conf, "users": demoMail + ":{PLAIN}-::::" + filepath.Join(home, demoMail) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	cmd.Stdout, cmd.Stderr = &said, &said
	// Ctrl-C is for the demo, which then ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	}
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", m.lmtp)
		if err == nil {
			return m, conn.Close()
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the demo's Dovecot ended: %w: %s", err, bytes.TrimSpace(said.Bytes()))
		case <-ctx.Done():
			m.stop()
			return nil, fmt.Errorf("the demo's Dovecot does not listen: %w", err)
		case <-tick.C:
		}
	}
}

// concretePort is an address with a port that is free right now.
func concretePort(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // of a listener
	return port
}

// ownFolder gives a folder to the user whom Dovecot delivers as, where root may.
func ownFolder(path, name string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// deliver sends one mail over LMTP.
func (m *mailServer) deliver(text string) error {
	conn, err := net.DialTimeout("tcp", m.lmtp, demoStep)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(demoStep)); err != nil {
		return err
	}
	p := textproto.NewConn(conn)
	if _, _, err := p.ReadResponse(220); err != nil {
		return err
	}
	for _, step := range []struct {
		line string
		want int
	}{{"LHLO demo", 250}, {"MAIL FROM:<>", 250}, {"RCPT TO:<" + demoMail + ">", 250}, {"DATA", 354}} {
		if err := p.PrintfLine("%s", step.line); err != nil {
			return err
		}
		if _, _, err := p.ReadResponse(step.want); err != nil {
			return fmt.Errorf("%s: %w", step.line, err)
		}
	}
	w := p.DotWriter()
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, _, err = p.ReadResponse(250)
	return err
}

// notified sends what Dovecot sends of a new mail, and waits for it on the socket.
func (t *tour) notified(ctx context.Context, c *socketClient) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	start := time.Now()
	const body = `{"user":"17@1337","event":"messageNew","folder":"INBOX","imap-uidvalidity":1,"imap-uid":0,"from":"=?utf-8?q?J=C3=BCrgen?= <juergen@example.org>","subject":"=?utf-8?q?Gr=C3=BC=C3=9Fe?=","snippet":"Are you there?","unseen":1}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+t.server.PublicAddr()+"/preliminary/http-notify/v1/notify", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(demoLogin, demoPassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the notification is answered with %s", res.Status)
	}
	return t.arrived(ctx, c, start)
}

func (t *tour) arrived(ctx context.Context, c *socketClient, start time.Time) error {
	got, err := c.event(ctx)
	if err != nil {
		return err
	}
	t.printf("the socket received %s after %d ms\n", got, time.Since(start).Milliseconds())
	return nil
}

// mail registers the user with a real Dovecot and has it deliver a mail.
func (t *tour) mail(ctx context.Context, c *socketClient) error {
	t.say("Dovecot knows %s; Sluice registers user %d with it, through the HTTP API of doveadm:", demoMail, demoOn)
	var done struct{ Results []registration }
	_, err := t.client.call(t.app, http.MethodPost, "/admin/v1/mailpush/registrations",
		map[string]any{"action": "register", "users": []map[string]int{{"context": demoContext, "user": demoOn}}}, &done)
	if err != nil {
		return err
	}
	for _, r := range done.Results {
		t.printf("%d@%d %s %s %s\n", r.User, r.Context, r.Login, r.Result, r.Detail)
		if r.Result != "registered" {
			return errors.New("the user is not registered")
		}
	}
	t.say("A mail is delivered to %s over LMTP, and Dovecot tells Sluice:", demoMail)
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	start := time.Now()
	if err := t.mailServer.deliver("From: Zoe <zoe@example.org>\nSubject: =?utf-8?q?K=C3=A4sekuchen?=\nContent-Type: text/plain; charset=utf-8\n\nThere is cake in the kitchen.\n"); err != nil {
		return fmt.Errorf("the mail is not delivered: %w", err)
	}
	return t.arrived(ctx, c, start)
}
