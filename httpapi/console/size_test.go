package console

import (
	"os"
	"strings"
	"testing"
)

var goFiles = os.DirFS(".")

const (
	// maxLines bounds this package: Go, JavaScript, CSS and templates, blank lines
	// too. The texts do not count: they are data.
	maxLines = 2450
	// maxWritten bounds all of that and the login by OpenID Connect, which package
	// auth has: the lines with something on them.
	maxWritten = 2500
	// maxFirstPage bounds what a browser loads for the first page, in bytes.
	maxFirstPage = 80_000
	// maxWidth keeps the lines that are counted from holding several, in bytes.
	maxWidth = 170
)

func TestSize(t *testing.T) {
	oidc, err := os.ReadFile("../auth/oidc.go")
	if err != nil {
		t.Fatal(err)
	}
	list := sources(t)
	list["oidc.go"] = string(oidc)
	lines, written := 0, 0
	for name, text := range list {
		if strings.HasSuffix(name, ".json") {
			continue
		}
		if name != "oidc.go" {
			lines += strings.Count(text, "\n")
		}
		for i, line := range strings.Split(text, "\n") {
			if strings.TrimSpace(line) != "" {
				written++
			}
			if len(line) > maxWidth {
				t.Errorf("%s:%d has %d bytes", name, i+1, len(line))
			}
		}
	}
	if lines > maxLines || written > maxWritten {
		t.Errorf("the console has %d lines, and %d that are not blank with the login by OpenID Connect: at most %d and %d", lines, written, maxLines, maxWritten)
	}
	first := 0
	c := newConsole()
	for _, path := range []string{"/console/", "/console/static/console.css", "/console/static/console.js"} {
		w := ask(c, "GET", path, loopback, nil, "right")
		if w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
		first += w.Body.Len()
	}
	t.Logf("%d lines, %d not blank with the login by OpenID Connect; the first page has %d bytes", lines, written, first)
	if first > maxFirstPage {
		t.Errorf("the first page has %d bytes, more than %d", first, maxFirstPage)
	}
}
