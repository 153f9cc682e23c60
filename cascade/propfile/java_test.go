package propfile

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed47708276/sluice/testkit"
)

// javaCases is the number of pseudo-random files of the differential test.
const javaCases = 6000

// TestAgainstJava holds Parse to java.util.Properties, entry by entry and in
// order, and to the exact set of files that it refuses: those that Java
// refuses, and those that a rule of the package refuses, which is worked out
// here from the text and from what Java reads.
func TestAgainstJava(t *testing.T) {
	cases := append(javaTexts(), randomTexts(javaCases)...)
	read := askJava(t, cases)
	refused := 0
	for i, text := range cases {
		want, refuse := read[i].entries, read[i].refused || refusedByRule(text, read[i])
		f, findings := Parse("x.properties", []byte(text))
		if (f == nil) != refuse {
			t.Errorf("%q: refused: %v, want %v; Java reads %v\n%v", text, f == nil, refuse, want, findings)
			continue
		}
		if refuse {
			refused++
			continue
		}
		var got []Entry
		for _, e := range f.Entries {
			got = append(got, Entry{Key: e.Key, Value: e.Value})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, Java reads %v", text, got, want)
		}
	}
	t.Logf("%d files, %d of them refused", len(cases), refused)
	if refused > len(cases)/2 {
		t.Errorf("%d of %d files are refused: too few are left to compare", refused, len(cases))
	}
}

// TestSetAgainstJava checks that what Set writes means the same to Java.
func TestSetAgainstJava(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	var texts []string
	var wants [][]Entry
	for _, text := range randomTexts(javaCases / 2) {
		key, value := trim(randomText(rng, 3)), trim(randomText(rng, 6))
		f, _ := Parse("", []byte(text))
		if f != nil && len(f.Entries) > 0 && rng.IntN(2) == 0 {
			key = f.Entries[rng.IntN(len(f.Entries))].Key
		}
		out, err := Set([]byte(text), key, value)
		if err != nil {
			continue
		}
		texts = append(texts, string(out))
		wants = append(wants, withValue(f.Entries, key, value))
	}
	if len(texts) < javaCases/8 {
		t.Fatalf("only %d edits are accepted: too few to compare", len(texts))
	}
	for i, read := range askJava(t, texts) {
		if read.refused || !slices.Equal(read.entries, wants[i]) {
			t.Errorf("%q: Java reads %v, want %v", texts[i], read.entries, wants[i])
		}
	}
}

// withValue is the model of Set.
func withValue(entries []Entry, key, value string) []Entry {
	var out []Entry
	last := -1
	for i, e := range entries {
		out = append(out, Entry{Key: e.Key, Value: e.Value})
		if e.Key == key {
			last = i
		}
	}
	if last < 0 {
		return append(out, Entry{Key: key, Value: value})
	}
	out[last].Value = value
	return out
}

type javaReading struct {
	entries []Entry
	raw     string // all keys and values before trimming
	refused bool
}

func askJava(t *testing.T, texts []string) []javaReading {
	t.Helper()
	java := testkit.Tool(t, "java", "openjdk-17-jdk-headless")
	var in bytes.Buffer
	for _, text := range texts {
		charset := "utf8"
		if !utf8.ValidString(text) {
			charset = "latin1"
		}
		fmt.Fprintf(&in, "%s %x\n", charset, strings.TrimPrefix(text, utf8BOM))
	}
	cmd := exec.Command(java, "-XX:TieredStopAtLevel=1", "testdata/Load.java")
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("java testdata/Load.java (it needs the compiler of openjdk-17-jdk-headless): %v\n%s", err, stderr.Bytes())
	}
	var read []javaReading
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		r := javaReading{refused: fields[0] == "refused"}
		for _, field := range fields[1:] {
			part := strings.Split(field, "=")
			r.entries = append(r.entries, Entry{Key: fromUTF16(t, part[0]), Value: fromUTF16(t, part[1])})
			r.raw += fromUTF16(t, part[2])
		}
		read = append(read, r)
	}
	if len(read) != len(texts) {
		t.Fatalf("java answered %d of %d files\n%s", len(read), len(texts), stderr.Bytes())
	}
	return read
}

