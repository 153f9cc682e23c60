package websockets

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// The page for authors of clients has a row for each end that the server causes, with
// what is said before it.
func TestDocumentedEnds(t *testing.T) {
	page, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	type end struct{ code, reason, before string }
	documented := map[end]bool{}
	row := regexp.MustCompile("(?m)^\\| (\\d{4}) \\| (?:`([^`]*)` )?\\| ([^|]*?) ?\\|")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		documented[end{m[1], m[2], m[3]}] = true
	}
	known := map[end]bool{{"1006", "", ""}: true} // a lost connection, which only the client calls so
	for _, c := range closings {
		if c.code == 0 {
			continue
		}
		e := end{strconv.Itoa(int(c.code)), c.reason, ""}
		switch {
		case c.event != "" && c.disconnect:
			e.before = "`" + c.event + "`, DISCONNECT"
		case c.event != "":
			e.before = "`" + c.event + "`"
		case c.disconnect:
			e.before = "DISCONNECT"
		}
		known[e] = true
		if !documented[e] {
			t.Errorf("docs/clients.md has no row %v", e)
		}
	}
	for e := range documented {
		if !known[e] {
			t.Errorf("docs/clients.md has %v, which the server does not do", e)
		}
	}
}
