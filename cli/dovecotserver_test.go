package cli_test

import (
	"bytes"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// dovecot is a private Dovecot on loopback, configured as docs/dovecot.md says.
type dovecot struct {
	t          *testing.T
	dir, conf  string
	lmtp, http string // addresses
}

// slow bounds what waits for Dovecot, which repeats within seconds.
const slow = time.Minute

const dovecotBase = `
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
first_valid_uid = 1
default_internal_user = INTERNAL
default_internal_group = INTERNALGROUP
default_login_user = LOGIN
mail_uid = MAIL
mail_gid = MAILGROUP
mail_location = sdbox:~/dbox
userdb {
  driver = passwd-file
  args = DIR/users
}
passdb {
  driver = passwd-file
  args = DIR/users
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = LMTP
  }
}
service stats {
  chroot =
}
!include DIR/sluice.conf
`

// newDovecot runs Dovecot with the users named, which notifies at notify, HOST:PORT.
func newDovecot(t *testing.T, notify string, users ...string) *dovecot {
	t.Helper()
	testkit.Tool(t, "doveadm", "dovecot-core dovecot-imapd dovecot-lmtpd dovecot-sieve")
	program := testkit.Tool(t, "dovecot", "dovecot-core")
	// The paths of its sockets must be short.
	dir, err := os.MkdirTemp("", "dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &dovecot{t: t, dir: dir, conf: filepath.Join(dir, "dovecot.conf")}
	ports := []string{freePort(t), freePort(t)}
	d.lmtp, d.http = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	conf := testkit.Block(t, "../docs/dovecot.md", "dovecot", "10.0.0.11:8011", notify, "cache_lifetime=60s", "cache_lifetime=0") +
		testkit.Block(t, "../docs/dovecot.md", "doveadm", "10.0.0.21", "127.0.0.1", "8080", ports[1])
	internal, login, mail := "dovecot", "dovenull", "mail"
	internalGroup, mailGroup := "dovecot", "mail"
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			t.Fatal(err)
		}
		internal, login, mail, internalGroup, mailGroup = me.Username, me.Username, me.Username, group.Name, group.Name
	}
	base := strings.NewReplacer("DIR", dir, "LMTP", ports[0], "INTERNALGROUP", internalGroup, "INTERNAL", internal,
		"MAILGROUP", mailGroup, "LOGIN", login, "MAIL", mail).Replace(dovecotBase)
	list := ""
	for _, u := range users {
		list += u + ":{PLAIN}secret::::" + filepath.Join(dir, "mail", u) + "\n"
	}
	for name, text := range map[string]string{"dovecot.conf": base, "sluice.conf": conf, "users": list} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", "mail", "state", "run"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		u, err := user.Lookup(mail)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chown", u.Uid+":"+u.Gid, filepath.Join(dir, "mail")).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-F", "-c", d.conf)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log")) // what is missing is not shown
			t.Logf("Dovecot: %s\n%s", &said, log[max(0, len(log)-4000):])
		}
	})
	waitFor(t, "Dovecot listens", func() bool {
		c, err := net.Dial("tcp", d.lmtp)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return d
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testkit.Within(t, slow, what, ok)
}

// register sets a user's metadata, as the page says.
func (d *dovecot) register(login, who string) {
	d.t.Helper()
	out, err := exec.Command("doveadm", "-c", d.conf, "mailbox", "metadata", "set", "-u", login, "-s", "",
		"/private/vendor/vendor.dovecot/http-notify", "user="+who).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v %s", err, out)
	}
}

// deliver sends mails to users in one LMTP session; each must be taken.
func (d *dovecot) deliver(to string, mails ...string) error {
	c, err := net.DialTimeout("tcp", d.lmtp, slow)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * slow)); err != nil {
		return err
	}
	p := textproto.NewConn(c)
	if _, _, err := p.ReadResponse(220); err != nil {
		return err
	}
	command := func(want int, format string, args ...any) error {
		if err := p.PrintfLine(format, args...); err != nil {
			return err
		}
		_, _, err := p.ReadResponse(want)
		return err
	}
	if err := command(250, "LHLO test"); err != nil {
		return err
	}
	for _, mail := range mails {
		if err := command(250, "MAIL FROM:<sender@example.org>"); err != nil {
			return err
		}
		if err := command(250, "RCPT TO:<%s>", to); err != nil {
			return err
		}
		if err := command(354, "DATA"); err != nil {
			return err
		}
		w := p.DotWriter()
		if _, err := io.WriteString(w, mail); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if _, _, err := p.ReadResponse(250); err != nil {
			return err
		}
	}
	return command(221, "QUIT")
}