func fromUTF16(t *testing.T, digits string) string {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	var units []uint16
	for i := 0; i < len(raw); i += 2 {
		units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	return string(utf16.Decode(units))
}

var (
	controlRule  = regexp.MustCompile(`[\x00-\x08\x0b\x0e-\x1f\x7f]`)
	conflictRule = regexp.MustCompile(`(?:^|[\r\n])(<{7}|\|{7}|={7}|>{7})(?:[ \r\n]|$)`)
	htmlRule     = regexp.MustCompile(`^[ \t\f\r\n]*(?i:<!doctype html|<html)(?:[> \t\f\r\n/]|$)`)
)

// refusedByRule is the package's strictness in a second form.
func refusedByRule(text string, read javaReading) bool {
	text = strings.TrimPrefix(text, utf8BOM)
	if controlRule.MatchString(text) || conflictRule.MatchString(text) || htmlRule.MatchString(text) {
		return true
	}
	return controlRule.MatchString(read.raw) || slices.ContainsFunc(read.entries, func(e Entry) bool { return e.Key == "" })
}

// javaTexts are the texts worth comparing that no generator finds: those of
// the other tests, and line ends around the 8192 characters that Java reads at
// a time.
func javaTexts() []string {
	texts := slices.Clone(seeds)
	for _, tail := range []string{"a=b\\\r\n  c\r\nd=e\r\n", "a=b\\", "a=b\\\n", "\\\n", "\\\r\n", "\\", "a=\\u00e9\\\r\n\r\nb=1", "é=😀\r\nb=\\\r\n\r\n"} {
		for pad := 8192 - len(tail) - 1; pad <= 8192; pad++ {
			texts = append(texts, "x=1\n#"+strings.Repeat("x", pad-5)+"\n"+tail, "x="+strings.Repeat("y", pad-3)+"\r"+tail)
		}
	}
	return texts
}

// alphabet is what properties files break on. Blanks, line ends and
// separators occur more than once to keep lines short and entries many.
var alphabet = []string{
	`\`, `\`, "\\\n", "\\\r\n", "\\\r", "\n", "\n", "\r", "\r\n", " ", " ", "\t", "\f", "=", "=", ":", "#", "!",
	"a", "b", "c", "key", "val", "u", "n", "t", "r", "f", "0041", "é", "ÿ", "€", "😀", "\u0085", "\u00a0", "\u2028", "\ufeff", "\ufffd",
	`\u0041`, `\u00e9`, `\uD83D`, `\ude00`, `\ud83d\ude00`, `\u003d`, `\u0020`, `\u000a`, `\u005c`, `\u0009`,
	`\t`, `\n`, `\r`, `\f`, `\\`, `\ `, `\=`, `\:`, `\#`, `\"`, "${a}", "{{env A}}", "a=1\n", "\nb=2\n",
}

// rare is what makes the whole file be refused, or be read as ISO-8859-1.
var rare = []string{
	"\x00", "\x1b", "\v", "\x7f", "\xff", "\xc3", "\x93", `\u0000`, `\u001b`, `\u12`, `\uzzzz`, "\n<<<<<<< HEAD\n", "\n=======\n", "\n>>>>>>> x\n", "<html>",
}

func randomText(rng *rand.Rand, most int) string {
	var b strings.Builder
	for range rng.IntN(most + 1) {
		if rng.IntN(150) == 0 {
			b.WriteString(rare[rng.IntN(len(rare))])
		} else {
			b.WriteString(alphabet[rng.IntN(len(alphabet))])
		}
	}
	return b.String()
}

func randomTexts(n int) []string {
	rng := rand.New(rand.NewPCG(17, 65))
	texts := make([]string, n)
	for i := range texts {
		texts[i] = randomText(rng, 1+i%24)
	}
	return texts
}
