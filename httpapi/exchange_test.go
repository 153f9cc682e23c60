package httpapi

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/cascade"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/http")

// TestGoldenExchanges holds requests of administrators to the answers in
// testdata/http. A file has lines of these kinds:
//
//	# what is shown
//	= member NAME             another member, with a tree like that of this one
//	= silent NAME             that member does not answer any more
//	= save NAME FILE LINE     what a file of that member's tree has from now on
//	= people                  context 7 and its user 3, who has an override
//	= delete CONTEXT [USER]   a context or a user of the directory
//	= login USER [NAME]       a session of context 7, and $SESSION-USER from then on
//	= connect USER NAME       a socket of that session
//	= sessions foreign|broken the store cannot write, or not even read
//	= read NAME               what the socket got, up to its close
//	> METHOD PATH             a request; header lines and a body may follow
//	< ...                     what comes back
//
// In answers, ids, times and cursors have names; $CURSOR is the last one.
func TestGoldenExchanges(t *testing.T) {
	files, err := filepath.Glob("../testdata/http/*.txt")
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			must(t, err)
			x := &exchanges{w: newWorld(t, tree), logins: map[string]login{}, sockets: map[string]*socket{}, homes: map[string]*world{}}
			x.members = &members{self: x.w, gone: map[string]bool{}}
			got := x.play(string(want))
			if *update {
				must(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			if got != string(want) {
				t.Errorf("%s is\n%s\nand came out as\n%s", file, want, got)
			}
			if logs := x.w.logs.String(); x.secrets(logs) {
				t.Errorf("a session's id or secret is in the log: %s", logs)
			}
		})
	}
}

// exchanges are those of one file.
type exchanges struct {
	w       *world
	members *members
	homes   map[string]*world // of a login, by user
	logins  map[string]login  // by user
	sockets map[string]*socket
	cursor  string
}

// play repeats the file with the answers that come now.
func (x *exchanges) play(text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "<"):
			continue
		case strings.HasPrefix(line, "= "):
			out.WriteString(line + "\n" + x.step(strings.Fields(line[2:])))
		case strings.HasPrefix(line, "> "):
			request := []string{line[2:]}
			for ; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> "); i++ {
				request = append(request, lines[i+1][2:])
			}
			out.WriteString("> " + strings.Join(request, "\n> ") + "\n" + x.ask(request))
		case line == "" || strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		default:
			x.w.t.Fatalf("the line %q is of no kind", line)
		}
	}
	return out.String()
}

func (x *exchanges) step(words []string) string {
	x.w.t.Helper()
	switch strings.Join(append(words[:1:1], strconv.Itoa(len(words))), " ") {
	case "login 2", "login 3":
		user, err := strconv.Atoi(words[1])
		must(x.w.t, err)
		home := x.w
		if len(words) == 3 {
			home = x.members.get(words[2])
		}
		x.homes[words[1]], x.logins[words[1]] = home, home.login(user)
	case "connect 3":
		x.sockets[words[2]] = x.homes[words[1]].connect(x.logins[words[1]], words[2])
	case "member 2":
		x.members.add(words[1])
	case "silent 2":
		x.members.gone[words[1]] = true
	case "save 4":
		x.members.get(words[1]).file(words[2], words[3]+"\n")
	case "people 1":
		x.w.people()
	case "delete 2", "delete 3":
		must(x.w.t, x.w.engine.Apply(deletion(x.w.t, words[1:])))
	case "sessions 2":
		f := foreign{}
		if words[1] == "broken" {
			f.err = errors.New("connection refused")
		}
		x.w.server.Sessions = f
	case "read 2":
		defer delete(x.sockets, words[1])
		return "< " + strings.Join(x.sockets[words[1]].rest(), "\n< ") + "\n"
	default:
		x.w.t.Fatalf("no step is %v", words)
	}
	return ""
}

// deletion is a batch that deletes a context, or a user of it.
func deletion(t testing.TB, ids []string) (b cascade.Batch) {
	t.Helper()
	context, err := cascade.ParseID(ids[0])
	must(t, err)
	if len(ids) == 1 {
		b.DeleteContexts = []uint32{context}
		return b
	}
	user, err := cascade.ParseID(ids[1])
	must(t, err)
	b.DeleteUsers = []cascade.Subject{{Context: context, User: user}}
	return b
}

