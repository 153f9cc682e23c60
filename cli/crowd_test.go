package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// frontEndOptions are those of App Suite's front end.
const frontEndOptions = `{"path":"/socket.io/appsuite","transports":["websocket"],"reconnectionAttempts":25,"reconnectionDelay":1000,"reconnectionDelayMax":600000,"randomizationFactor":0}`

// crowd are many real clients, each of a user of its own, in processes of their
// own.
type crowd struct {
	edge  *edge
	nodes []*node
	began time.Time // all were connected
}

// crowdOfProcess bounds the clients of one process, which may have 20,000
// descriptors and has one core.
const crowdOfProcess = 3000

// crowdPatience is how long a large crowd may take for anything.
const crowdPatience = 2 * time.Minute

// newCrowd connects clients through a proxy and waits until all are connected.
func newCrowd(t *testing.T, m *member, e *edge, clients int, libs ...string) *crowd {
	t.Helper()
	type entry struct {
		Lib     string `json:"lib"`
		User    int    `json:"user"`
		Session string `json:"session"`
		Cookie  string `json:"cookie"`
	}
	c := &crowd{edge: e}
	for from := 0; from < clients; from += crowdOfProcess {
		var list []entry
		for i := from; i < min(from+crowdOfProcess, clients); i++ {
			l := m.login(1000 + i)
			list = append(list, entry{libs[i%len(libs)], 1000 + i, l.Session, l.Cookie.Name + "=" + l.Cookie.Value})
		}
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "crowd.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var env []string
		if e.certFile != "" {
			env = append(env, "NODE_EXTRA_CA_CERTS="+e.certFile)
		}
		c.nodes = append(c.nodes, runNode(t, fmt.Sprint("crowd from ", from), env, "fleet.js", e.base, file, frontEndOptions))
	}
	c.await(m, "all clients are connected", func() bool { return c.connected() == clients })
	c.began = time.Now()
	return c
}

// await waits for a condition for as long as a large crowd may take.
func (c *crowd) await(m *member, what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(crowdPatience); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			m.t.Fatalf("not within %v: %s; %d clients are connected, %d handshakes failed; the proxy: %v\n%s",
				crowdPatience, what, c.connected(), c.count("connect_error"), c.edge.statuses(m.t), m.log())
		}
	}
}

// count is how often something happened to any of the clients.
func (c *crowd) count(event string) (n int) {
	for _, node := range c.nodes {
		node.mu.Lock()
		for i := range node.events {
			if node.events[i].Event == event {
				n++
			}
		}
		node.mu.Unlock()
	}
	return n
}

// connected is how many clients are.
func (c *crowd) connected() int { return c.count("connect") - c.count("disconnect") }

// longestBelow is the longest time since all were connected for which fewer than
// n were.
func (c *crowd) longestBelow(n int) (longest time.Duration) {
	node := c.nodes[0] // the crowds that are asked have one process
	node.mu.Lock()
	defer node.mu.Unlock()
	connected := 0
	var since time.Time
	for _, e := range node.events {
		switch e.Event {
		case "connect":
			connected++
		case "disconnect":
			connected--
		}
		switch {
		case e.at.Before(c.began):
		case connected >= n && !since.IsZero():
			longest, since = max(longest, e.at.Sub(since)), time.Time{}
		case connected < n && since.IsZero():
			since = e.at
		}
	}
	if !since.IsZero() {
		longest = max(longest, time.Since(since))
	}
	return longest
}
