package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// front stands between Dovecot and a member, and misbehaves as it is told.
type front struct {
	*httptest.Server
	member  atomic.Pointer[string] // URL
	mode    atomic.Pointer[string] // of frontModes; "" passes on
	puts    atomic.Int64
	mu      sync.Mutex
	repeats map[string]int // by body
	refused atomic.Int64
}

func newFront(t *testing.T) *front {
	f := &front{repeats: map[string]int{}}
	f.set("")
	client := &http.Client{Timeout: slow}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.puts.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.repeats[string(body)]++
		times := f.repeats[string(body)]
		f.mu.Unlock()
		mode := *f.mode.Load()
		if mode == "503" && times == 1 {
			f.refused.Add(1)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if mode == "down" {
			panic(http.ErrAbortHandler)
		}
		req, err := http.NewRequest(r.Method, *f.member.Load()+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header = r.Header.Clone()
		res, err := client.Do(req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		if times == 1 {
			switch mode {
			case "late":
				select {
				case <-time.After(3 * time.Second): // Dovecot waits 2 s
				case <-r.Context().Done():
				}
			case "closes":
				panic(http.ErrAbortHandler)
			}
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body) // Dovecot may be gone
	}))
	t.Cleanup(f.Close)
	t.Cleanup(client.CloseIdleConnections)
	return f
}

