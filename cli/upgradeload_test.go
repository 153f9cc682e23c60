package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// heard is what a socket of text got, and how late.
type heard struct {
	mu    sync.Mutex
	ids   map[string]int
	late  time.Duration
	ended error
}

// hear reads until the connection ends. A message is {"name":"n","args":[ID, Unix nanoseconds]}.
func (h *heard) hear(conn *websocket.Conn) {
	for {
		_, data, err := conn.Read(context.Background())
		h.mu.Lock()
		if err != nil {
			h.ended = err
			h.mu.Unlock()
			return
		}
		var x struct{ Args []json.RawMessage }
		var id string
		var at int64
		if json.Unmarshal(data, &x) == nil && len(x.Args) == 2 && json.Unmarshal(x.Args[0], &id) == nil && json.Unmarshal(x.Args[1], &at) == nil {
			h.ids[id]++
			h.late = max(h.late, time.Since(time.Unix(0, at)))
		}
		h.mu.Unlock()
	}
}

// load is messages for users of a server, each of whom has sockets of text on it.
type load struct {
	t       *testing.T
	sockets map[int][]*heard // by user
	real    *node            // has a client of each user that has no such socket
	users   []int

	mu   sync.Mutex
	sent map[int]map[string]time.Time // by user: when it was answered
	stop context.CancelFunc
	work sync.WaitGroup
}

// newLoad has users with a socket on each of the members.
func newLoad(t *testing.T, from *process, on []*process, users int) *load {
	t.Helper()
	l := &load{t: t, sockets: map[int][]*heard{}, sent: map[int]map[string]time.Time{}}
	for user := 1; user <= users; user++ {
		in := from.login(user)
		l.users, l.sent[user] = append(l.users, user), map[string]time.Time{}
		for i, p := range on {
			h := &heard{ids: map[string]int{}}
			l.sockets[user] = append(l.sockets[user], h)
			m := &member{process: p}
			conn, err := m.dial(in, fmt.Sprint("c", i))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadLimit(1 << 20)
			t.Cleanup(func() { _ = conn.CloseNow() })
			go h.hear(conn) // ends with the connection
		}
	}
	return l
}

// clients runs real clients of further users, half of them socket.io-client 2.5.0
// and half 4.8.4.
func (l *load) clients(p *process, users int) {
	l.t.Helper()
	type client struct {
		Lib     string `json:"lib"`
		User    int    `json:"user"`
		Session string `json:"session"`
		Cookie  string `json:"cookie"`
	}
	var list []client
	for user := 1001; user <= 1000+users; user++ {
		in := p.login(user)
		l.users, l.sent[user] = append(l.users, user), map[string]time.Time{}
		list = append(list, client{[]string{"sio2", "sio4"}[user%2], user, in.Session, in.Cookie.Name + "=" + in.Cookie.Value})
	}
	text, err := json.Marshal(list)
	if err != nil {
		l.t.Fatal(err)
	}
	file := filepath.Join(l.t.TempDir(), "clients.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.real = runNode(l.t, "fleet", nil, "fleet.js", p.public, file)
	p.poll("the real clients are connected", func() bool { return len(l.said("connect")) == users })
}

// said are the events of a name of the real clients: of which user, and its text.
func (l *load) said(event string) (list []clientEvent) {
	if l.real == nil {
		return nil
	}
	l.real.mu.Lock()
	defer l.real.mu.Unlock()
	for _, e := range l.real.events {
		var d clientEvent
		if e.Event == event && json.Unmarshal(e.Data, &d) == nil {
			list = append(list, d)
		}
	}
	return list
}

type clientEvent struct {
	User int
	Text string
}

// send posts messages to each of the servers, at a rate each. Senders do as senders
// are told to: what gets no answer is sent again under its id.
func (l *load) send(rate int, to ...*process) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.t.Cleanup(func() {
		stop()
		l.work.Wait()
	})
	for i, p := range to {
		const senders = 8
		for s := range senders {
			l.work.Go(func() {
				tick := time.NewTicker(time.Second * senders / time.Duration(rate))
				defer tick.Stop()
				for n := 0; ; n++ {
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
					l.post(p, l.users[(n*senders+s)%len(l.users)], fmt.Sprintf("%d/%d/%d", i, s, n))
				}
			})
		}
	}
}

func (l *load) post(p *process, user int, id string) {
	body := fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":[%q,%d],"id":%q}`, user, id, time.Now().UnixNano(), id)
	for range 10 {
		req, err := http.NewRequest("POST", adminURL(p.admin, "/admin/v1/messages"), strings.NewReader(body))
		if err != nil {
			l.t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := adminClient.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			l.mu.Lock()
			l.sent[user][id] = time.Now()
			l.mu.Unlock()
			return
		}
		l.t.Errorf("message %s: %d", id, res.StatusCode)
	}
	l.t.Errorf("message %s gets no answer", id)
}

// maxAmiss bounds what a failed check names one by one.
const maxAmiss = 40

// logTime is the time as the servers' logs have it.
const logTime = "15:04:05.000"

// check ends the senders and wants every message at every socket once.
func (l *load) check(p *process) (messages int, late time.Duration) {
	l.t.Helper()
	l.stop()
	l.work.Wait()
	whole := func() bool {
		if got := l.said("n"); l.real != nil {
			want := 0
			for user := range l.sent {
				if l.sockets[user] == nil {
					want += len(l.sent[user])
				}
			}
			if len(got) < want {
				return false
			}
		}
		for user, list := range l.sockets {
			for _, h := range list {
				h.mu.Lock()
				n := len(h.ids)
				h.mu.Unlock()
				if n < len(l.sent[user]) {
					return false
				}
			}
		}
		return true
	}
	limit := time.Now().Add(patience / 2)
	for !whole() && time.Now().Before(limit) {
		hold(10 * time.Millisecond)
	}
	missed, twice, closed := 0, 0, 0
	var amiss []string
	note := func(format string, args ...any) {
		if len(amiss) < maxAmiss {
			amiss = append(amiss, fmt.Sprintf(format, args...))
		}
	}
	count := func(who, id string, at time.Time, n int) {
		switch {
		case n == 0:
			missed++
			note("%s lacks %s, answered at %s", who, id, at.Format(logTime))
		case n > 1:
			twice++
			note("%s has %s %d times, answered at %s", who, id, n, at.Format(logTime))
		}
	}
	for user, list := range l.sockets {
		messages += len(l.sent[user])
		for i, h := range list {
			h.mu.Lock()
			if h.ended != nil {
				closed++
				note("socket c%d of user %d: %v", i, user, h.ended)
			}
			for id, at := range l.sent[user] {
				count(fmt.Sprintf("socket c%d of user %d", i, user), id, at, h.ids[id])
			}
			late = max(late, h.late)
			h.mu.Unlock()
		}
	}
	got := map[int]map[string]int{}
	for _, e := range l.said("n") {
		if got[e.User] == nil {
			got[e.User] = map[string]int{}
		}
		got[e.User][e.Text]++
	}
	for user, sent := range l.sent {
		if l.sockets[user] != nil {
			continue
		}
		messages += len(sent)
		for id, at := range sent {
			count(fmt.Sprintf("the real client of user %d", user), id, at, got[user][id])
		}
	}
	for _, e := range l.said("disconnect") {
		closed++
		note("the real client of user %d: %s", e.User, e.Text)
	}
	if missed+twice+closed > 0 || messages == 0 {
		l.t.Errorf("of %d messages %d were missed and %d came twice, and %d sockets were closed\n%s\n%s", messages, missed, twice, closed, strings.Join(amiss, "\n"), p.log())
	}
	return messages, late
}
