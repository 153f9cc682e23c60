package cli_test

import (
	"bufio"
	"fmt"
	"go/format"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// clientPage is docs/clients.md.
func clientPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pageProgram writes the one program of a language into a folder, as it stands on the page.
func pageProgram(t *testing.T, language, file string) string {
	t.Helper()
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(clientPage(t), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/clients.md has %d programs in %s, want 1", len(blocks), language)
	}
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, []byte(blocks[0][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// program is a process that prints what happens to it.
type program struct {
	t      *testing.T
	mu     sync.Mutex
	lines  []string
	exited chan struct{}
}

func runProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &program{t: t, exited: make(chan struct{})}
	go func() {
		defer close(g.exited)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			g.mu.Lock()
			g.lines = append(g.lines, lines.Text())
			g.mu.Unlock()
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = in.Close() // a browser's runner ends with its input
		if cmd.Dir != clientDir {
			_ = cmd.Process.Kill() // it may have ended by itself
		}
		<-g.exited
	})
	return g
}

// said counts the lines that begin with a text. Two threads of a client may print at
// once: the end of one's line comes behind the other's.
func (g *program) said(begin string) (k int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, line := range g.lines {
		if strings.HasPrefix(line, begin) || strings.HasPrefix(strings.TrimPrefix(line, "switched off"), begin) {
			k++
		}
	}
	return k
}

// wait waits for the k-th line that begins with a text.
func (g *program) wait(begin string, k int) {
	g.t.Helper()
	defer func() {
		if g.t.Failed() {
			g.t.Logf("it said %q", g.lines)
		}
	}()
	testkit.Poll(g.t, fmt.Sprintf("the client says %q for the %d. time", begin, k), func() bool { return g.said(begin) >= k })
}

// frontDoor is the host that a client knows, whatever server is behind it.
type frontDoor struct {
	*httptest.Server
	target atomic.Pointer[url.URL]
}

func newFrontDoor(t *testing.T) *frontDoor {
	f := &frontDoor{}
	f.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(f.target.Load())
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		ErrorLog: log.New(io.Discard, "", 0), // a server that is away is meant
	})
	t.Cleanup(f.Close)
	return f
}

func (f *frontDoor) leadTo(t *testing.T, p *process) {
	target, err := url.Parse(p.public)
	if err != nil {
		t.Fatal(err)
	}
	f.target.Store(target)
}

// pageClient is one program of docs/clients.md.
type pageClient struct {
	language string
	// start runs it against an address, with a session.
	start func(t *testing.T, f *frontDoor, l login) *program
	codes bool // it is told the codes of the close
	why   bool // it is told why a handshake is refused
	ends  bool // it ends when it is stopped
}

func pageEnv(base string, l login) []string {
	return append(os.Environ(), "PUSH_URL="+base, "PUSH_SESSION="+l.Session, "PUSH_COOKIE="+l.Cookie.Name+"="+l.Cookie.Value)
}

// debianPython is the interpreter that finds Debian's packages.
const debianPython = "/usr/bin/python3"

