package cli_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

// kept are the keys that a cluster has while nobody is connected: as many as
// there are members, and no more. The set "state" has the names of the members
// that were its keeper.
var kept = regexp.MustCompile(`^sluice:\{sluice\}:(members|member:[0-9a-f]{16}|lease:[0-9a-f]{16}|log|salt|state)$|^sluice:\{sluice:store\}:(keeper|entries)$`)

// registryPart is a part of the registry, whose fields that begin with # count
// changes.
var registryPart = regexp.MustCompile(`^sluice:\{sluice:r\d+\}:sockets$`)

// However many clients come and go, Redis keeps nothing of them.
func TestNothingIsLeftBehind(t *testing.T) {
	const workers, perSession = 16, 10
	connects := length(600, 1_000_000)
	s := redistest.Start(t)
	f := newFleet(t, s, 2)
	var work sync.WaitGroup
	var made atomic.Int64
	for w := range workers {
		work.Go(func() {
			// An address of its own, since ports are few.
			client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(w+1))}}).DialContext}}
			defer client.CloseIdleConnections()
			for made.Load() < int64(connects) && !t.Failed() {
				home := f.members[w%2]
				l := home.login(1 + w)
				for i := range perSession {
					m := f.members[i%2]
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					conn, _, err := websocket.Dial(ctx, m.public+fmt.Sprintf("/ws/x?connection=c%d&session=%s", i, l.Session), &websocket.DialOptions{
						HTTPClient: client, HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}},
					})
					cancel()
					if err != nil {
						t.Error(err)
						return
					}
					made.Add(1)
					if i%3 == 0 {
						_ = conn.CloseNow() // without a word
					} else {
						_ = conn.Close(websocket.StatusNormalClosure, "")
					}
				}
				home.request("DELETE", "/admin/v1/sessions/"+l.Session, "", nil)
			}
		})
	}
	work.Wait()
	c := s.Client()
	left := func() (list []string) {
		for all := c.Scan(context.Background(), 0, "*", 1000).Iterator(); all.Next(t.Context()); {
			switch key := all.Val(); {
			case kept.MatchString(key):
			case registryPart.MatchString(key):
				for _, field := range c.HKeys(context.Background(), key).Val() {
					if !strings.HasPrefix(field, "#") {
						list = append(list, key+" "+field)
					}
				}
			default:
				list = append(list, key)
			}
		}
		return list
	}
	t.Logf("%d connects, %d keys", made.Load(), c.DBSize(t.Context()).Val())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left: %q", left())
		}
	})
	f.members[0].poll("nothing is left", func() bool { return len(left()) == 0 })
	if keys := c.DBSize(t.Context()).Val(); keys > 60 {
		t.Errorf("%d keys are left", keys)
	}
}
