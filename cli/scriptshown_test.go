package cli_test

import (
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// shownForms are what differs from run to run, and what stands for it in the golden
// texts of scripts. The order counts.
var shownForms = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`unix:\S+\.sock`), "unix:SOCKET"},
	{regexp.MustCompile(`socket=\S+\.sock`), "socket=SOCKET"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`unix:[a-z_][a-z0-9_-]*\b`), "ACTOR"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12}|[0-9a-f]{8})\b`), "DIGEST"},
	{regexp.MustCompile(`\bup \d+[smhd]+`), "up AGE"},
	{regexp.MustCompile(`\b\d+[smhd]+ ago`), "AGE ago"},
	{regexp.MustCompile(`open for \d+[smhd]+`), "open for AGE"},
	{regexp.MustCompile(`\b\d+(\.\d+)?( ms|ns|µs|ms)\b`), "DURATION"},
	{regexp.MustCompile(`\btook=\d+(\.\d+)?s\b`), "took=DURATION"},
	{regexp.MustCompile(`\bgeneration([ =])\d+`), "generation${1}N"},
	{regexp.MustCompile(`sluice \(?(devel|v\S+)\)?`), "sluice VERSION"},
	{regexp.MustCompile(`version=\S+`), "version=VERSION"},
	{regexp.MustCompile(`\b\d+ KiB`), "N KiB"},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

// shown writes what is compared with a golden text to the file shown: what the last
// command printed, or the lines of a log that match, `shown [FILE REGEXP]`. What
// differs from run to run has a name there.
func shown(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 && len(args) != 2 {
		ts.Fatalf("usage: shown [FILE REGEXP]")
	}
	text := ""
	if len(args) == 0 {
		text = ts.ReadFile("stdout")
		if errs := ts.ReadFile("stderr"); errs != "" {
			text += "-- on stderr:\n" + errs
		}
	} else {
		want, err := regexp.Compile(args[1])
		ts.Check(err)
		seen := map[string]bool{}
		for line := range strings.Lines(ts.ReadFile(args[0])) {
			if line = normal(ts, line); want.MatchString(line) && !seen[line] {
				seen[line] = true
				text += line
			}
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("shown"), []byte(normal(ts, text)), 0o644))
}

func normal(ts *testscript.TestScript, text string) string {
	host, err := os.Hostname()
	ts.Check(err)
	text = strings.ReplaceAll(text, ts.Getenv("WORK")+"/", "")
	text = regexp.MustCompile(`(^|[\s=:(])`+regexp.QuoteMeta(host)+`\b`).ReplaceAllString(text, "${1}MEMBER")
	for _, f := range shownForms {
		text = f.from.ReplaceAllString(text, f.to)
	}
	return text
}
