package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/cascade"
)

type login struct {
	Session, Secret string
	Cookie          struct{ Name, Value string }
	Expires         time.Time
}

// login makes a session through the API.
func (w *world) login(user int) (l login) { return w.loginAt(7, user) }

func (w *world) loginAt(context, user int) (l login) {
	w.t.Helper()
	a := w.ask("POST", "/admin/v1/sessions", fmt.Sprintf(`{"context":%d,"user":%d,"client":"open-xchange-appsuite"}`, context, user))
	a.into(w.t, &l)
	if a.status != http.StatusCreated || l.Secret == "" || l.Cookie.Value != l.Secret || time.Until(l.Expires) < time.Minute || !strings.HasSuffix(a.body, "Z\"}\n") {
		w.t.Fatalf("session: %d %s", a.status, a.body)
	}
	return l
}

// socket is a client that fails its test.
type socket struct {
	t    testing.TB
	conn *websocket.Conn
}

func (w *world) dial(l login, path string) *socket {
	w.t.Helper()
	conn, res, err := websocket.Dial(w.t.Context(), w.public.URL+path+"session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}})
	if err != nil {
		w.t.Fatalf("%v: %v", err, res)
	}
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{w.t, conn}
}

// connect opens a socket on which messages arrive.
func (w *world) connect(l login, connection string) *socket {
	w.t.Helper()
	s := w.dial(l, "/socket.io/appsuite/?EIO=3&transport=websocket&connection="+connection+"&")
	s.want("0{")
	s.want("40")
	return s
}

// want reads one frame that starts so.
func (s *socket) want(prefix string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	_, b, err := s.conn.Read(ctx)
	if err != nil || !strings.HasPrefix(string(b), prefix) {
		s.t.Fatalf("got %q (%v), want %q", b, err, prefix)
	}
}

func (w *world) send(body string, local int, duplicate bool) sentResult {
	w.t.Helper()
	a := w.ask("POST", "/admin/v1/messages", body)
	var r sentResult
	a.into(w.t, &r)
	if a.status != 200 || r.ID == "" || r.Local != local || r.Remote == nil || *r.Remote != 0 || r.Duplicate != duplicate {
		w.t.Errorf("%s: %d %s, want %d", body, a.status, a.body, local)
	}
	return r
}

func TestMessagesReachSockets(t *testing.T) {
	w := newWorld(t, tree)
	ones := w.login(1)
	one, two := w.connect(ones, "c1"), w.connect(w.login(2), "c2")
	plain := w.dial(ones, "/ws/push?connection=c3&")
	w.send(`{"context":7,"user":1,"name":"n","args":[1,{"a":"<&>"}],"pathFilter":"/socket.io/*"}`, 1, false)
	one.want(`42["n",1,{"a":"<&>"}]`)
	w.send(`{"context":7,"user":1,"name":"n","pathFilter":"/ws/*","sync":true}`, 1, false)
	plain.want(`{"name":"n","args":[],"namespace":"/"}`)
	w.send(`{"context":7,"name":"both","args":[]}`, 3, false)
	one.want(`42["both"]`)
	two.want(`42["both"]`)
	w.send(`{"all":true,"name":"all","args":[]}`, 3, false)
	one.want(`42["all"]`)
	two.want(`42["all"]`)
	w.send(`{"context":7,"name":"echo","args":[],"sourceToken":"c1"}`, 2, false)
	two.want(`42["echo"]`)
	w.send(`{"context":8,"name":"n","args":[]}`, 0, false)
	if a, b := w.send(`{"context":8,"name":"n"}`, 0, false), w.send(`{"context":8,"name":"n"}`, 0, false); a.ID == b.ID || len(a.ID) != 32 {
		t.Errorf("ids %q and %q", a.ID, b.ID)
	}

	w.ask("POST", "/admin/v1/messages", `{"context":7,"user":1,"name":"","id":"i"}`).refused(t, 422, "bad_message")
	w.send(`{"context":7,"user":2,"name":"once","args":[],"id":"i"}`, 1, false)
	w.send(`{"context":7,"user":2,"name":"once","args":[],"id":"i"}`, 0, true)
	w.send(`{"context":7,"user":2,"name":"last","args":[]}`, 1, false)
	two.want(`42["once"]`)
	two.want(`42["last"]`)

	for _, l := range []string{ones.Session, ones.Secret} {
		if strings.Contains(w.logs.String(), l) {
			t.Errorf("a session's id or secret is in the log")
		}
	}
}

// TestStream holds that each line is answered before the next is sent, and
// that a bad one hurts no other.
func TestStream(t *testing.T) {
	w := newWorld(t, tree)
	one := w.connect(w.login(1), "c1")
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.admin.URL+"/admin/v1/messages", body)
	must(t, err)
	req.Header.Set("Content-Type", "application/x-ndjson")
	type opened struct {
		res *http.Response
		err error
	}
	got := make(chan opened, 1)
	go func() {
		res, err := w.client.Do(req)
		got <- opened{res, err}
	}()
	var out *bufio.Scanner
	line := func(send, want string) {
		t.Helper()
		if send != "" {
			_, err := io.WriteString(in, send)
			must(t, err)
		}
		if out == nil {
			o := <-got
			must(t, o.err)
			t.Cleanup(func() { _ = o.res.Body.Close() })
			if ct := o.res.Header.Get("Content-Type"); o.res.StatusCode != 200 || ct != ndjson {
				t.Fatalf("%d %s", o.res.StatusCode, ct)
			}
			out = bufio.NewScanner(o.res.Body)
		}
		if !out.Scan() || !strings.Contains(out.Text(), want) {
			t.Fatalf("%s: got %q (%v), want %s", send, out.Text(), out.Err(), want)
		}
	}
	line(`{"context":7,"user":1,"name":"l1"}`+"\n", `"local":1`)
	one.want(`42["l1"]`)
	line("\n \nnonsense\n", `"code":"bad_json"`)
	line(`{"user":1,"name":"n"}`+"\n", `"code":"bad_id"`)
	line(`{"context":7,"user":1,"name":"l2","id":"x"}`+"\r\n", `"id":"x","local":1`)
	line(`{"context":7,"user":1,"name":"l2","id":"x"}`+"\n", `"duplicate":true`)
	one.want(`42["l2"]`)
	_, err = io.WriteString(in, `{"context":7,"user":1,"name":"l3"}`) // the last line has no end
	must(t, err)
	must(t, in.Close())
	line("", `"local":1`)
	one.want(`42["l3"]`)
	if out.Scan() {
		t.Errorf("more: %s", out.Text())
	}
}

