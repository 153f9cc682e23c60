package cli_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// notify sends a notification as Dovecot does; it must be taken.
func (m *member) notify(uid int, subject string) {
	m.t.Helper()
	body := fmt.Sprintf(`{"user":"17@1337","event":"messageNew","folder":"INBOX","imap-uidvalidity":1,"imap-uid":%d,"subject":%q}`, uid, subject)
	req, err := http.NewRequest(http.MethodPut, m.public+"/preliminary/http-notify/v1/notify", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.SetBasicAuth("dovecot", "s3cr/et")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		m.t.Fatalf("%s: %s", subject, res.Status)
	}
}

// subjects are those of the mails that a client has seen.
func (n *node) subjects() (list []string) {
	for _, m := range n.mails() {
		s, _ := m["subject"].(string)
		list = append(list, s)
	}
	return list
}

// A notification that comes to both members is one; while Redis is away each
// member knows its own; and a member that stops delivers what waits.
func TestNotifyOnceInTheCluster(t *testing.T) {
	redis := redistest.Start(t)
	f := newFleet(t, redis, 2, delayProperty+"=0", "com.openexchange.pns.delayDuration=0",
		"com.openexchange.rest.services.basic-auth.login=dovecot", "com.openexchange.rest.services.basic-auth.password=s3cr/et")
	a, b := f.members[0], f.members[1]
	l := f.login(17)
	onA, onB := a.node("sio4", l), b.node("sio3", l)
	want := func(subjects ...string) {
		t.Helper()
		for _, c := range []*node{onA, onB} {
			waitFor(t, fmt.Sprintf("the client sees %q", subjects), func() bool { return len(c.subjects()) >= len(subjects) })
			if got := c.subjects(); strings.Join(got, " ") != strings.Join(subjects, " ") {
				t.Errorf("%s saw %q, want %q", c.name, got, subjects)
			}
		}
	}
	for _, c := range []*node{onA, onB} {
		waitFor(t, "it is connected", func() bool { return c.seen("connect", 1) != nil })
	}
	a.notify(1, "one")
	want("one")
	b.notify(1, "one")
	a.notify(1, "one")
	b.notify(2, "two")
	want("one", "two")
	waitFor(t, "the second member has found out", func() bool {
		return b.metric(`sluice_push_deliveries_total{outcome="duplicate"}`) == "1" && a.metric(`sluice_push_notifications_total{result="duplicate"}`) == "1"
	})

	redis.Pause()
	waitFor(t, "the loss is noticed", func() bool {
		var list struct{ Status string }
		return a.request("GET", "/admin/v1/members", "", &list) == http.StatusOK && list.Status == "degraded"
	})
	a.notify(3, "three")
	a.notify(3, "three")
	waitFor(t, "the local socket sees it", func() bool { return len(onA.subjects()) == 3 })
	if n := a.metric("sluice_push_unclaimed_total"); n != "1" {
		t.Errorf("%s notifications are counted as unclaimed", n)
	}
	redis.Resume()
	want("one", "two", "three")

	// The delay is raised while the member runs, and what waits comes when it stops.
	a.save("zz-fleet.properties", "com.openexchange.pns.delayDuration", "600000\ncom.openexchange.pns.maxDelayDuration=0", false)
	if code := a.request("POST", "/admin/v1/config/reload", "", nil); code != http.StatusOK {
		t.Fatalf("reload: %d", code)
	}
	a.notify(4, "four")
	if n := a.metric("sluice_push_buffered"); n != "1" {
		t.Errorf("%s wait", n)
	}
	a.signal(syscall.SIGTERM)
	waitFor(t, "the client on the other member sees it", func() bool { return len(onB.subjects()) == 4 })
	if code := a.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