var pageClients = []pageClient{
	{"html", func(t *testing.T, f *frontDoor, l login) *program {
		page := pageProgram(t, "html", "page.html")
		mux := http.NewServeMux()
		mux.Handle("/socket.io/", f.Config.Handler)
		mux.HandleFunc("/page.html", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: l.Cookie.Name, Value: l.Cookie.Value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			http.ServeFile(w, r, page)
		})
		mux.HandleFunc("/socket.io.min.js", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(clientDir, "node_modules/sio4/dist/socket.io.min.js"))
		})
		host := httptest.NewServer(mux)
		t.Cleanup(host.Close)
		cmd := exec.Command("node", "browser.js", testkit.Tool(t, "chromium", "chromium"), host.URL+"/page.html#"+l.Session)
		cmd.Dir, cmd.Env = clientDir, append(os.Environ(), "TMPDIR="+t.TempDir())
		return runProgram(t, cmd)
	}, true, false, false},
	{"js", func(t *testing.T, f *frontDoor, l login) *program {
		file := pageProgram(t, "js", "client.js")
		library, err := filepath.Abs(filepath.Join(clientDir, "node_modules/sio4"))
		if err != nil {
			t.Fatal(err)
		}
		modules := filepath.Join(filepath.Dir(file), "node_modules")
		if err := os.Mkdir(modules, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(library, filepath.Join(modules, "socket.io-client")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", file)
		cmd.Env = pageEnv(f.URL, l)
		return runProgram(t, cmd)
	}, true, true, true},
	{"go", func(t *testing.T, f *frontDoor, l login) *program {
		file := pageProgram(t, "go", "client.go")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if formatted, err := format.Source(text); err != nil || string(formatted) != string(text) {
			t.Errorf("the program in Go is not formatted: %v", err)
		}
		program := filepath.Join(filepath.Dir(file), "client")
		if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cmd := exec.Command(program)
		cmd.Env = pageEnv(f.URL, l)
		return runProgram(t, cmd)
	}, true, true, true},
	{"python", func(t *testing.T, f *frontDoor, l login) *program {
		if out, err := exec.Command(debianPython, "-c", "import socketio, websocket").CombinedOutput(); err != nil {
			t.Fatalf("install the packages python3-socketio and python3-websocket: %v\n%s", err, out)
		}
		cmd := exec.Command(debianPython, pageProgram(t, "python", "client.py"))
		cmd.Env = pageEnv(f.URL, l)
		return runProgram(t, cmd)
	}, false, false, true},
}

// TestClientPage runs the programs of docs/clients.md as they stand there: each comes
// back when it is to, and stops when it is to.
func TestClientPage(t *testing.T) {
	for _, c := range pageClients {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			tree, state := newTree(t), t.TempDir()
			put(t, tree, "own.properties", websockets.PropDrainSpread+"=200ms\n")
			p := launch(t, tree, state)
			f := newFrontDoor(t)
			f.leadTo(t, p)
			g := c.start(t, f, p.login(17))
			push := func(k int) {
				t.Helper()
				p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":[{"folder":"Entwürfe"}]}`, nil)
				g.wait(`new mail {"folder":"Entwürfe"}`, k)
			}
			closed := func(code string, k int) {
				t.Helper()
				if !c.codes {
					code = ""
				}
				g.wait(strings.TrimSpace("disconnected "+code), k)
			}
			g.wait("connected", 1)
			push(1)

			p.save("websockets.properties", websockets.PropEnabled, "false", true)
			closed("4403", 1)
			testkit.Poll(t, "it is refused", func() bool { return p.metric(`sluice_handshakes_total{reason="",result="disabled"}`) != "" })
			if c.codes { // the other keeps its further tries to itself
				g.wait("not connected", 1)
			}
			if c.why && g.said("log in again") > 0 {
				t.Error("it takes a user who is switched off for a session that has ended")
			}
			p.save("websockets.properties", websockets.PropEnabled, "true", true)
			g.wait("connected", 2)
			push(2)

			p.signal(syscall.SIGTERM)
			if code := p.wait(); code != 0 {
				t.Fatalf("the server ended with %d", code)
			}
			closed("1012", 1)
			p = launch(t, tree, state)
			f.leadTo(t, p)
			g.wait("connected", 3)
			push(3)

			// Each of these three stops it for good.
			p.request("DELETE", "/admin/v1/sockets?context=1337&user=17", "", nil)
			c.stopped(g)
			for _, code := range []string{"4409", "4401"} {
				l := p.login(17)
				g = c.start(t, f, l)
				g.wait("connected", 1)
				push(1)
				if code == "4401" {
					p.request("DELETE", "/admin/v1/sessions/"+l.Session, "", nil)
					g.wait("log in again", 1)
				} else {
					conn := p.dial(l, p.connectionOf(17))
					defer conn.CloseNow()
				}
				c.stopped(g)
			}
			if g.said("connected") != 1 {
				t.Errorf("it came back though it was told to stop: %q", g.lines)
			}

			l := p.login(17)
			l.Cookie.Value = "wrong"
			g = c.start(t, f, l)
			g.wait("not connected", 1)
			if c.why {
				g.wait("log in again", 1)
				<-g.exited
			}
		})
	}
}

// stopped waits until the client has stopped for good.
func (c *pageClient) stopped(g *program) {
	g.t.Helper()
	g.wait("stopped", 1)
	if c.ends {
		testkit.Poll(g.t, "the client ends", func() bool {
			select {
			case <-g.exited:
				return true
			default:
				return false
			}
		})
	}
}

// connectionOf is the connection id of the one socket of a user.
func (p *process) connectionOf(user int) string {
	p.t.Helper()
	var l struct{ Sockets []struct{ Connection string } }
	p.request("GET", fmt.Sprintf("/admin/v1/sockets?context=1337&user=%d", user), "", &l)
	if len(l.Sockets) != 1 {
		p.t.Fatalf("user %d has %d sockets, want 1", user, len(l.Sockets))
	}
	return l.Sockets[0].Connection
}