// rest is all that a socket gets from now on, its close included.
func (s *socket) rest() (all []string) {
	s.t.Helper()
	for {
		_, data, err := s.conn.Read(s.t.Context())
		if err != nil {
			var ce websocket.CloseError
			if !errors.As(err, &ce) {
				s.t.Fatal(err)
			}
			return append(all, fmt.Sprintf("close %d %s", ce.Code, ce.Reason))
		}
		all = append(all, string(data))
	}
}

var headerLine = regexp.MustCompile(`^[A-Z][A-Za-z-]*: `)

func (x *exchanges) ask(request []string) string {
	x.w.t.Helper()
	method, path, ok := strings.Cut(x.given(request[0]), " ")
	if !ok {
		x.w.t.Fatalf("%q is no request", request[0])
	}
	var headers []string
	body := ""
	for _, line := range request[1:] {
		if headerLine.MatchString(line) {
			headers = append(headers, x.given(line))
		} else {
			body += x.given(line)
		}
	}
	// A list may show what is being written, and a socket that has just ended.
	x.w.poll("nothing waits, and only the open sockets are left", func() bool {
		open, queued := x.members.sockets()
		return open == int64(len(x.sockets)) && queued == 0
	})
	a := x.w.ask(method, path, body, headers...)
	out := fmt.Sprintf("< %d\n", a.status)
	for _, name := range []string{"Allow", "Content-Type", "Cache-Control"} {
		if v := a.header.Get(name); v != "" {
			out += "< " + name + ": " + v + "\n"
		}
	}
	var page struct{ Next string }
	if json.Unmarshal([]byte(a.body), &page) == nil && page.Next != "" {
		x.cursor = page.Next
	}
	if method == http.MethodPost && a.status == http.StatusCreated {
		var l login
		a.into(x.w.t, &l)
		x.logins["new"] = l
	}
	if a.body != "" {
		out += "< " + strings.ReplaceAll(x.named(strings.TrimSuffix(a.body, "\n")), "\n", "\n< ") + "\n"
	}
	return out
}

// given puts values where a request has their names.
func (x *exchanges) given(text string) string {
	for user, l := range x.logins {
		text = strings.ReplaceAll(text, "$SESSION-"+user, l.Session)
	}
	return strings.ReplaceAll(text, "$CURSOR", x.cursor)
}

var (
	aTime     = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	aHash     = regexp.MustCompile(`"hash":"[0-9a-f]{16}"`)
	aSocketID = regexp.MustCompile(`"id":"[0-9a-zA-Z_-]+"`)
	ofProcess = regexp.MustCompile(`("incarnation":"|"digest":"|digest |incarnations |[0-9a-f]{32} and )[0-9a-f+]{12,}`)
)

// named puts names where an answer has values that differ from run to run.
func (x *exchanges) named(text string) string {
	for user, l := range x.logins {
		text = strings.ReplaceAll(text, l.Session, "$SESSION-"+user)
		text = strings.ReplaceAll(text, l.Secret, "$SECRET-"+user)
		text = strings.ReplaceAll(text, l.Cookie.Name, "$COOKIE-"+user)
	}
	if x.cursor != "" {
		text = strings.ReplaceAll(text, x.cursor, "$CURSOR")
	}
	text = strings.ReplaceAll(text, strconv.Quote(me), `"unix:root"`)
	text = strings.ReplaceAll(text, "by "+me+" ", "by unix:root ")
	text = aHash.ReplaceAllString(text, `"hash":"HASH"`)
	text = aTime.ReplaceAllString(text, `TIME`)
	text = ofProcess.ReplaceAllString(text, "${1}HEX")
	return aSocketID.ReplaceAllString(text, `"id":"ID"`)
}

func (x *exchanges) secrets(text string) bool {
	for _, l := range x.logins {
		if strings.Contains(text, l.Session) || strings.Contains(text, l.Secret) {
			return true
		}
	}
	return false
}
