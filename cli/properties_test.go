package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed47708276/sluice/node"
)

// TestGoldenProperties holds docs/properties.md to the declarations; -update
// writes it.
func TestGoldenProperties(t *testing.T) {
	const page = "../docs/properties.md"
	got := runProperties(t, "-o", "markdown")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the declarations say: `just golden` writes it", page)
	}
}

func runProperties(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(t.Context(), append([]string{"properties"}, args...), strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("%v: exit code %d, %s", args, code, errs.String())
	}
	return out.String()
}

// TestPropertiesComplete finds every declaration in every form, and every
// related one among them: a reference with holes sends its readers elsewhere.
func TestPropertiesComplete(t *testing.T) {
	all := node.Schema().All()
	var page struct{ Properties []documented }
	if err := json.Unmarshal([]byte(runProperties(t, "-o", "json")), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Properties) != len(all) {
		t.Fatalf("%d properties, and %d are declared", len(page.Properties), len(all))
	}
	list, man := runProperties(t), runProperties(t, "-o", "man")
	for i, d := range all {
		p := page.Properties[i]
		if p.Key != d.Name || p.Description == "" || p.Version == "" || p.File == "" || len(p.Scopes) == 0 {
			t.Errorf("%s lacks something: %+v", d.Name, p)
		}
		for _, r := range p.Related {
			if node.Schema().Lookup(r) == nil {
				t.Errorf("%s names %s, which is not declared", d.Name, r)
			}
		}
		if !strings.Contains(list, "\n"+d.Name) || !strings.Contains(man, "\n\\fB"+d.Name+"\\fP\n") {
			t.Errorf("%s is not in the list or not in the man page", d.Name)
		}
	}
	for _, form := range []string{list, runProperties(t, "com.openexchange.IPCheckWhitelist", "com.openexchange.redis.remoteInvalidationForPersonalFolders")} {
		for line := range strings.Lines(form) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > textWidth {
				t.Errorf("a line of %d characters does not fit a terminal: %s", n, line)
			}
		}
	}
}

func TestSpanText(t *testing.T) {
	for ms, want := range map[int64]string{0: "0", 100: "100ms", 1_500: "1500ms", 3_000: "3s", 600_000: "10m", 3_600_000: "1h", 86_400_000: "1d"} {
		if got := spanText(ms); got != want {
			t.Errorf("%d ms: %s, want %s", ms, got, want)
		}
	}
}
