package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/remote/redistest"
)

// scripted is what runs beside a script.
type scripted struct {
	servers map[string][]string // public, admin, and admin over TCP, by tree
	public  string              // of the server that was named last
	admin   string
	sockets map[string]*scriptSocket
}

type scriptKey struct{}

func setupScript(env *testscript.Env) error {
	env.Setenv("GORACE", raceOptions)
	// The actor of what is done over the Unix socket.
	me, err := user.Current()
	if err != nil {
		return err
	}
	env.Setenv("ACTOR", "unix:"+me.Username)
	env.Values[scriptKey{}] = &scripted{servers: map[string][]string{}, sockets: map[string]*scriptSocket{}}
	return nil
}

func ofScript(ts *testscript.TestScript) *scripted { return ts.Value(scriptKey{}).(*scripted) }

// redisOf starts a Redis of its own for each script that wants one: `redis DIR
// MEMBER` makes the server of that tree a member of that name.
func redisOf(t *testing.T) func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	running := map[*scripted]*redistest.Server{}
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: redis DIR MEMBER")
		}
		mu.Lock()
		defer mu.Unlock()
		s := ofScript(ts)
		if running[s] == nil {
			running[s] = redistest.Start(t)
		}
		f, err := os.OpenFile(filepath.Join(ts.MkAbs(args[0]), "redis.properties"), os.O_APPEND|os.O_WRONLY, 0)
		ts.Check(err)
		_, err = fmt.Fprintf(f, "\n%s=%s\n%s=%s\n%s=%s\n%s=%s\n%s=one\n", "com.openexchange.redis.hosts", running[s].Addr,
			"com.openexchange.redis.username", "sluice", "com.openexchange.redis.password", redistest.Password, remote.PropMember, args[1], store.PropKeeper)
		ts.Check(errors.Join(err, f.Close()))
	}
}

// server serves a tree until the script ends, and is the server of all commands
// until another is named: `server DIR [USER]`. Its log is DIR.log.
func server(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: server DIR [USER]")
	}
	s, tree := ofScript(ts), ts.MkAbs(args[0])
	if s.servers[tree] == nil {
		name := ""
		if len(args) == 2 {
			name = args[1]
		}
		s.servers[tree] = startServer(ts, tree, name)
	}
	s.public, s.admin = s.servers[tree][0], s.servers[tree][1]
	ts.Setenv("SLUICE_SERVER", s.admin)
	ts.Setenv("TCP_SERVER", s.servers[tree][2])
}

// asUser makes a command one of another user, who gets a state folder and may
// pass the folders above everything that the command needs.
func asUser(ts *testscript.TestScript, cmd *exec.Cmd, name, state string) {
	u, err := user.Lookup(name)
	ts.Check(err)
	uid, err := strconv.Atoi(u.Uid)
	ts.Check(err)
	gid, err := strconv.Atoi(u.Gid)
	ts.Check(err)
	ts.Check(os.Mkdir(state, 0o700))
	if err := os.Chown(state, uid, gid); err != nil {
		ts.Fatalf("%v: the test of a server of another user is run by root", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	for _, path := range []string{cmd.Path, state} {
		for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
			fi, err := os.Stat(dir)
			ts.Check(err)
			if fi.Mode()&0o001 == 0 {
				ts.Check(os.Chmod(dir, fi.Mode().Perm()|0o001))
			}
		}
	}
}

func startServer(ts *testscript.TestScript, tree, name string) []string {
	cmd := exec.Command("sluice", serveArgs(tree, tree+".state")...)
	if name != "" {
		asUser(ts, cmd, name, tree+".state")
	}
	logFile, err := os.Create(tree + ".log")
	ts.Check(err)
	ts.Defer(func() { _ = logFile.Close() }) // a test's file
	r, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	serving, ended := make(chan []string, 1), make(chan string, 1)
	go func() {
		var log strings.Builder
		for lines := bufio.NewScanner(io.TeeReader(r, logFile)); lines.Scan(); log.WriteString(lines.Text() + "\n") {
			if m := servingLine.FindStringSubmatch(lines.Text()); m != nil {
				serving <- m
			}
		}
		_ = cmd.Wait() // killed
		ended <- log.String()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
	})
	select {
	case m := <-serving:
		return []string{"http://" + m[1], "unix:" + m[3], "http://" + m[2]}
	case log := <-ended:
		ended <- log
		ts.Fatalf("the server ended: %s", log)
	case <-time.After(patience):
		ts.Fatalf("the server does not serve within %s", patience)
	}
	return nil
}

