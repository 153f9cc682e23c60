package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

const (
	stormClients = 10_000
	// stormBack is when all are back, on a machine with two cores and no other work.
	stormBack = 15 * time.Second
)

// storm are clients with the options of App Suite's front end in this process, since
// so many do not fit into one of Node: they speak Engine.IO 4, keep their connection
// id, and wait 1, 2, 4, ... seconds before they try again.
type storm struct {
	t       *testing.T
	members []*member
	alive   atomic.Pointer[[]string] // public listeners, as the balancer leads to them
	next    atomic.Uint64

	connected, connects, refusals, told atomic.Int64 // told: clients that got what was sent while they were away
	text                                string
	ctx                                 context.Context
	work                                sync.WaitGroup
}

func (s *storm) run(user int, l login) {
	header := http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}
	for wait := time.Second; ; wait *= 2 {
		list := *s.alive.Load()
		base := list[s.next.Add(1)%uint64(len(list))]
		conn, res, err := websocket.Dial(s.ctx, fmt.Sprintf("%s/socket.io/appsuite/?EIO=4&transport=websocket&connection=c%d&session=%s", base, user, l.Session), &websocket.DialOptions{HTTPHeader: header})
		if err == nil {
			wait = time.Second
			s.talk(conn)
		} else if res != nil {
			s.refusals.Add(1)
		}
		select {
		case <-time.After(wait): // as the front end does
		case <-s.ctx.Done():
			return
		}
	}
}

// talk is one connection, until it ends.
func (s *storm) talk(conn *websocket.Conn) {
	defer conn.CloseNow()
	joined := false
	for {
		_, data, err := conn.Read(s.ctx)
		if err != nil {
			if joined {
				s.connected.Add(-1)
			}
			return
		}
		answer := ""
		switch text := string(data); {
		case strings.HasPrefix(text, "0"):
			answer = "40"
		case strings.HasPrefix(text, "40"):
			joined = true
			s.connected.Add(1)
			s.connects.Add(1)
		case text == "2":
			answer = "3"
		case strings.Contains(text, s.text):
			s.told.Add(1)
		}
		if answer == "" {
			continue
		}
		if err := conn.Write(s.ctx, websocket.MessageText, []byte(answer)); err != nil {
			continue // Read says so
		}
	}
}

// TestReconnectStorm kills the member that has all clients: they come to two others in
// the same moment, none is refused, and each gets what was sent meanwhile.
func TestReconnectStorm(t *testing.T) {
	clients := 300
	if *torture {
		clients = stormClients
	} else {
		t.Parallel()
	}
	f := newFleet(t, redistest.Start(t), 3)
	s := &storm{t: t, members: f.members, text: "while away"}
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	t.Cleanup(func() {
		cancel()
		s.work.Wait()
	})
	first := []string{f.members[0].public}
	s.alive.Store(&first)
	for user := 1; user <= clients; user++ {
		l := f.members[1+user%2].login(user)
		s.work.Go(func() { s.run(user, l) })
	}
	s.await("all are connected", func() bool { return s.connected.Load() == int64(clients) })
	before := s.connects.Load()

	others := []string{f.members[1].public, f.members[2].public}
	s.alive.Store(&others)
	f.members[0].signal(syscall.SIGKILL)
	f.members[0].wait()
	killed := time.Now()
	body, err := json.Marshal(map[string]any{"context": 1337, "name": "n", "args": []string{s.text}, "sync": true})
	if err != nil {
		t.Fatal(err)
	}
	if code := f.members[1].request("POST", "/admin/v1/messages", string(body), nil); code != http.StatusOK {
		t.Fatalf("a message to all: %d", code)
	}
	s.await("all are back", func() bool { return s.connects.Load() >= before+int64(clients) && s.connected.Load() == int64(clients) })
	back := time.Since(killed)
	s.await("all have what was sent meanwhile", func() bool { return s.told.Load() >= int64(clients) })
	t.Logf("%d clients are back after %v and have what they missed after %v; %d handshakes were refused, %d messages came twice",
		clients, back.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond), s.refusals.Load(), s.told.Load()-int64(clients))
	if n := s.refusals.Load(); n > 0 {
		t.Errorf("%d handshakes were refused: %v, %v", n, f.members[1].refusals(), f.members[2].refusals())
	}
	if *torture && back > stormBack {
		t.Errorf("want them back within %v", stormBack)
	}
}

func (s *storm) await(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(crowdPatience); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("not within %v: %s; %d are connected, %d have what they missed, %d handshakes were refused\n%s\n%s", crowdPatience, what, s.connected.Load(), s.told.Load(), s.refusals.Load(), s.members[1].log(), s.members[2].log())
		}
	}
}
