package yamlfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade/finding"
)

var (
	torture = flag.Bool("torture", false, "ask the existing system's reader itself, and about many more documents")
	update  = flag.Bool("update", false, "write what the existing system's reader answers to testdata")
)

const (
	snakeVectors = "testdata/snakeyaml.jsonl"
	snakeJar     = "/usr/share/java/snakeyaml-1.33.jar" // of Debian's libyaml-snake-java
	// snakeRandom is how many pseudo-random scalars, and as many documents,
	// -torture compares beside the vectors.
	snakeRandom = 20_000
)

// snakeReading is what SnakeYAML makes of a document: see testdata/Read.java.
type snakeReading struct {
	In      string       `json:"in"`
	Refused *string      `json:"refused,omitempty"`
	Blocks  []snakeBlock `json:"blocks,omitempty"`
}

type snakeBlock struct {
	Name    string       `json:"name"`
	Text    *string      `json:"text,omitempty"` // of a block that is no map
	Entries [][2]*string `json:"entries,omitempty"`
}

// TestSnakeYAMLVectors holds every difference to the reader of today's files to
// be named by a finding, and no scalar that both read alike to be warned about.
// The vectors are the reader's own answers.
func TestSnakeYAMLVectors(t *testing.T) {
	cases := slices.Concat(snakeScalars(), snakeDocuments())
	if *update {
		var out bytes.Buffer
		for _, r := range askSnakeYAML(t, cases) {
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(append(line, '\n'))
		}
		if err := os.WriteFile(snakeVectors, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	vectors := readVectors(t)
	if len(vectors) < 600 {
		t.Errorf("only %d vectors", len(vectors))
	}
	for i, r := range vectors {
		if i >= len(cases) || r.In != cases[i] {
			t.Fatalf("%s does not fit the cases from number %d on: run with -args -update", snakeVectors, i)
		}
	}
	compareAll(t, vectors)
}

// TestSnakeYAML asks the reader itself: whether the vectors are its answers, and
// about pseudo-random scalars and documents.
func TestSnakeYAML(t *testing.T) {
	if !*torture {
		compareAll(t, askSnakeYAML(t, randomSnake(1, 50))) // that the harness works
		return
	}
	vectors := readVectors(t)
	var cases []string
	for _, r := range vectors {
		cases = append(cases, r.In)
	}
	for i, r := range askSnakeYAML(t, cases) {
		if got, want := fmt.Sprint(js(r)), fmt.Sprint(js(vectors[i])); got != want {
			t.Errorf("%q: SnakeYAML reads %s, the vector says %s", r.In, got, want)
		}
	}
	compareAll(t, askSnakeYAML(t, randomSnake(2, snakeRandom)))
}

func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func readVectors(t *testing.T) []snakeReading {
	t.Helper()
	f, err := os.Open(snakeVectors)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []snakeReading
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r snakeReading
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func askSnakeYAML(t *testing.T, cases []string) []snakeReading {
	t.Helper()
	if _, err := os.Stat(snakeJar); err != nil {
		t.Fatalf("SnakeYAML is missing: install Debian's libyaml-snake-java: %v", err)
	}
	var in bytes.Buffer
	for _, c := range cases {
		fmt.Fprintf(&in, "%x\n", c)
	}
	cmd := exec.Command("java", "-Duser.timezone=UTC", "-XX:TieredStopAtLevel=1", "-cp", snakeJar, "testdata/Read.java")
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("java testdata/Read.java (it needs the compiler of openjdk-17-jdk-headless): %v\n%s", err, stderr.Bytes())
	}
	var list []snakeReading
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r snakeReading
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		r.In = cases[len(list)]
		list = append(list, r)
	}
	if len(list) != len(cases) {
		t.Fatalf("SnakeYAML answered %d of %d\n%s", len(list), len(cases), stderr.Bytes())
	}
	return list
}

func compareAll(t *testing.T, list []snakeReading) {
	t.Helper()
	refused, both := 0, 0
	for _, r := range list {
		blocks, fs, ok := ParseSets("p.yml", []byte(r.In))
		switch {
		case !ok && r.Refused == nil:
			refused++ // a file error names it
		case ok && r.Refused != nil && len(fs) == 0:
			t.Errorf("%q is read without a word; SnakeYAML refuses it: %s", r.In, *r.Refused)
		case ok && r.Refused == nil:
			both++
			for _, d := range differences(blocks, r.Blocks, fs) {
				t.Errorf("%q: %s\n%v", r.In, d, fs)
			}
		}
	}
	t.Logf("%d documents: both read %d, only SnakeYAML %d", len(list), both, refused)
	if both < len(list)/3 {
		t.Errorf("only %d of %d documents are read by both: too few to compare", both, len(list))
	}
}

// differences lists what the two readings disagree about without a finding in
// the block or below, and the warnings about scalars that both read alike.
func differences(blocks []Block, want []snakeBlock, fs []finding.Finding) []string {
	var out []string
	differ := func(line int, format string, args ...any) {
		if !slices.ContainsFunc(fs, func(f finding.Finding) bool { return f.Line >= line }) {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if len(blocks) != len(want) {
		differ(0, "%d blocks, SnakeYAML has %d", len(blocks), len(want))
		return out
	}
	agreed := true
	for i, b := range blocks {
		w := want[i]
		// Nothing but the output depends on the name of a block.
		if b.Name != w.Name && classify(b.Name) == classText {
			agreed = false
			differ(b.Line, "block %q, SnakeYAML has %q", b.Name, w.Name)
		}
		if w.Text != nil {
			agreed = false
			differ(b.Line, "block %q, SnakeYAML has the text %q", b.Name, *w.Text)
			continue
		}
		mine := entriesOf(b)
		for _, e := range w.Entries {
			key, got := *e[0], "null"
			if e[1] != nil {
				got = "=" + *e[1]
				if key == keyAddTags {
					got = "=" + strings.Join(slices.DeleteFunc(strings.FieldsFunc(*e[1], func(r rune) bool { return r == ',' }), func(s string) bool { return strings.TrimSpace(s) == "" }), ",")
					got = strings.ReplaceAll(got, ", ", ",")
				}
			}
			if key == keyPriority || mine[key] == got {
				continue
			}
			agreed = false
			differ(b.Line, "%s of %q is %q, to SnakeYAML %q", key, b.Name, mine[key], got)
		}
	}
	if agreed {
		for _, f := range fs {
			if f.Code == CodeYAML11 {
				out = append(out, "both read the same, and still: "+f.String())
			}
		}
	}
	return out
}

// entriesOf renders a block as the answers of SnakeYAML are: "null", or = and
// the text; "!" stands for an entry error.
func entriesOf(b Block) map[string]string {
	entries := map[string]string{}
	add := func(key string, v Value) {
		switch {
		case v.Invalid:
			entries[key] = "!"
		case !v.Defined:
			entries[key] = "null"
		default:
			entries[key] = "=" + v.Text
		}
	}
	add(keyWithTags, b.With)
	add(keyAddTags, b.AddText)
	if b.AddText.Defined && !b.AddText.Invalid {
		entries[keyAddTags] = "=" + strings.Join(b.AddTags, ",")
	}
	for _, p := range b.Properties {
		add(p.Name, p.Value)
	}
	return entries
}

// scalarLetters are what numbers, dates, booleans and their near misses are
// made of.
var scalarLetters = []string{
	"0", "0", "1", "1", "2", "7", "8", "9", "_", "_", ".", ".", ":", "+", "-", "e", "E", "x", "0x", "0b", "0o", "b", "a", "F", "T", "Z",
	"true", "True", "NO", "on", "null", "~", ".inf", ".NaN", "2026-01-01", "12:30", "1e3", " ", "=", "y", "n",
}

// documentLines are lines of block style that go together in any order more
// often than not.
var documentLines = []string{
	"b:\n", "c: &c\n", "d:\n", "\"b\":\n", "  withTags: t\n", "  withTags: \"t & u\"\n", "  addTags: u, v\n", "  addTags: [u, v]\n", "  addTags: YES\n",
	"  k: 1\n", "  k: \"1\"\n", "  k: [1, a]\n", "  k: [a, {b: c}]\n", "  k: {a: b}\n", "  k:\n    - a\n    - TRUE\n", "  l: 010\n", "  l: True\n", "  l:\n",
	"  l: ~\n", "  <<: *c\n", "  m: 'it''s'\n", "  m: |\n    text\n", "  m: >-\n    a\n    b\n", "  n: a # c\n", "  n: a#c\n", "# c\n", "\n", "  o: a: b\n",
	"---\n", "...\n", "%YAML 1.2\n", "%FOO x\n", "  p: !!str 5\n", "  p: !x 5\n", "  q: *c\n", "  1: x\n", "  yes: x\n", "\tk: v\n", "  r: \"\\x41\"\n", "  s: a\n    b\n", "- x\n",
}

func randomSnake(seed uint64, n int) []string {
	rng := rand.New(rand.NewPCG(seed, 33))
	var out []string
	for range n {
		var s strings.Builder
		for range 1 + rng.IntN(5) {
			s.WriteString(scalarLetters[rng.IntN(len(scalarLetters))])
		}
		out = append(out, "b:\n  withTags: t\n  k: "+s.String()+"\n")
		s.Reset()
		s.WriteString("b:\n  withTags: t\n")
		for range rng.IntN(8) {
			s.WriteString(documentLines[rng.IntN(len(documentLines))])
		}
		out = append(out, s.String())
	}
	return out
}
