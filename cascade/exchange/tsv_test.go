package exchange

import (
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

const (
	contextHeader = "cid\tcontext_name\tenabled\tname\tvalue\n"
	userHeader    = "cid\tid\tenabled\tpermissions\tname\tvalue\n"
)

func TestStoredValues(t *testing.T) {
	for _, c := range []struct{ stored, context, user string }{
		{"x", `"x" protected`, `"x"`},
		{"", `"" protected`, `""`},
		{" x ", `" x " protected`, `" x "`},
		{" x ; final=context", `"x" final=context`, `" x ; final=context"`},
		{"x;", `"x"`, `"x;"`},
		{"x; protected", `"x" protected`, `"x; protected"`},
		{"x;protected = TRUE ;final= user", `"x" final=user protected`, `"x;protected = TRUE ;final= user"`},
		{"x; protected=false; final=user; final=server", `"x" final=server`, `"x; protected=false; final=user; final=server"`},
		{"a%3Bb", `"a;b" protected`, `"a%3Bb"`},
		{"a%253Bb%25", `"a%3Bb%" protected`, `"a%253Bb%25"`},
		{"a%3b", `"a%3b" protected`, `"a%3b"`},
		{`a\\nb\\u00e4\\\\`, `"a\nbä\\" protected`, `"a\nbä\\"`},
		{`\\uD83D\\uDE00\\uD83D`, `"😀` + "�" + `" protected`, `"😀` + "�" + `"`},
		{`\\:\\=\\x\\`, `":=x" protected`, `":=x"`},
		{`C:\\u00`, "1.tsv:2:21 error bad-value", "1.tsv:2:23 error bad-value"},
		{`a\tb\n\0`, "1.tsv:2:21 error bad-value", "1.tsv:2:23 error bad-value"}, // no file may hold a NUL
		{`a\tb\n`, `"a\tb\n" protected`, `"a\tb\n"`},
		{"a\ufffdb", "\"a\ufffdb\" protected\n1.tsv:2:21 warning bad-encoding", "\"a\ufffdb\"\n1.tsv:2:23 warning bad-encoding"},
		{"x; final=contexts", "\"x\"\n1.tsv:2:21 error unknown-final", `"x; final=contexts"`},
		{"x; protected=maybe", "\"x\"\n1.tsv:2:21 warning bad-value", `"x; protected=maybe"`},
		{"text/html; charset=utf-8", "\"text/html\"\n1.tsv:2:21 warning not-taken-over", `"text/html; charset=utf-8"`},
		{"NULL", "\"NULL\" protected\n1.tsv:2:21 warning null", "\"NULL\"\n1.tsv:2:23 warning null"},
	} {
		for what, want := range map[string]string{
			contextHeader + "1\tacme\t1\tconfig/a.b\t" + c.stored + "\n": c.context,
			userHeader + "1\t2\t1\tNULL\tconfig/a.b\t" + c.stored + "\n": c.user,
		} {
			list, fs := readTSV(t, what)
			var got []string
			for _, s := range append(list, fs...) {
				if _, value, is := strings.Cut(s, `"a.b"=`); is {
					got = append(got, value)
				} else if !strings.HasPrefix(s, "context ") && !strings.HasPrefix(s, "user ") {
					got = append(got, s)
				}
			}
			equal(t, strconv.Quote(what), got, []string{want})
		}
	}
}

// A row with a control character is an error that names its place, context, user
// and property, and all others count; names that lost their letters are warned
// about.
func TestOddRows(t *testing.T) {
	sink := &entries{}
	schema, err := cascade.NewSchema(nil, []cascade.Declaration{{Name: "a.bool", Kind: cascade.Bool, Default: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := ReadTSV(schema, sink,
		Input{"c.tsv", strings.NewReader(contextHeader + "7\ta\\tb\t1\tconfig/a\tx\n7\ta\\tb\t1\tconfig/b\ty\n8\t???\t1\tNULL\tNULL\n9\tB\ufffdcker\t1\tconfig/?\tx\n")},
		Input{"u.tsv", strings.NewReader(userHeader + "7\t3\t1\t1\tconfig/a\t\u0007\n7\t3\t1\t1\tconfig/b\tok\n7\t4\t1\t1\tconfig/a.bool\tyes\n7\t5\t1\t1\tconfig/c\tesc\u001b[2J\n")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fs {
		got = append(got, f.String())
	}
	equal(t, "findings", got, []string{
		`c.tsv:2:3: error: the name "a\tb" of context 7 has control characters, and is left out: correct it [bad-name]`,
		`c.tsv:4:3: warning: the name "???" of context 8 looks as if the client had run without --default-character-set=utf8mb4: make the file again with it, and look at the row [bad-encoding]`,
		`c.tsv:5:3: warning: the name "B` + "\ufffd" + `cker" of context 9 looks as if the client had run without --default-character-set=utf8mb4: make the file again with it, and look at the row [bad-encoding]`,
		`c.tsv:5:12: warning: the property "?" of context 9 looks as if the client had run without --default-character-set=utf8mb4: make the file again with it, and look at the row [bad-encoding]`,
		`u.tsv:2:18: error: "a" for user 3 in context 7: the value holds the control character U+0007 behind 0 bytes: set it anew or remove the row; the row is skipped [bad-value]`,
		`u.tsv:4:23: error: "a.bool" for user 4 in context 7: a.bool: "yes" is neither true nor false; the row is skipped [bad-value]`,
		`u.tsv:5:18: error: "c" for user 5 in context 7: the value holds the control character U+001B behind 3 bytes: set it anew or remove the row; the row is skipped [bad-value]`,
	})
	equal(t, "entries", sink.list, []string{
		`override 7/0 "a"="x" protected`, `override 7/0 "b"="y" protected`, `override 9/0 "?"="x" protected`,
		`user 7/3 enabled=true ["WebMail"]`, `override 7/3 "b"="ok"`, `user 7/4 enabled=true ["WebMail"]`, `user 7/5 enabled=true ["WebMail"]`,
		`context 7 "" enabled=true []`, `context 8 "???" enabled=true []`, "context 9 \"B\ufffdcker\" enabled=true []",
	})
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		name     string
		in       []string
		list, fs []string
	}{
		{"all of a context and a user", []string{
			contextHeader + "7\tacme\t1\ttaxonomy/types\twebmail, de,,beta\n7\tacme\t1\tconfig/a\tx\n9\tempty\t0\tNULL\tNULL\n",
			userHeader + "7\t3\t1\t33554449\tconfig/a\ty\n7\t3\t1\t33554449\tconfig/b\tz\n7\t4\t0\tNULL\tNULL\tNULL\n",
		}, []string{
			`override 7/0 "a"="x" protected`,
			`user 7/3 enabled=true ["WebMail" "Infostore" "ActiveSync"]`, `override 7/3 "a"="y"`, `override 7/3 "b"="z"`,
			`user 7/4 enabled=false []`,
			`context 7 "acme" enabled=true ["webmail" "de" "beta"]`, `context 9 "empty" enabled=false []`,
		}, nil},
		{"split and joined files, in any order and any case of columns", []string{
			"cid\tid\tname\tvalue\n7\t3\tconfig/a\ty\nvalue\tcid\tname\nde\t7\ttaxonomy/types\n",
			"cid\tcontext_name\tenabled\n7\tacme\t0\n",
		}, []string{`override 7/3 "a"="y"`, `context 7 "acme" enabled=false ["de"]`}, nil},
		{"a context without a row of its own is not invented", []string{
			"cid\tname\tvalue\n7\tconfig/a\tx\n8\ttaxonomy/types\tde\n",
			userHeader + "5\t3\t1\t0\tNULL\tNULL\n",
		}, []string{`override 7/0 "a"="x" protected`, `user 5/3 enabled=true []`}, []string{"1.tsv:3:0 error unknown-context"}},
		{"a list of contexts that is not whole", []string{
			contextHeader + "7\tacme\t1\tNULL\tNULL\n",
			userHeader + "5\t3\t1\t0\tNULL\tNULL\n7\t3\t1\t0\tNULL\tNULL\n",
		}, []string{`user 5/3 enabled=true []`, `user 7/3 enabled=true []`, `context 7 "acme" enabled=true []`}, []string{"2.tsv:0:0 error unknown-context"}},
		{"contradictions switch off", []string{
			contextHeader + "7\tacme\t1\ttaxonomy/types\ta\n7\tacme\t0\ttaxonomy/types\tb\n7\tacme\t0\ttaxonomy/types\ta\n",
		}, []string{`context 7 "acme" enabled=false ["a"]`}, []string{"1.tsv:3:3 error contradiction", "1.tsv:3:25 error contradiction"}},
		{"bad rows are skipped", []string{
			contextHeader + "x\tacme\t1\tNULL\tNULL\n0\ta\t1\tNULL\tNULL\n2147483648\ta\t1\tNULL\tNULL\n7\ta\t2\tNULL\tNULL\n" +
				"8\ta\t1\tconfig/a\n9\ta\\q\t1\tNULL\tNULL\n10\ta\xff\t1\tNULL\tNULL\n11\ta\tNULL\tNULL\tNULL\n",
			userHeader + "11\t1\t1\tmany\tNULL\tNULL\n11\t1\t1\t1\tconfig/\tx\n11\t1\t1\t1\tconfig/ a\tx\n11\t1\t1\t1\tconfig/a\\nb\tx\n" +
				"11\t1\t1\t1\tconfig/a\t1\n11\t1\t1\t1\tconfig/a\t2\n11\t1\t1\t1\tConfig/b\t2\n11\t1\t1\t1\tother/b\t2\n",
		}, []string{`user 11/1 enabled=true ["WebMail"]`, `override 11/1 "a"="1"`, `context 11 "a" enabled=false []`}, []string{
			"1.tsv:2:1 error bad-id", "1.tsv:3:1 error bad-id", "1.tsv:4:1 error bad-id", "1.tsv:5:5 error bad-row",
			"1.tsv:6:1 error bad-row", "1.tsv:7:4 error bad-escape", "1.tsv:8:5 error bad-encoding", "1.tsv:9:6 warning null",
			"2.tsv:2:8 error bad-row", "2.tsv:3:10 error bad-name", "2.tsv:4:10 error bad-name", "2.tsv:5:10 error bad-name",
			"2.tsv:7:10 error duplicate", "2.tsv:8:10 warning not-taken-over", "2.tsv:9:10 warning not-taken-over",
		}},
		{"tags that no expression can name", []string{
			contextHeader + "7\tacme\t1\ttaxonomy/types\tweb mail,a&b,a;b\n7\tacme\t1\tTaxonomy/types\tx\n",
		}, []string{`context 7 "acme" enabled=true ["a;b"]`}, []string{"1.tsv:2:25 warning bad-tag", "1.tsv:2:25 warning bad-tag", "1.tsv:3:10 warning not-taken-over"}},
		{
			"a file that ends too soon",
			[]string{contextHeader + "7\tacme\t1\tNULL\tNULL\n8\tacme\t1\tconfig/a\tfal"},
			[]string{`context 7 "acme" enabled=true []`},
			[]string{"1.tsv:3:1 error cut-off"},
		},
		{"no rows", []string{""}, nil, []string{"1.tsv:0:1 warning empty-file"}},
		{"a file from Windows, and one that is not", []string{
			"\ufeff" + strings.ReplaceAll("cid\tid\tname\tvalue\n7\t3\tconfig/a\ty\n", "\n", "\r\n") + "cid\tid\tname\tvalue\n7\t4\tconfig/a\ty\r\n",
		}, []string{`override 7/3 "a"="y"`, `override 7/4 "a"="y\r"`}, nil},
		{"headers that do not fit", []string{
			"7\tacme\n", "cid\tid\tnames\tvalue\n7\t3\tconfig/a\tx\n", "cid\tcid\n", "cid\tname\n", "cid\tid\n", "id\tname\tvalue\n",
			"cid\tid\tenabled\tname\tvalue\n", "cid\tenabled\tname\tvalue\n", "cid\tpermissions\tname\tvalue\n", "cid\tid\tcontext_name\tname\tvalue\n",
			"+---+\n| cid |\n", "cid\tname\tvalue\n7\tconfig/a\tx\nname\tcid\tvalues\nconfig/a\t7\ty\ncid\tname\tvalue\n7\tconfig/c\tz\n",
		}, []string{`override 7/0 "a"="x" protected`, `override 7/0 "c"="z" protected`}, []string{
			"1.tsv:1:1 error bad-header", "10.tsv:1:1 error bad-header", "11.tsv:1:1 error bad-header", "12.tsv:3:10 error bad-header", "2.tsv:1:8 error bad-header",
			"3.tsv:1:5 error bad-header", "4.tsv:1:1 error bad-header", "5.tsv:1:1 error bad-header", "6.tsv:1:1 error bad-header",
			"7.tsv:1:1 error bad-header", "8.tsv:1:1 error bad-header", "9.tsv:1:1 error bad-header",
		}},
		{"a line that is too long", []string{
			"cid\tname\tvalue\n7\tconfig/a\t" + strings.Repeat("x", maxLine) + "\n7\tconfig/b\t" + strings.Repeat("x", 10) + "\n",
			strings.Repeat("x", 3*maxLine),
		}, []string{`override 7/0 "b"="xxxxxxxxxx" protected`}, []string{"1.tsv:2:1 error line-too-long", "2.tsv:1:1 error line-too-long"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, fs := readTSV(t, c.in...)
			equal(t, "entries", list, c.list)
			equal(t, "findings", fs, c.fs)
		})
	}
}

func TestFindingsAreBounded(t *testing.T) {
	_, fs := readTSV(t, "cid\tname\tvalue\n"+strings.Repeat("x\tconfig/a\ty\n", 10*maxFindings))
	if len(fs) != maxFindings+1 || fs[0] != "1.tsv:0:0 error more-findings" {
		t.Errorf("%d findings, the first %s", len(fs), fs[0])
	}
}

// TestValuesAreNotShown: a value may be a secret.
func TestValuesAreNotShown(t *testing.T) {
	const secret = "geheim"
	e := &entries{}
	fs, err := ReadTSV(emptySchema(t), e, Input{"1.tsv", strings.NewReader(contextHeader +
		"7\tacme\t1\tconfig/a.password\t" + secret + `\\u12` + "\n7\tacme\t1\tconfig/b.password\tx;" + secret + "\n" +
		"7\tacme\t1\tconfig/c.password\tx; protected=" + secret + "\n7\tacme\t1\tconfig/d.password\t" + secret + "\\q\n")})
	if err != nil || len(fs) != 4 {
		t.Fatal(err, fs)
	}
	for _, f := range fs {
		if strings.Contains(f.Text, secret) {
			t.Errorf("shown: %s", f)
		}
	}
}

// rows makes the rows of many users as they are read.
type rows struct {
	n, users int
	buf      []byte
}

func (r *rows) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.n == r.users {
			return 0, io.EOF
		}
		if r.n == 0 {
			r.buf = append(r.buf, userHeader...)
		}
		r.n++
		id := strconv.Itoa(r.n)
		for _, property := range []string{"a", "b"} {
			r.buf = append(r.buf, "7\t"+id+"\t1\t17\tconfig/"+property+"\t"+strings.Repeat(id, 20)+"\n"...)
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// counter counts users, and now and then the memory in use.
type counter struct {
	entries
	users int
	most  uint64
}

func (c *counter) User(cascade.User) error {
	if c.users++; c.users%20_000 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.most = max(c.most, m.HeapAlloc)
	}
	return nil
}

func (c *counter) Override(cascade.Override) error { return nil }

func TestUsersStream(t *testing.T) {
	const users, limit = 100_000, 4 << 20 // all of them take some 40 MiB
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := &counter{}
	fs, err := ReadTSV(nil, c, Input{"users.tsv", &rows{users: users}})
	if err != nil || len(fs) != 0 || c.users != users {
		t.Fatalf("%d users, %v, %v", c.users, fs, err)
	}
	if c.most > before.HeapAlloc+limit {
		t.Errorf("%d bytes are held, at most %d may be", c.most-before.HeapAlloc, limit)
	}
}

var errSink = errors.New("the store is full")

type full struct{ entries }

func (*full) Override(cascade.Override) error { return errSink }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errSink }

func TestErrorsOfSinkAndFileEndTheReading(t *testing.T) {
	_, err := ReadTSV(nil, &full{}, Input{"1.tsv", strings.NewReader("cid\tname\tvalue\n7\tconfig/a\tx\n")})
	if !errors.Is(err, errSink) || !strings.HasPrefix(err.Error(), "1.tsv:2: ") {
		t.Error(err)
	}
	_, err = ReadTSV(nil, &entries{}, Input{"1.tsv", io.MultiReader(strings.NewReader("cid\tname\tvalue\n"), broken{})})
	if !errors.Is(err, errSink) || !strings.HasPrefix(err.Error(), "1.tsv:1: ") {
		t.Error(err)
	}
}

// choosy is a sink that refuses one kind of entry.
type choosy struct {
	entries
	kind string
}

func (c *choosy) Context(cascade.Context) error {
	if c.kind == "context" {
		return errSink
	}
	return nil
}

func (c *choosy) User(cascade.User) error {
	if c.kind == "user" {
		return errSink
	}
	return nil
}

func TestEveryErrorOfTheSinkIsReturned(t *testing.T) {
	for kind, text := range map[string]string{
		"context": contextHeader + "7\tacme\t1\tNULL\tNULL\n",
		"user":    userHeader + "7\t3\t1\t1\tNULL\tNULL\n",
	} {
		if _, err := ReadTSV(nil, &choosy{kind: kind}, Input{"1.tsv", strings.NewReader(text)}); !errors.Is(err, errSink) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	const file = "contexts:\n  - {id: 7, users: [{id: 3}]}\n"
	for _, kind := range []string{"context", "user"} {
		if _, err := ReadYAML("d.yml", []byte(file), emptySchema(t), &choosy{kind: kind}); !errors.Is(err, errSink) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestBoundsOfTheEngine(t *testing.T) {
	long := strings.Repeat("x", cascade.MaxTextLen+1)
	list, fs := readTSV(t,
		contextHeader+"7\t"+long+"\t1\tNULL\tNULL\n8\ta\t1\ttaxonomy/types\t"+strings.Repeat("a,", cascade.MaxTags+1)+"\n"+
			"9\ta\t1\tconfig/"+strings.Repeat("p", cascade.MaxNameLen+1)+"\tx\n")
	equal(t, "entries", list, []string{`context 9 "a" enabled=true []`})
	equal(t, "findings", fs, []string{"1.tsv:2:3 error bad-entry", "1.tsv:3:0 error bad-entry", "1.tsv:4:7 error bad-entry"})
}

func TestAFileErrorOfYAML(t *testing.T) {
	e := &entries{}
	fs, err := ReadYAML("d.yml", []byte("contexts: [\n"), emptySchema(t), e)
	if err != nil || len(fs) != 1 || len(e.list) != 0 {
		t.Error(fs, err, e.list)
	}
}
