package cli_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// While the keeper is away a member refuses on its own whom it is told to switch
// off, says so everywhere, stores nothing, and takes it back when the keeper is
// there again.
func TestSwitchedOffWithoutTheKeeper(t *testing.T) {
	f := newFleet(t, redistest.Start(t), 2)
	a, b := f.members[0], f.members[1]
	f.one()
	l := b.login(17)
	conn, err := b.dial(l, "a")
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	go r.run(conn) // ends with the connection
	a.signal(syscall.SIGKILL)
	<-a.exited
	b.poll("without the keeper nothing is written", b.refuses(90, 503, "store_unavailable"))
	code, out, errs := run("disable", "-c", "1337", "-u", "17", "--reason", "stolen", "--server", b.admin)
	if code != 1 || !strings.Contains(errs, "On this member the sockets of user 17 in context 1337 are closed") || !strings.Contains(errs, "nothing of that is stored") {
		t.Errorf("sluice disable: %d %s%s", code, out, errs)
	}
	b.poll("the socket is closed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err != nil
	})
	if b.refusal(l, "b") == "" {
		t.Error("a handshake is let in")
	}
	if _, out, _ = run("doctor", "-c", "1337", "-u", "17", "--server", b.admin); !strings.Contains(out, "switched off on this member alone by") {
		t.Errorf("sluice doctor: %s", out)
	}
	if _, out, errs = run("explain", "com.openexchange.websockets.enabled", "-c", "1337", "-u", "17", "--server", b.admin); !strings.Contains(out+errs, "alone by") {
		t.Errorf("sluice explain: %s%s", out, errs)
	}
	f.launch(a)
	if code, out, errs = run("watch", "--kinds", "closing", "--count", "1", "--for", "60s", "-c", "1337", "-u", "17", "--server", b.admin); code != 0 || !strings.Contains(out, "over user 17 in context 1337 by") {
		t.Errorf("sluice watch: %d %s%s", code, out, errs)
	}
	b.poll("the user is served again", func() bool { return b.refusal(l, "c") == "" })
	f.one()
	if n := b.audited(); n != 0 {
		t.Errorf("%d writes were stored", n)
	}
	if code, out, errs = run("disable", "-c", "1337", "-u", "17", "--reason", "stolen", "--server", b.admin); code != 0 {
		t.Errorf("sluice disable: %d %s%s", code, out, errs)
	}
	b.poll("it counts", func() bool { return b.refusal(l, "d") != "" })
}
