package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// The heartbeat of these tests.
const (
	cutInterval = 2 * time.Second
	cutTimeout  = 3 * time.Second
)

// cutting is what happens to the network between clients and their server, without a
// packet that would say so.
type cutting struct {
	name     string
	cut      func(c *cutTest)
	heal     func(c *cutTest)
	browsers bool // pages of Chromium and python-socketio are among the clients
	again    bool // clients may be back before the server misses them
}

var cuttings = []cutting{
	{name: "the link drops everything", browsers: true, cut: func(c *cutTest) { c.lan.forward(false) }, heal: func(c *cutTest) { c.lan.forward(true) }},
	{name: "a phone changes networks", again: true, cut: func(c *cutTest) { c.lan.move() }, heal: func(*cutTest) {}},
	{name: "a balancer forgets its connections", again: true, cut: func(c *cutTest) {
		if n := c.lan.forget(); n < len(c.clients) {
			c.t.Errorf("%d connections of %d clients are forgotten", n, len(c.clients))
		}
	}, heal: func(*cutTest) {}},
	{name: "a laptop sleeps", cut: func(c *cutTest) { c.each(syscall.SIGSTOP); c.lan.forward(false) }, heal: func(c *cutTest) { c.lan.forward(true); c.each(syscall.SIGCONT) }},
}

// cutTest are clients that lose their network.
type cutTest struct {
	t       *testing.T
	p       *process
	lan     *lan
	nodes   []*node
	clients []*cutClient
}

// cutClient is the client of one user.
type cutClient struct {
	name string
	user int
	busy bool  // messages come all the time; else none for as long as its connection is thought to be alive
	own  bool  // it uses Socket.IO's own recovery
	node *node // that tells of it
	page bool  // and of it alone
	any  bool  // in any order: the library has a thread for each message

	sent atomic.Int64 // messages, which are numbered from 1
}

func (c *cutTest) each(s syscall.Signal) {
	c.t.Helper()
	for _, n := range c.nodes {
		if err := n.cmd.Process.Signal(s); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestNetworkCuts takes the network away in each way that networks know, from clients
// of every kind, idle and busy: the server finds out by its heartbeat, and who comes
// back misses nothing.
func TestNetworkCuts(t *testing.T) {
	t.Parallel()
	for _, how := range cuttings {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			c := newCutTest(t, how.browsers)
			c.run(how)
		})
	}
}

func newCutTest(t *testing.T, browsers bool) *cutTest {
	c := &cutTest{t: t, lan: newLAN(t)}
	tree, state := newTree(t), t.TempDir()
	put(t, tree, "own.properties", fmt.Sprintf("%s=%v\n%s=%v\n", websockets.PropPingInterval, cutInterval, websockets.PropPingTimeout, cutTimeout))
	args := append(append(c.lan.server.in(), binary(t)), append(serveArgs(tree, state), "--public", lanServer+":0")...)
	c.p = startCommand(t, exec.Command(args[0], args[1:]...), tree, state)
	c.p.serving()

	type entry struct {
		Lib     string `json:"lib"`
		Query   string `json:"query"`
		User    int    `json:"user"`
		Session string `json:"session"`
		Cookie  string `json:"cookie"`
	}
	var list []entry
	for i, lib := range []string{"sio1", "sio2", "sio3", "sio4", "sio4"} {
		for k, kind := range []string{"idle", "busy"} {
			in := c.p.login(1 + 2*i + k)
			client := &cutClient{name: kind + " " + lib, user: 1 + 2*i + k, busy: k == 1, own: i == 4}
			query := ""
			if client.own {
				query = "&recovery=1"
				client.name += " with its own recovery"
			}
			list = append(list, entry{lib, query, client.user, in.Session, in.Cookie.Name + "=" + in.Cookie.Value})
			c.clients = append(c.clients, client)
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "clients.json")
	put(t, filepath.Dir(file), "clients.json", string(text))
	fleet := c.start("fleet", nil, "node", "fleet.js", c.p.public, file)
	for _, client := range c.clients {
		client.node = fleet
	}
	if browsers {
		c.addPython(21)
		c.addPages(22, 23)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.nodes {
				t.Logf("%s saw %.20000s", n.name, n)
			}
			t.Log(c.p.log())
		}
	})
	return c
}