// kill ends the listener and its connections until revive is called. Meanwhile a
// socket that does not listen keeps the port, so that nobody else can take it.
func (f *front) kill(t *testing.T) (revive func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, text, err := net.SplitHostPort(f.Listener.Addr().String())
	must(err)
	port, err := strconv.Atoi(text)
	must(err)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(err)
	keeper := os.NewFile(uintptr(fd), "the endpoint's port")
	t.Cleanup(func() { _ = keeper.Close() }) // it may be closed already
	must(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	must(f.Listener.Close())
	must(syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	f.CloseClientConnections()
	return func() {
		t.Helper()
		must(syscall.Listen(fd, 128))
		l, err := net.FileListener(keeper)
		must(err)
		must(keeper.Close())
		var work sync.WaitGroup
		work.Go(func() { _ = f.Config.Serve(l) }) // until l is closed
		t.Cleanup(func() {
			_ = l.Close() // it ends with the test
			work.Wait()
		})
	}
}

func (f *front) set(mode string) { f.mode.Store(&mode) }

// mails returns the events of new mails that a client has seen.
func (n *node) mails() (list []map[string]any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Event == "ox:mail:new" {
			var m map[string]any
			if json.Unmarshal(e.Data, &m) == nil {
				list = append(list, m)
			}
		}
	}
	return list
}

const mailHead = "From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.org>\nMessage-ID: <%d@test>\nMIME-Version: 1.0\n"

const plainText = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"

// dovecotMails are what people send, and what browsers get of it.
var dovecotMails = []struct{ name, text, subject, teaser string }{
	{"umlauts", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=\n" + plainText + "\nSchöne Grüße\n", "Grüße aus Köln", "Schöne Grüße"},
	{"emoji over two words", "Subject: =?utf-8?B?8J+Y?=\n =?utf-8?B?gCBo?= =?utf-8?Q?i?=\n" + plainText + "\n📨 da\n", "😀 hi", "📨 da"},
	{"iso-8859-1", "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n", "Grüße", "Grüße"},
	{"windows-1251", "Subject: =?windows-1251?q?=CF=F0=E8=E2=E5=F2?=\nContent-Type: text/plain; charset=windows-1251\nContent-Transfer-Encoding: quoted-printable\n\n=CF=F0=E8=E2=E5=F2\n", "Привет", "Привет"},
	{"iso-2022-jp", "Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\nContent-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: base64\n\nGyRCRnxLXBsoQg==\n", "日本", "日本"},
	{"no subject", plainText + "\nnone\n", "-", "none"},
	{"1 MB subject", "Subject: " + strings.Repeat("\n ü123456789012345678901234567890123456789012345678901234567890", 16_000) + "\n" + plainText + "\nlong\n", "cut", "long"},
	{"HTML only", "Subject: html\nContent-Type: text/html; charset=utf-8\n\n<html><style>p{}</style><p>Hello <b>you</b></p><script>x()</script></html>\n", "html", "Hello you"},
	{"invitation", "Subject: invitation\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n", "invitation", "BEGIN:VCALENDAR END:VCALENDAR"},
	{"signed", "Subject: signed\nContent-Type: multipart/signed; boundary=b; micalg=pgp-sha256; protocol=\"application/pgp-signature\"\n\n--b\nContent-Type: text/plain\n\nsigned text\n--b\nContent-Type: application/pgp-signature\n\nxyz\n--b--\n", "signed", "signed text"},
	{"empty body", "Subject: empty\n" + plainText + "\n", "empty", ""},
}

// TestDovecot is the whole way on real software: a mail over LMTP into a real
// Dovecot, its notification to one of two members, and real clients of all
// generations on both.
func TestDovecot(t *testing.T) {
	redis := redistest.Start(t)
	f := newFleet(t, redis, 2, delayProperty+"=0", "com.openexchange.pns.delayDuration=0",
		"com.openexchange.rest.services.basic-auth.login=dovecot", "com.openexchange.rest.services.basic-auth.password=s3cr/et")
	a, b := f.members[0], f.members[1]
	door := newFront(t)
	door.member.Store(&a.public)
	const alice = "alice@example.com"
	d := newDovecot(t, strings.TrimPrefix(door.URL, "http://"), alice, "bob@example.com")
	d.register(alice, "17@1337")

	var clients []*node
	l := f.login(17)
	for i, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		clients = append(clients, f.members[i%2].node(lib, l))
	}
	for i, lib := range []string{"sio2", "sio4"} {
		m := f.members[i%2]
		clients = append(clients, browser(t, "the page with "+lib, m.site(t).URL+"/login?user=17&lib="+lib))
	}
	t.Cleanup(func() {
		for _, c := range clients {
			if t.Failed() {
				t.Logf("%s saw %.3000s", c.name, c)
			}
		}
	})
	all := func(what string, ok func(*node) bool) {
		t.Helper()
		for _, c := range clients {
			waitFor(t, c.name+": "+what, func() bool { return ok(c) })
		}
	}
	deliver := func(mail string) {
		t.Helper()
		if err := d.deliver(alice, mail); err != nil {
			t.Fatal(err)
		}
	}
	number := 0
	next := func(text string) string { number++; return fmt.Sprintf(mailHead, number) + text }
	plain := func(subject string) string { return next("Subject: " + subject + "\n" + plainText + "\nx\n") }
	all("it is connected", func(c *node) bool { return c.seen("connect", 1) != nil })

	for _, m := range dovecotMails {
		began := time.Now()
		deliver(next(m.text))
		seen := number
		all("it sees the mail with "+m.name, func(c *node) bool { return len(c.mails()) >= seen })
		t.Logf("%s: %v until all have seen it", m.name, time.Since(began).Round(time.Millisecond))
	}
	for _, c := range clients {
		got := c.mails()
		if len(got) != len(dovecotMails) {
			t.Errorf("%s: %d mails, want %d", c.name, len(got), len(dovecotMails))
			continue
		}
		for i, m := range dovecotMails {
			g := got[i]
			subject, _ := g["subject"].(string)
			switch {
			case m.subject == "-":
				if _, has := g["subject"]; has {
					t.Errorf("%s, %s: a subject: %v", c.name, m.name, g)
				}
			case m.subject == "cut":
				if len(subject) > 1000 || len(subject) < 990 || !strings.HasPrefix(subject, "ü1234") {
					t.Errorf("%s, %s: %d bytes: %.50s", c.name, m.name, len(subject), subject)
				}
			case subject != m.subject:
				t.Errorf("%s, %s: subject %q, want %q", c.name, m.name, subject, m.subject)
			}
			if g["teaser"] != m.teaser || g["folder"] != "default0/INBOX" || g["email"] != "juergen@example.org" || g["displayname"] != "Jürgen Müller" ||
				g["id"] != fmt.Sprint(i+1) || g["unread"] != float64(i+1) {
				t.Errorf("%s, %s: %v, want teaser %q", c.name, m.name, g, m.teaser)
			}
		}
	}

	// Without a registration nobody is told.
	puts := door.puts.Load()
	if err := d.deliver("bob@example.com", plain("nobody is told")); err != nil || door.puts.Load() != puts {
		t.Errorf("%v, %d requests for a user who is not registered", err, door.puts.Load()-puts)
	}
	number--

	badEndpoint(t, door, all, deliver, plain, &number)

	// The user is switched off, and on again.
	if code := b.request("PUT", "/admin/v1/contexts/1337/users/17/websockets", `{"enabled":false,"reason":"test"}`, nil); code != http.StatusCreated {
		t.Fatalf("switched off: %d", code)
	}
	all("it is sent away", func(c *node) bool { return c.seen("disconnect", 1) != nil })
	deliver(plain("reaches no one"))
	number--
	if code := b.request("DELETE", "/admin/v1/contexts/1337/users/17/websockets?reason=test", "", nil); code != http.StatusOK {
		t.Fatalf("switched on: %d", code)
	}
	all("it comes back", func(c *node) bool { return c.seen("connect", 2) != nil })
	deliver(plain("on again"))
	all("it sees the mail", func(c *node) bool { return len(c.mails()) >= number })
	for _, c := range clients {
		if got := c.mails(); len(got) != number || got[number-1]["subject"] != "on again" {
			t.Errorf("%s: %d mails, want %d, the last %v", c.name, len(got), number, got[len(got)-1])
		}
	}

	manyMails(t, d, clients, all, number)
	replyDelays(t, d, clients[0])

	// A mail for a user who has a socket nowhere is counted as one that nothing shows.
	d.register("bob@example.com", "18@1337")
	const none = `sluice_push_deliveries_total{outcome="no_socket"}`
	before, err := strconv.Atoi(a.metric(none))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.deliver("bob@example.com", fmt.Sprintf(mailHead, 3000)+"Subject: to nobody\n"+plainText+"\nx\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is counted", func() bool { return a.metric(none) == strconv.Itoa(before+1) })
}

// replyDelays compares how long deliveries take to a user of whom Sluice is told, and
// to one of whom it is not, in turn.
func replyDelays(t *testing.T, d *dovecot, c *node) {
	t.Helper()
	pairs := 50
	if *torture {
		pairs = 1000
	}
	before := len(c.mails())
	took := map[string][]time.Duration{}
	for i := range pairs {
		for _, to := range []string{"alice@example.com", "bob@example.com"} {
			began := time.Now()
			if err := d.deliver(to, fmt.Sprintf(mailHead, 2000+i)+"Subject: pair\n"+plainText+"\nx\n"); err != nil {
				t.Fatal(err)
			}
			took[to] = append(took[to], time.Since(began))
		}
	}
	waitFor(t, "the mails are seen", func() bool { return len(c.mails()) == before+pairs })
	at := func(list []time.Duration, percent int) time.Duration { return list[len(list)*percent/100] }
	told, untold := took["alice@example.com"], took["bob@example.com"]
	slices.Sort(told)
	slices.Sort(untold)
	t.Logf("%d LMTP sessions of one mail, of which Sluice is told against not: p50 %v against %v, p99 %v against %v",
		pairs, at(told, 50), at(untold, 50), at(told, 99), at(untold, 99))
}

// badEndpoint has the endpoint misbehave: the mail is always delivered, and seen once
// where Dovecot repeats its notification.
func badEndpoint(t *testing.T, door *front, all func(string, func(*node) bool), deliver func(string), plain func(string) string, number *int) {
	t.Helper()
	for _, mode := range []string{"late", "closes", "503"} {
		door.set(mode)
		puts := door.puts.Load()
		deliver(plain(mode))
		all("it sees the mail although the endpoint is "+mode, func(c *node) bool { return len(c.mails()) >= *number })
		waitFor(t, "Dovecot repeats it", func() bool { return door.puts.Load() == puts+2 })
	}
	if n := door.refused.Load(); n != 1 {
		t.Errorf("503 was answered %d times", n)
	}
	// It breaks off each time: the notification is lost, the mail is not.
	door.set("down")
	deliver(plain("lost"))
	*number--
	// Nobody listens, in torture for 10 s: each mail is delivered at once, and no
	// notification is kept for later.
	puts := door.puts.Load()
	revive := door.kill(t)
	until := time.Now()
	if *torture {
		until = until.Add(10 * time.Second)
	}
	for tick := time.NewTicker(time.Second); ; <-tick.C {
		deliver(plain("nobody listens"))
		*number--
		if !time.Now().Before(until) {
			tick.Stop()
			break
		}
	}
	if n := door.puts.Load(); n != puts {
		t.Errorf("%d requests came while nobody listened", n-puts)
	}
	revive()
	door.set("")
	deliver(plain("there again"))
	all("it sees the next mail", func(c *node) bool { return len(c.mails()) >= *number })
}

// manyMails delivers 200 mails in 8 sessions at once: each is seen once.
func manyMails(t *testing.T, d *dovecot, clients []*node, all func(string, func(*node) bool), before int) {
	t.Helper()
	const sessions, each = 8, 25
	var work sync.WaitGroup
	began := time.Now()
	for s := range sessions {
		work.Go(func() {
			var list []string
			for i := range each {
				list = append(list, fmt.Sprintf(mailHead, 1000+s*each+i)+"Subject: many\n"+plainText+"\nx\n")
			}
			if err := d.deliver("alice@example.com", list...); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	all("it sees all mails", func(c *node) bool { return len(c.mails()) >= before+sessions*each })
	t.Logf("%d mails in %v", sessions*each, time.Since(began).Round(time.Millisecond))
	for _, c := range clients {
		ids := map[any]bool{}
		for _, m := range c.mails()[before:] {
			if m["id"] == "0" || ids[m["id"]] {
				t.Errorf("%s: the mail %v again, or without a number", c.name, m["id"])
			}
			ids[m["id"]] = true
		}
		if len(ids) != sessions*each {
			t.Errorf("%s: %d mails, want %d", c.name, len(ids), sessions*each)
		}
	}
}