// await repeats a command until its output matches: `await PATTERN COMMAND
// [ARG...]`. Members see each other's changes with the next heartbeat.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND [ARG...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		_ = ts.Exec(args[1], args[2:]...) // what it says is looked at
		if pattern.MatchString(ts.ReadFile("stdout") + ts.ReadFile("stderr")) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s is not said within %s", args[0], patience)
		}
	}
}

// scriptSocket keeps what a client gets.
type scriptSocket struct {
	mu   sync.Mutex
	got  []string // packets, and "close CODE" at last
	news chan struct{}
}

// connect opens a socket with a session of its own: `connect CONTEXT USER NAME`.
func connect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: connect CONTEXT USER NAME")
	}
	s := ofScript(ts)
	res, err := adminClient.Post(adminURL(s.admin, "/admin/v1/sessions"), "application/json",
		strings.NewReader(fmt.Sprintf(`{"context":%s,"user":%s,"client":"script"}`, args[0], args[1])))
	ts.Check(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(res.Body) // it is said as far as it can be read
		ts.Fatalf("the session is not made: %s: %s", res.Status, b)
	}
	var l login
	ts.Check(json.NewDecoder(res.Body).Decode(&l))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ts.Defer(cancel)
	conn, _, err := websocket.Dial(ctx, s.public+"/socket.io/appsuite/?EIO=4&transport=websocket&connection="+args[2]+"&session="+l.Session,
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}})
	ts.Check(err)
	ts.Defer(func() { _ = conn.CloseNow() })
	ts.Check(conn.Write(ctx, websocket.MessageText, []byte("40")))
	sock := &scriptSocket{news: make(chan struct{}, 1)}
	s.sockets[args[2]] = sock
	go sock.read(ctx, conn)
	sock.await(ts, func(p string) bool { return strings.HasPrefix(p, "40{") }, "the answer to its CONNECT")
}

func (s *scriptSocket) read(ctx context.Context, conn *websocket.Conn) {
	for {
		_, b, err := conn.Read(ctx)
		packet := string(b)
		if packet == "2" {
			if conn.Write(ctx, websocket.MessageText, []byte("3")) == nil {
				continue
			}
		}
		if err != nil {
			packet = fmt.Sprintf("close %d", websocket.CloseStatus(err))
		}
		s.mu.Lock()
		s.got = append(s.got, packet)
		s.mu.Unlock()
		select {
		case s.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *scriptSocket) await(ts *testscript.TestScript, fits func(string) bool, what string) {
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		got := slices.Clone(s.got)
		s.mu.Unlock()
		if slices.ContainsFunc(got, fits) {
			return
		}
		select {
		case <-s.news:
		case <-deadline:
			ts.Fatalf("the socket did not get %s within %s, but %q", what, patience, got)
		}
	}
}

// got waits for what a socket must get, as a packet or as its end: `got NAME
// PACKET`. With ! it must not have come before what was waited for last.
func got(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] got NAME PACKET")
	}
	s := ofScript(ts).sockets[args[0]]
	if s == nil {
		ts.Check(errors.New("no socket is called " + args[0]))
	}
	is := func(p string) bool { return p == args[1] }
	if !neg {
		s.await(ts, is, args[1])
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.got, is) {
		ts.Fatalf("the socket got %s", args[1])
	}
}

// watched waits until so many clients watch the server: `watched N`.
func watched(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: watched N")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); ; <-tick.C {
		res, err := adminClient.Get(adminURL(ofScript(ts).admin, "/metrics"))
		ts.Check(err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		ts.Check(err)
		if strings.Contains(string(text), "\nsluice_event_streams "+args[0]+"\n") {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("not %s clients watch within %v", args[0], patience)
		}
	}
}
