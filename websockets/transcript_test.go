package websockets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata/sockets")

// TestTranscripts plays the scripts of testdata/sockets, one txtar file for
// each case, against a server on a real listener, and compares what comes back.
// The sections of a file are scripts of their own, each with a user, a session
// and a server of its own. Their lines:
//
//	> GET /ws/x?session=$SESSION   request line, and header lines that replace
//	                               those of a browser; "> Name:" leaves one out
//	< HTTP/1.1 403 Forbidden       the answer, without its date
//	C> text                        a text frame of the client
//	C: close 1000 "bye"            also ping, pong, binary, and raw bytes
//	S< text                        a text frame of the server
//	S: close 4403 "disabled"       also ping, pong, binary, and end
//	! send ox:mail:new [1]         what happens at the server, see script.act
//	# text                         a remark
//
// Ids of the server become SID1, SID2 and so on. The client answers the
// server's close, which is not shown. Behind each line the client sends a ping
// that is not shown either: what comes before its pong is what the line has
// brought about. A line before "! wait" has no such ping.
func TestTranscripts(t *testing.T) {
	cases, err := filepath.Glob("../testdata/sockets/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		for i, f := range ar.Files {
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				got := newScript(t).play(string(f.Data))
				if *update {
					ar.Files[i].Data = []byte(got)
				} else if got != string(f.Data) {
					t.Errorf("--- got\n%s--- want\n%s", got, f.Data)
				}
			})
		}
		if *update && !t.Failed() {
			if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// script plays one section.
type script struct {
	t       *testing.T
	w       *world
	session *Session
	down    bool // the session store
	conn    *net.TCPConn
	r       *bufio.Reader
	ended   bool
	out     strings.Builder
	last    string // line of out
	again   bool   // last came more than once
	sids    map[string]string
}

func newScript(t *testing.T) *script {
	s := &script{t: t, sids: make(map[string]string)}
	s.w = newWorld(t, func(o *Options) {
		o.Sessions = hooked{o.Sessions, func() error {
			if s.down {
				return errors.New("down")
			}
			return nil
		}}
		o.OnEvent = func(e Event) (json.RawMessage, [][]byte) {
			if e.Name == "echo" {
				return e.Args, e.Attachments
			}
			return nil, nil
		}
	})
	s.session = s.w.login(1, 2)
	return s
}

func (s *script) play(source string) string {
	s.t.Helper()
	var lines []string
	for line := range strings.Lines(source) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "S") && !strings.HasPrefix(line, "<") {
			lines = append(lines, line)
		}
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		s.line(line)
		if strings.HasPrefix(line, "> ") {
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> ") {
				i++
				s.line(lines[i])
				line += "\n" + lines[i]
			}
		}
		waits := i+1 < len(lines) && lines[i+1] == "! wait"
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "> "):
			s.request(strings.Split(line, "\n"))
		case strings.HasPrefix(line, "C> "):
			s.write(text(strings.TrimPrefix(line, "C> ")))
		case strings.HasPrefix(line, "C: "):
			s.write(s.clientFrame(strings.TrimPrefix(line, "C: ")))
		case line == "! wait":
			s.next()
			continue
		case strings.HasPrefix(line, "! "):
			s.act(strings.TrimPrefix(line, "! "))
		default:
			s.t.Fatalf("unknown line %q", line)
		}
		if !waits {
			s.settle()
		}
	}
	s.flushLast()
	return s.out.String()
}

// line notes a line of the transcript; one that repeats the last is noted once.
func (s *script) line(line string) {
	if line != "" && line == s.last && strings.HasPrefix(line, "S< ") {
		s.again = true
		return
	}
	s.flushLast()
	s.last, s.again = line, false
	s.out.WriteString(line)
}

func (s *script) flushLast() {
	if s.again {
		s.out.WriteString(" (again and again)")
	}
	if s.out.Len() > 0 {
		s.out.WriteString("\n")
	}
	s.last, s.again = "", false
}

var serverID = regexp.MustCompile(`[0-9a-f]{32}`)

// shownBytes is what a transcript shows of a long frame.
const shownBytes = 120

// known puts names for what is different each time.
func (s *script) known(text string) string {
	text = serverID.ReplaceAllStringFunc(text, func(id string) string {
		if s.sids[id] == "" {
			s.sids[id] = fmt.Sprint("SID", len(s.sids)+1)
		}
		return s.sids[id]
	})
	if len(text) > shownBytes {
		return fmt.Sprintf("%s... (%d bytes)", text[:shownBytes/2], len(text))
	}
	return text
}

