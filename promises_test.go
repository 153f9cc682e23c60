package main

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	namedTest = regexp.MustCompile("`(Test\\w+)`")
	tableRow  = regexp.MustCompile(`(?m)^\| (.*) \|$`)
)

// TestTopLevelNamedTests holds pages that say which test shows what: each is there. A
// page about other people's software says of each claim how it is known, and of what
// version.
func TestTopLevelNamedTests(t *testing.T) {
	there := map[string]bool{}
	for file, text := range texts(t) {
		if strings.HasSuffix(path.Base(file), "_test.go") {
			for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
				there[m[1]] = true
			}
		}
	}
	for page, least := range map[string]int{"README.md": 10, "docs/compatibility.md": 30} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named := namedTest.FindAllStringSubmatch(string(b), -1)
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("%s names %s, and there is no such test", page, m[1])
			}
		}
		if len(named) < least {
			t.Errorf("%s names %d tests, expected %d or more", page, len(named), least)
		}
	}
	b, err := os.ReadFile("docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	for _, m := range tableRow.FindAllStringSubmatch(string(b), -1) {
		cells := strings.Split(m[1], " | ")
		if cells[0] == "claim" {
			continue
		}
		claims++
		if len(cells) < 3 {
			t.Errorf("%q has no column that says how it is known", m[0])
			continue
		}
		switch known, of := cells[1], cells[2]; {
		case known != "measured" && known != "read" && known != "inferred":
			t.Errorf("%q is known %q: write measured, read or inferred", cells[0], known)
		case known != "inferred" && !strings.ContainsAny(of, "0123456789"):
			t.Errorf("%q is %s, and %q has no version", cells[0], known, of)
		}
	}
	if claims < 40 {
		t.Errorf("docs/compatibility.md has %d claims: is the table read?", claims)
	}
}
