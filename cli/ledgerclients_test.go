package cli_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer is the one address of a cluster: it leads each connection to the next
// member that takes requests.
type balancer struct {
	addr    string
	members atomic.Pointer[[]string] // addresses of their public listeners
	next    atomic.Uint64
	mu      sync.Mutex
	open    map[*net.TCPConn]struct{} // to members
	probe   http.Client
}

func newBalancer(t *testing.T, f *fleet) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{open: map[*net.TCPConn]struct{}{}, addr: "http://" + l.Addr().String(), probe: http.Client{Timeout: time.Second}}
	b.follow(f)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		b.members.Store(&[]string{})
		work.Wait()
	})
	return b
}

// follow takes up where the members listen now.
func (b *balancer) follow(f *fleet) {
	list := []string{}
	for _, m := range f.members {
		list = append(list, m.public)
	}
	b.members.Store(&list)
}

func (b *balancer) serve(conn net.Conn) {
	defer conn.Close()
	list := *b.members.Load()
	for range list {
		base := list[b.next.Add(1)%uint64(len(list))]
		res, err := b.probe.Get(base + "/readyz")
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			continue
		}
		dialled, err := net.Dial("tcp", base[len("http://"):])
		if err != nil {
			continue
		}
		to := dialled.(*net.TCPConn)
		b.mu.Lock()
		b.open[to] = struct{}{}
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.open, to)
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(to, conn) // ends with either connection
			_ = to.Close()
		}()
		_, _ = io.Copy(conn, to) // ends with either connection
		_ = conn.Close()
		<-done
		return
	}
}

// clients runs a real client for every user at one address. What each connection
// of one gets is a socket of the ledger.
func (l *ledger) clients(base, options string) {
	l.t.Helper()
	type client struct {
		Lib     string `json:"lib"`
		Query   string `json:"query"`
		User    int    `json:"user"`
		Session string `json:"session"`
		Cookie  string `json:"cookie"`
	}
	var list []client
	for user := 1; user <= ledgerUsers; user++ {
		lib, query := []string{"sio4", "sio1", "sio2", "sio3"}[user%4], ""
		if recoversItself(user) {
			query = "&recovery=1"
		}
		in := l.members[0].login(user)
		list = append(list, client{lib, query, user, in.Session, in.Cookie.Name + "=" + in.Cookie.Value})
	}
	text, err := json.Marshal(list)
	if err != nil {
		l.t.Fatal(err)
	}
	file := filepath.Join(l.t.TempDir(), "clients.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.node = runNode(l.t, "fleet", nil, "fleet.js", base, file, options)
	l.members[0].poll("all clients are connected", func() bool { return l.connected() == ledgerUsers })
}

// recoversItself reports whether the client of a user asks for Socket.IO's own
// recovery.
func recoversItself(user int) bool { return user%4 == 0 }

// cut ends all connections through the balancer without a word.
func (b *balancer) cut() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		_ = c.SetLinger(0) // what is under way is lost
		_ = c.Close()
		n++
	}
	return n
}

// connected counts the clients that have a connection now.
func (l *ledger) connected() (n int) {
	for _, s := range l.clientSockets() {
		if s.err == nil {
			n++
		}
	}
	return n
}

// clientMember stands for no member in particular.
const clientMember = -1

var errClientAway = errors.New("the client lost its connection")

// clientSockets are the connections that the clients had and have.
func (l *ledger) clientSockets() (list []*ledgerSocket) {
	if l.node == nil {
		return nil
	}
	now := make(map[int]*ledgerSocket)
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	for _, e := range l.node.events {
		var d struct {
			User int
			Text string
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			continue
		}
		switch s := now[d.User]; e.Event {
		case "connect":
			s = &ledgerSocket{member: clientMember, user: d.User, opened: e.at}
			now[d.User], list = s, append(list, s)
		case "disconnect":
			s.err, s.ended = errClientAway, e.at
		case "n":
			s.texts = append(s.texts, `{"Args":[`+strconv.Quote(d.Text)+`]}`)
		}
	}
	return list
}