// retryAfter is spread, so that clients do not come back all at once.
var retryAfter = regexp.MustCompile(`^Retry-After: ([1-9]|10)$`)

// request sends a handshake and shows the answer.
func (s *script) request(lines []string) {
	s.t.Helper()
	replace := strings.NewReplacer("$SESSION", s.session.ID, "$COOKIE", s.session.CookieName(), "$SECRET", s.session.Secret, "$HOST", s.w.http.Listener.Addr().String())
	for i, line := range lines {
		lines[i] = replace.Replace(strings.TrimPrefix(line, "> "))
	}
	conn, err := net.Dial("tcp", s.w.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, s.w.upgrade(lines[0]+" HTTP/1.1", s.session, lines[1:]...)); err != nil {
		s.t.Fatal(err)
	}
	s.conn, s.r, s.ended = conn.(*net.TCPConn), bufio.NewReader(conn), true
	head := true
	for head {
		line, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		if head = line != ""; head && !strings.HasPrefix(line, "Date:") {
			s.line("< " + retryAfter.ReplaceAllString(line, "Retry-After: 1 to 10"))
		}
		if length, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			n, err := strconv.Atoi(length)
			if err != nil {
				s.t.Fatal(err)
			}
			defer func() {
				body := make([]byte, n)
				if _, err := io.ReadFull(s.r, body); err != nil {
					s.t.Fatal(err)
				}
				s.line("< " + strings.TrimSuffix(string(body), "\n"))
			}()
		}
		s.ended = s.ended && line != "HTTP/1.1 101 "+http.StatusText(http.StatusSwitchingProtocols)
	}
}

func (s *script) write(data []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(data); err != nil {
		s.t.Fatal(err)
	}
}

// clientFrame reads `close 1000 "bye"` and the like.
func (s *script) clientFrame(line string) []byte {
	s.t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	code := 0
	if kind == "close" && rest != "" {
		number, reason, _ := strings.Cut(rest, " ")
		var err error
		if code, err = strconv.Atoi(number); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		rest = reason
	}
	payload := ""
	if rest != "" {
		var err error
		if payload, err = strconv.Unquote(rest); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
	}
	switch kind {
	case "close":
		if code == 0 {
			return masked(finBit|opClose, nil)
		}
		return closeWithCode(code, payload)
	case "ping":
		return masked(finBit|opPing, []byte(payload))
	case "pong":
		return masked(finBit|opPong, []byte(payload))
	case "binary":
		return masked(finBit|opBinary, []byte(payload))
	case "raw":
		return []byte(payload)
	default:
		s.t.Fatalf("unknown frame %q", line)
		return nil
	}
}

const settledMark = "transcript"

// settle shows what the server has sent until now, or up to the end.
func (s *script) settle() {
	s.t.Helper()
	if s.conn == nil || s.ended {
		return
	}
	_, _ = s.conn.Write(masked(finBit|opPing, []byte(settledMark))) // it may be closing
	for !s.ended && s.next() {
	}
}

// next shows the next frame. It reports false for the pong of settle.
func (s *script) next() bool {
	s.t.Helper()
	f, err := nextFrame(s.r)
	switch {
	case errors.Is(err, errServerFrame), errors.Is(err, os.ErrDeadlineExceeded):
		s.t.Fatalf("behind\n%s\n%v", s.out.String(), err)
	case err != nil:
		s.ended = true
		s.line("S: end")
		return true
	}
	payload := string(f.payload)
	switch f.opcode {
	case opText:
		s.line("S< " + s.known(payload))
	case opBinary:
		s.line("S: binary " + strconv.Quote(s.known(payload)))
	case opPing:
		s.line("S: ping " + strconv.Quote(payload))
	case opPong:
		if payload == settledMark {
			return false
		}
		s.line("S: pong " + strconv.Quote(payload))
	case opClose:
		if f.code() == 0 {
			s.line("S: close")
		} else {
			s.line(fmt.Sprintf("S: close %d %q", f.code(), payload[2:]))
		}
		_, _ = s.conn.Write(masked(finBit|opClose, bytes.Clone(f.payload))) // it may have been the client's own
		for !s.ended {
			s.next()
		}
	}
	return true
}