func TestStreamWithLongLine(t *testing.T) {
	w := newWorld(t, tree)
	a := w.ask("POST", "/admin/v1/messages", `{"context":7,"name":"n"}`+"\n"+strings.Repeat("x", maxBody+1)+"\n"+`{"context":7,"name":"n"}`+"\n", "Content-Type: "+ndjson)
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"local":0`) || !strings.Contains(lines[1], `"code":"too_large"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestGateClosesSockets(t *testing.T) {
	w := newWorld(t, tree)
	one := w.connect(w.login(1), "c1")
	must(t, w.engine.Apply(cascade.Batch{Contexts: []cascade.Context{{ID: 7, Enabled: false}}}))
	// The socket's own second look may have been faster.
	if users, closed := w.sockets.Recheck(); users > 1 || closed != users {
		t.Errorf("%d users, %d closed", users, closed)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = one.conn.Read(ctx) // Socket.IO says goodbye first
	}
	if websocket.CloseStatus(err) != 4403 {
		t.Errorf("closed with %v", err)
	}
}

func TestSentIDs(t *testing.T) {
	const dedupWindow = 5 * time.Minute
	var s sentIDs
	start := time.Now()
	first := func(id string, after time.Duration, want bool) {
		t.Helper()
		if got := s.first(start.Add(after), dedupWindow, id); got != want {
			t.Errorf("%s after %v: %v", id, after, got)
		}
	}
	first("a", 0, true)
	first("a", 0, false)
	first("b", time.Minute, true)
	first("a", dedupWindow, false)
	first("a", dedupWindow+1, true) // and from then on again
	first("b", dedupWindow+time.Minute, false)
	for i := range maxSentIDs - 2 {
		first(fmt.Sprint(i), dedupWindow+time.Minute, true)
	}
	first("b", dedupWindow+time.Minute, false) // full, and b is the oldest
	first("c", dedupWindow+time.Minute, true)
	first("b", dedupWindow+time.Minute, true) // c took its place
	if len(s.at) != maxSentIDs || len(s.order) != maxSentIDs {
		t.Errorf("%d ids, %d in order", len(s.at), len(s.order))
	}
}
