package redismodel

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

var update = flag.Bool("update", false, "rewrite the golden files from a real Redis")

// TestConformance runs testdata/*.txt against a real redis-server and against
// the model, and both must answer what the file says; -update writes what the
// real one answers. A line of a script is
//
//	CONN> COMMAND ARG ...    send and read; CONN is a connection, or nothing
//	CONN>> COMMAND ARG ...   send
//	CONN< N                  read the answers of N commands that were sent
//	any> COMMAND ...         numbers of the answer are not told
//	sorted> COMMAND ...      the answer has no order
//	code> COMMAND ...        of an error its code alone
//	sleep MS
//	# comment
//
// Arguments with spaces are in double quotes, as Go has them.
func TestConformance(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			real := redistest.Start(t)
			dialReal := func() (net.Conn, error) { return net.Dial("tcp", real.Addr) }
			got := transcript(t, string(text), dialReal)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				text = []byte(got)
			}
			compare(t, "redis-server", string(text), got)
			s := New(Options{Latency: time.Microsecond})
			defer s.Close()
			compare(t, "the model", string(text), transcript(t, string(text), func() (net.Conn, error) { return s.Line().Dial(context.Background()) }))
		})
	}
}

// compare names the first lines that differ.
func compare(t *testing.T, who, want, got string) {
	t.Helper()
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			command := i
			for command > 0 && !strings.Contains(w[command], "> ") {
				command--
			}
			t.Errorf("%s: line %d, behind %q:\ngot  %s\nwant %s", who, i+1, w[command], g[min(i, len(g)-1)], w[i])
			return
		}
	}
}

// transcript runs a script and returns it with the answers.
func transcript(t *testing.T, script string, dial func() (net.Conn, error)) string {
	t.Helper()
	conns := make(map[string]*raw)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	conn := func(name string) *raw {
		if conns[name] == nil {
			c, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			conns[name] = &raw{c, bufio.NewReader(c)}
		}
		return conns[name]
	}
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // an answer
		}
		out.WriteString(line + "\n")
		kind, rest, command := strings.Cut(line, ">")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "sleep "):
			ms, err := strconv.Atoi(line[len("sleep "):])
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(ms) * time.Millisecond)
		case command && strings.HasPrefix(rest, ">"):
			conn(kind).send(t, rest[1:])
		case command:
			name := kind
			if kind == "any" || kind == "sorted" || kind == "code" {
				name = ""
			}
			c := conn(name)
			c.send(t, rest)
			out.WriteString("  " + render(c.read(t), kind) + "\n")
		case strings.Contains(line, "<"):
			name, n, _ := strings.Cut(line, "<")
			count, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			for range count {
				out.WriteString("  " + render(conn(name).read(t), "") + "\n")
			}
		default:
			t.Fatalf("%q is no line of a script", line)
		}
	}
	return out.String()
}

// raw is a connection without a client.
type raw struct {
	net.Conn
	r *bufio.Reader
}

var argument = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\S+`)

func (c *raw) send(t *testing.T, line string) {
	t.Helper()
	args := argument.FindAllString(line, -1)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		if strings.HasPrefix(a, `"`) {
			var err error
			if a, err = strconv.Unquote(a); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

const answerTimeout = 30 * time.Second

func (c *raw) read(t *testing.T) any {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		t.Fatal(err)
	}
	v, err := readAnswer(c.r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// readAnswer reads RESP 2 and 3 into the types that the model answers with.
func readAnswer(r *bufio.Reader) (any, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	rest := line[1:]
	switch line[0] {
	case '+':
		return status(rest), nil
	case '-':
		return failure(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case ',':
		return strconv.ParseFloat(rest, 64)
	case '_':
		return nil, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return nil, err
	}
	switch {
	case line[0] == '$' && n < 0:
		return nil, nil
	case line[0] == '$':
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case n < 0:
		return noArray{}, nil
	case line[0] == '%':
		n *= 2
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = readAnswer(r); err != nil {
			return nil, err
		}
	}
	switch line[0] {
	case '*':
		return array(list), nil
	case '~':
		return set(list), nil
	case '%':
		return mapping(list), nil
	}
	return nil, errors.New("an answer of the type " + line[:1])
}

var (
	number = regexp.MustCompile(`\d+`)
	autoID = regexp.MustCompile(`\b1\d{12}-\d+`)
)

func render(v any, kind string) string {
	text := text(v, kind == "sorted")
	if f, failed := v.(failure); failed && kind == "code" {
		text, _, _ = strings.Cut("-"+string(f), " ")
	}
	text = autoID.ReplaceAllString(text, "ID")
	if kind == "any" {
		text = number.ReplaceAllString(text, "N")
	}
	return text
}

func text(v any, sorted bool) string {
	all := func(list []any, open, end string, pairs int) string {
		var parts []string
		for i := 0; i < len(list); i += pairs {
			part := text(list[i], sorted)
			if pairs == 2 {
				part += " = " + text(list[i+1], sorted)
			}
			parts = append(parts, part)
		}
		if sorted {
			slices.Sort(parts)
		}
		return open + strings.Join(parts, ", ") + end
	}
	switch v := v.(type) {
	case nil:
		return "nil"
	case noArray:
		return "no array"
	case status:
		return "+" + string(v)
	case failure:
		return "-" + string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return "," + formatScore(v)
	case string:
		return strconv.Quote(v)
	case array:
		return all(v, "[", "]", 1)
	case set:
		return all(v, "set [", "]", 1)
	case mapping:
		return all(v, "{", "}", 2)
	default:
		return fmt.Sprintf("%T", v)
	}
}
