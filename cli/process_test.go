package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/etc"
)

// patience bounds every wait of these tests: what takes that long never comes.
const patience = 60 * time.Second

// binDir holds the binary, once it is built.
var binDir string

var buildBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-bin-")
	if err != nil {
		return "", err
	}
	binDir = dir
	path := filepath.Join(dir, "sluice")
	out, err := exec.Command("go", "build", "-o", path, "..").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a running `sluice serve`.
type process struct {
	t             *testing.T
	cmd           *exec.Cmd
	tree, state   string
	public, admin string // admin is the Unix socket, as --server takes it
	tcp           string // for administrators with a token
	exited        chan error

	mu     sync.Mutex
	stderr bytes.Buffer
}

func newTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etc")
	if _, _, err := etc.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// servingLine is what a server says when it serves; builds from before the Unix socket
// name none.
var servingLine = regexp.MustCompile(`msg=serving public=(\S+) admin=(\S+)(?: socket=(\S+))?`)

// launch starts a server and waits until it serves.
func launch(t *testing.T, tree, state string, args ...string) *process {
	t.Helper()
	return launchBinary(t, binary(t), tree, state, args...)
}

func launchBinary(t *testing.T, path, tree, state string, args ...string) *process {
	t.Helper()
	p := startBinary(t, path, tree, state, args...)
	p.serving()
	return p
}

// serving waits until the server says where it serves.
func (p *process) serving() {
	p.t.Helper()
	p.poll("the server serves", func() bool {
		m := servingLine.FindStringSubmatch(p.log())
		if m != nil {
			p.public, p.tcp, p.admin = "http://"+m[1], "http://"+m[2], "unix:"+m[3]
			if m[3] == "" {
				p.admin = p.tcp
			}
		}
		return m != nil
	})
}

func start(t *testing.T, tree, state string, args ...string) *process {
	t.Helper()
	return startBinary(t, binary(t), tree, state, args...)
}

func startBinary(t *testing.T, path, tree, state string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(path, append(serveArgs(tree, state), args...)...), tree, state)
}

func serveArgs(tree, state string) []string {
	args := []string{"serve", "--etc", tree, "--state", state, "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	// The folder of a test may have a longer name than a socket can.
	if path := filepath.Join(state, "admin.sock"); len(path) > 107 {
		args = append(args, "--socket", filepath.Join(os.TempDir(), fmt.Sprintf("sluice-%x.sock", sha256.Sum256([]byte(path)))))
	}
	return args
}

func startCommand(t *testing.T, cmd *exec.Cmd, tree, state string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, tree: tree, state: state, exited: make(chan error, 1)}
	r, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.mu.Lock()
			p.stderr.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	go func() {
		<-read
		p.exited <- p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		for range p.exited {
		}
	})
	return p
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// poll waits for a condition.
func (p *process) poll(what string, ok func() bool) time.Duration {
	p.t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		if ok() {
			return time.Since(began)
		}
		select {
		case <-deadline:
			p.t.Fatalf("not within %s: %s\n%s", patience, what, p.log())
		case <-tick.C:
		}
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case err := <-p.exited:
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			return ee.ExitCode()
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return 0
	case <-time.After(patience):
		p.t.Fatalf("the server did not end\n%s", p.log())
		return -1
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// save replaces the value of a property in a file, in place or by rename.
func (p *process) save(file, key, value string, rename bool) time.Time {
	p.t.Helper()
	path := filepath.Join(p.tree, file)
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + `=.*$`)
	b = line.ReplaceAll(b, []byte(key+"="+value))
	target := path
	if rename {
		target = path + ".new"
	}
	if err := os.WriteFile(target, b, 0o644); err != nil {
		p.t.Fatal(err)
	}
	if rename {
		if err := os.Rename(target, path); err != nil {
			p.t.Fatal(err)
		}
	}
	return time.Now()
}

// adminClient asks over the Unix sockets of servers: a URL of adminURL says which.
var adminClient = &http.Client{Transport: &http.Transport{DialContext: dialAdmin}}

func dialAdmin(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if path, err := hex.DecodeString(host); err == nil {
		network, address = "unix", string(path)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// adminURL is where a server answers that --server names: the host of a Unix
// socket is its path in hex, so that connections are kept for each.
func adminURL(server, path string) string {
	if socket, ok := strings.CutPrefix(server, "unix:"); ok {
		server = "http://" + hex.EncodeToString([]byte(socket))
	}
	return server + path
}

// request calls the admin API and decodes the answer.
func (p *process) request(method, path, body string, out any) int {
	p.t.Helper()
	return p.requestWith(method, path, body, out)
}

// requestWith is request with headers, "Name: value".
func (p *process) requestWith(method, path, body string, out any, headers ...string) int {
	p.t.Helper()
	req, err := http.NewRequest(method, adminURL(p.admin, path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			p.t.Fatalf("%s %s: %s: %v", method, path, b, err)
		}
	}
	return res.StatusCode
}

// metric is the value of a series of /metrics, by its name with labels; empty
// where there is none, or no server any more.
func (p *process) metric(series string) string {
	res, err := adminClient.Get(adminURL(p.admin, "/metrics"))
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return value
		}
	}
	return ""
}