// start runs a program where the clients are.
func (c *cutTest) start(name string, env []string, args ...string) *node {
	n := runClient(c.t, name, env, append(c.lan.clients.in(), args...)...)
	c.nodes = append(c.nodes, n)
	return n
}

func (c *cutTest) addPython(user int) {
	if out, err := exec.Command(debianPython, "-c", "import socketio, websocket").CombinedOutput(); err != nil {
		c.t.Fatalf("install the packages python3-socketio and python3-websocket: %v\n%s", err, out)
	}
	in := c.p.login(user)
	n := c.start("python", nil, debianPython, "client.py", c.p.public, in.Session, in.Cookie.Name+"="+in.Cookie.Value, strconv.Itoa(user))
	c.clients = append(c.clients, &cutClient{name: "busy python-socketio", user: user, busy: true, node: n, any: true})
}

// addPages opens pages in Chromium, whose host is in the server's network.
func (c *cutTest) addPages(users ...int) {
	l, err := c.lan.server.listen(lanServer + ":0")
	if err != nil {
		c.t.Fatal(err)
	}
	site := c.p.siteAt(c.t, l, &http.Transport{DialContext: c.lan.server.dial})
	for i, user := range users {
		lib := []string{"sio2", "sio4"}[i%2]
		n := c.start("the page with "+lib, []string{"TMPDIR=" + c.t.TempDir()}, "node", "browser.js",
			testkit.Tool(c.t, "chromium", "chromium"), fmt.Sprintf("%s/login?user=%d&lib=%s", site.URL, user, lib))
		c.clients = append(c.clients, &cutClient{name: "busy page with " + lib, user: user, busy: true, node: n, page: true})
	}
}

// heard are the numbers that a client got, in their order, and how often it connected.
func (c *cutClient) heard() (numbers []int, connects int) {
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	for _, e := range c.node.events {
		var d clientEvent
		if !c.page {
			if err := json.Unmarshal(e.Data, &d); err != nil || d.User != c.user {
				continue
			}
		}
		switch {
		case e.Event == "connect":
			connects++
		case e.Event != "n":
		case c.page:
			var text string
			if json.Unmarshal(e.Data, &text) == nil {
				n, _ := strconv.Atoi(text) // of push
				numbers = append(numbers, n)
			}
		default:
			n, _ := strconv.Atoi(d.Text) // of push
			numbers = append(numbers, n)
		}
	}
	return numbers, connects
}

// distinct counts the messages that came.
func (c *cutClient) distinct() int {
	numbers, _ := c.heard()
	seen := map[int]bool{}
	for _, n := range numbers {
		seen[n] = true
	}
	return len(seen)
}

func (c *cutTest) push(client *cutClient) {
	n := client.sent.Add(1)
	body := fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":["%d"]}`, client.user, n)
	if code := c.p.request("POST", "/admin/v1/messages", body, nil); code != http.StatusOK {
		c.t.Errorf("message %d for user %d: %d", n, client.user, code)
	}
}

func (c *cutTest) pushAll(n int) {
	for range n {
		for _, client := range c.clients {
			if !client.busy {
				c.push(client)
			}
		}
	}
}

// busy sends to the busy clients until what it returns is called.
func (c *cutTest) busy() (stop func()) {
	var work sync.WaitGroup
	end := make(chan struct{})
	work.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			for _, client := range c.clients {
				if client.busy {
					c.push(client)
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		work.Wait()
	})
}

func (c *cutTest) every(what string, ok func(client *cutClient) bool) {
	c.t.Helper()
	for _, client := range c.clients {
		c.p.poll(client.name+" "+what, func() bool { return ok(client) })
	}
}

