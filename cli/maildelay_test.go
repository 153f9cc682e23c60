package cli_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

var mailDelays = flag.String("maildelays", "", "a file that gets each delay of TestMailDelay, a line each: timings, place, nanoseconds")

var mailNumber = regexp.MustCompile(`"subject":"delay-(\d+)"`)

// arrivals are when the mails reached a client, by their number.
type arrivals struct {
	mu sync.Mutex
	at map[string]time.Time
	n  int // with those that came twice
}

func (a *arrivals) read(conn *websocket.Conn) {
	for {
		_, data, err := conn.Read(context.Background()) // until the connection ends
		if err != nil {
			return
		}
		if m := mailNumber.FindSubmatch(data); m != nil {
			a.mu.Lock()
			a.at[string(m[1])] = time.Now()
			a.n++
			a.mu.Unlock()
		}
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// TestMailDelay delivers mails over LMTP one by one, and looks when a client on the
// member that Dovecot tells has each of them, and one on another member: without
// delays, and with the timings as they are by default.
func TestMailDelay(t *testing.T) {
	mails := map[string]int{"none": 10, "default": 5}
	if *torture {
		mails = map[string]int{"none": 400, "default": 200}
	}
	var lines strings.Builder
	for _, c := range []struct {
		timings    string
		pause      time.Duration // between two mails
		own, other time.Duration // the least that the delays make of it
		properties []string
	}{
		{"none", 0, 0, 0, []string{delayProperty + "=0", "com.openexchange.pns.delayDuration=0"}},
		// A notification waits 1 s for an equal one, a message for others another.
		{"default", 130 * time.Millisecond, time.Second, 2 * time.Second, nil},
	} {
		f := newFleet(t, redistest.Start(t), 2, append(c.properties,
			"com.openexchange.rest.services.basic-auth.login=dovecot", "com.openexchange.rest.services.basic-auth.password=s3cr/et")...)
		d := newDovecot(t, strings.TrimPrefix(f.members[0].public, "http://"), "alice@example.com")
		d.register("alice@example.com", "17@1337")
		places := map[string]*arrivals{}
		l := f.login(17)
		var conns []*websocket.Conn
		var readers sync.WaitGroup
		for i, place := range []string{"own", "other"} {
			conn, a := f.members[i].process.dial(l, place), &arrivals{at: map[string]time.Time{}}
			places[place] = a
			conns = append(conns, conn)
			readers.Go(func() { a.read(conn) })
		}
		var sent []time.Time
		tick := time.NewTicker(max(c.pause, time.Millisecond))
		for i := range mails[c.timings] {
			if i%50 == 0 { // the ping of a client
				for _, conn := range conns {
					if err := conn.Write(t.Context(), websocket.MessageText, []byte("2")); err != nil {
						t.Fatal(err)
					}
				}
			}
			sent = append(sent, time.Now())
			if err := d.deliver("alice@example.com", fmt.Sprintf(mailHead, 5000+i)+fmt.Sprintf("Subject: delay-%d\n", i)+plainText+"\nx\n"); err != nil {
				t.Fatal(err)
			}
			<-tick.C
		}
		tick.Stop()
		for place, a := range places {
			waitFor(t, "the client on the "+place+" member has all", func() bool { return a.count() >= len(sent) })
		}
		for _, conn := range conns {
			_ = conn.CloseNow() // it ends its reader
		}
		readers.Wait()
		for _, place := range []string{"own", "other"} {
			a, least := places[place], map[string]time.Duration{"own": c.own, "other": c.other}[place]
			if a.n != len(sent) {
				t.Errorf("%s, %s: %d mails, want %d", c.timings, place, a.n, len(sent))
			}
			var took []time.Duration
			for i, from := range sent {
				at, ok := a.at[fmt.Sprint(i)]
				if !ok {
					t.Fatalf("%s, %s: mail %d has not come", c.timings, place, i)
				}
				if at.Sub(from) < least {
					t.Errorf("%s, %s: mail %d took %v, and waits %v at least", c.timings, place, i, at.Sub(from), least)
				}
				took = append(took, at.Sub(from))
				fmt.Fprintf(&lines, "%s %s %d\n", c.timings, place, at.Sub(from).Nanoseconds())
			}
			slices.Sort(took)
			t.Logf("timings %s, client on the %s member, %d mails: p50 %v, p99 %v", c.timings, place, len(took), took[len(took)/2].Round(time.Millisecond/10), took[len(took)*99/100].Round(time.Millisecond/10))
		}
	}
	if *mailDelays != "" {
		if err := os.WriteFile(*mailDelays, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
