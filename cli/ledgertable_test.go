package cli_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var ledgerFile = flag.String("ledger", "", "file to which the totals of the ledgers are appended as a table")

var ledgerRows sync.Mutex // of ledgerFile

// note adds a run to the table of totals.
func (l *ledger) note(sum totals, whole time.Duration) {
	l.t.Helper()
	fault := l.t.Name()
	missed, twice := "", "" // there were no clients
	if l.node != nil {
		missed, twice = strconv.Itoa(sum.away), strconv.Itoa(sum.again+sum.againOwn)
	}
	row := fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %.1f s | %s | %s |\n", fault, sum.sent, sum.missing, sum.twice, sum.late, sum.refused, sum.unflushed, whole.Seconds(), missed, twice)
	l.t.Log(strings.TrimSpace(row))
	if *ledgerFile == "" {
		return
	}
	ledgerRows.Lock()
	defer ledgerRows.Unlock()
	f, err := os.OpenFile(*ledgerFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if at, err := f.Seek(0, 2); err == nil && at == 0 {
		row = "| fault | messages | lost | doubled | out of order | refused | died with their member | whole after | missed by clients | twice at clients |\n|---|---|---|---|---|---|---|---|---|---|\n" + row
	}
	if _, err := f.WriteString(row); err != nil {
		l.t.Fatal(err)
	}
}

// wholeWithin is how long a cluster may take to be whole after the end of a
// fault, and a message while a member is dead.
const wholeWithin = 5 * time.Second

// most is what something may take that has to be done within wholeWithin and takes
// usual while nothing fails. The short round runs beside all other tests, where no
// time says anything: there it is reported alone.
func (l *ledger) most(usual time.Duration) time.Duration {
	if !*torture {
		return patience
	}
	return wholeWithin + 4*usual
}

// watchDelay opens a socket. What it returns sends messages from one member to it
// on another for at least a while, and returns the longest time that one took.
func (l *ledger) watchDelay(from, to int, d time.Duration) (watch func() time.Duration) {
	l.t.Helper()
	in := l.members[from].login(ledgerUsers + 2)
	conn, err := l.members[to].dial(in, fmt.Sprintf("delay%d", time.Now().UnixNano()))
	if err != nil {
		l.t.Fatal(err)
	}
	r := &reader{}
	go r.run(conn) // ends with the connection
	return func() (longest time.Duration) {
		defer conn.CloseNow()
		for began, n := time.Now(), 0; n == 0 || time.Since(began) < d; n++ {
			text := fmt.Sprintf("delay %d.", n)
			longest = max(longest, l.members[from].poll("a message is taken", func() bool {
				return l.members[from].request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":[%q],"sync":true}`, ledgerUsers+2, text), nil) == http.StatusOK
			})+l.members[to].poll("it comes", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return strings.Contains(strings.Join(r.texts, " "), text)
			}))
		}
		return longest
	}
}

// whole waits until every member is well and a message of each reaches the
// sockets of all, and returns how long that took.
func (l *ledger) whole() time.Duration {
	l.t.Helper()
	began := time.Now()
	for _, m := range l.members {
		m.poll("the members are well", func() bool {
			var list struct {
				Status  string
				Members []struct{ Alive bool }
			}
			if m.request("GET", "/admin/v1/members", "", &list) != http.StatusOK || list.Status != "ok" {
				return false
			}
			alive := 0
			for _, x := range list.Members {
				if x.Alive {
					alive++
				}
			}
			return alive == len(l.members)
		})
	}
	var probe login
	l.members[0].poll("sessions are made", func() bool {
		return l.members[0].request("POST", "/admin/v1/sessions", fmt.Sprintf(`{"context":1337,"user":%d,"client":"probe"}`, ledgerUsers+1), &probe) == http.StatusCreated
	})
	var readers []*reader
	for i, m := range l.members {
		r := &reader{}
		m.poll("sockets are taken", func() bool {
			conn, err := m.dial(probe, fmt.Sprintf("probe%d-%d", i, began.UnixNano()))
			if err == nil {
				l.t.Cleanup(func() { _ = conn.CloseNow() })
				go r.run(conn) // ends with the connection
			}
			return err == nil
		})
		readers = append(readers, r)
	}
	for i, m := range l.members {
		text := fmt.Sprintf("probe %d", i)
		m.poll("a message is taken", func() bool {
			return m.request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":[%q],"sync":true,"id":"%s %d"}`, ledgerUsers+1, text, text, began.UnixNano()), nil) == http.StatusOK
		})
		for k, r := range readers {
			l.members[k].poll("a message of "+m.name+" comes", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return strings.Contains(strings.Join(r.texts, " "), text)
			})
		}
	}
	return time.Since(began)
}

// handshake tries to open a socket of a user, closes it, and returns the status.
func (m *member) handshake(l login) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.public+"/ws/x?connection=try&session="+l.Session, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value},
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		m.t.Error(err)
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}