// sockets tells whether the server has given up what a user had before the cut, and
// why, once that is over; open: the user has a socket.
func (c *cutTest) sockets(user int, cut time.Time) (cause string, gone, open bool) {
	gone = true
	var page struct {
		Sockets []struct{ Since time.Time }
		Ended   []struct {
			Cause string
			Time  time.Time
		}
	}
	c.p.request("GET", fmt.Sprintf("/admin/v1/sockets?context=1337&user=%d", user), "", &page)
	for _, s := range page.Sockets {
		gone, open = gone && s.Since.After(cut), true
	}
	if len(page.Ended) > 0 && page.Ended[0].Time.After(cut) {
		cause = page.Ended[0].Cause
	}
	return cause, gone, open
}

func (c *cutTest) run(how cutting) {
	t := c.t
	c.every("connects", func(client *cutClient) bool { _, n := client.heard(); return n > 0 })
	c.pushAll(5)
	stop := c.busy()
	defer stop()
	c.every("has messages", func(client *cutClient) bool { return client.distinct() >= 5 })

	how.cut(c)
	cut := time.Now()
	if !how.again {
		c.p.poll("what was sent is not acknowledged", func() bool {
			for _, k := range c.lan.connections() {
				if k.unacknowledged != "0" {
					return true
				}
			}
			return false
		})
	}
	c.every("is found to be gone", func(client *cutClient) bool {
		_, gone, open := c.sockets(client.user, cut)
		return gone && (how.again || !open)
	})
	latest := time.Since(cut)
	t.Logf("all half-open sockets are found %v after the cut; pingInterval + pingTimeout are %v", latest.Round(time.Millisecond), cutInterval+cutTimeout)
	c.every("has the end of its socket told", func(client *cutClient) bool { // when its connection has been closed
		cause, _, _ := c.sockets(client.user, cut)
		if cause != "" && cause != websockets.CausePing.String() && !(how.again && cause == websockets.CauseTakeover.String()) {
			t.Errorf("the socket of the %s ended as %s", client.name, cause)
		}
		return cause != ""
	})
	// 0.1 s by which heartbeats may leave later, and some for the machine.
	if *torture && latest > cutInterval+cutTimeout+time.Second {
		t.Errorf("want them found within %v", cutInterval+cutTimeout)
	}
	c.pushAll(5)
	how.heal(c)
	c.every("is back", func(client *cutClient) bool { _, n := client.heard(); return n > 1 })
	c.pushAll(5)
	stop()
	c.every("has everything", func(client *cutClient) bool { return client.distinct() >= int(client.sent.Load()) })
	c.check()
}

// check wants every message, in order, and twice at most what the server counted.
func (c *cutTest) check() {
	twice, all := 0, 0
	for _, client := range c.clients {
		numbers, connects := client.heard()
		seen, last := map[int]bool{}, 0
		for _, n := range numbers {
			switch {
			case !seen[n] && n < last && !client.any:
				c.t.Errorf("%s: %d came after %d", client.name, n, last)
			case seen[n] && client.own:
				c.t.Errorf("%s: %d came twice", client.name, n)
			case seen[n]:
				twice++
			}
			seen[n], last = true, max(last, n)
		}
		if missed := int(client.sent.Load()) - len(seen); missed != 0 {
			c.t.Errorf("%s missed %d of %d messages", client.name, missed, client.sent.Load())
		}
		if connects > 2 {
			c.t.Logf("%s connected %d times", client.name, connects)
		}
		all += len(seen)
	}
	doubtful, err := strconv.Atoi(c.p.metric("sluice_recovered_doubtful_total"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%d clients got %d messages, none missed, %d twice; the server counted %d that may be", len(c.clients), all, twice, doubtful)
	if twice > doubtful {
		c.t.Errorf("%d messages came twice, and the server counted %d that may", twice, doubtful)
	}
}
