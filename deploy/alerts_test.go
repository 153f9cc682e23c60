package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/testkit"
)

const (
	alertsFile = "chart/files/alerts.yml"
	alertCases = "testdata/alerts.test.yml"
	// runbook is where the links of alerts lead: a page of this repository.
	runbook = "https://github.com/seed47708276/sluice/blob/main/"
)

// alert is a rule of the file of alerts.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (list []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	if len(list) < 10 {
		t.Fatalf("%s has %d alerts", alertsFile, len(list))
	}
	return list
}

// Each alert fires for what it is there for, and not for the nearest thing that is
// no reason to call anybody: promtool says so.
func TestAlerts(t *testing.T) {
	promtool := testkit.Tool(t, "promtool", "prometheus")
	command(t, promtool, "check", "rules", alertsFile)
	b, err := os.ReadFile(alertCases)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cases.yml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), "[RULES]", "['"+rules+"']", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, promtool, "test", "rules", file)
	for _, a := range alerts(t) {
		for _, kind := range []string{" fires\n", " does not\n"} {
			if !strings.Contains(string(b), "name: "+a.Alert+kind) {
				t.Errorf("%s has no case %q", alertCases, a.Alert+kind)
			}
		}
	}
}

var (
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	unlinked = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the fragments by which the headings of a page are linked to, with
// the text below each, up to the next.
func anchors(page string) map[string]string {
	texts := map[string]string{}
	at := heading.FindAllStringSubmatchIndex(page, -1)
	for i, m := range at {
		end := len(page)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := unlinked.ReplaceAllString(strings.ToLower(page[m[2]:m[3]]), "")
		texts[strings.ReplaceAll(name, " ", "-")] = strings.TrimSpace(page[m[1]:end])
	}
	return texts
}

// Who is called at night finds the paragraph that the alert links to, and it says
// what to do.
func TestAlertsLinkToTheirParagraphs(t *testing.T) {
	linked := map[string]bool{}
	for _, a := range alerts(t) {
		page, fragment, _ := strings.Cut(strings.TrimPrefix(a.Annotations["runbook_url"], runbook), "#")
		b, err := os.ReadFile(filepath.Join("..", filepath.Clean("/"+page)))
		if err != nil {
			t.Errorf("%s: %q leads nowhere: %v", a.Alert, a.Annotations["runbook_url"], err)
			continue
		}
		text := anchors(string(b))[fragment]
		if len(text) < 100 || !strings.Contains(text, "`") {
			t.Errorf("%s: %s has no paragraph #%s with something to do", a.Alert, page, fragment)
		}
		if linked[fragment] {
			t.Errorf("%s: #%s belongs to another alert", a.Alert, fragment)
		}
		linked[fragment] = true
		if a.Annotations["summary"] == "" || !slices.Contains([]string{"warning", "critical"}, a.Labels["severity"]) {
			t.Errorf("%s: summary %q, severity %q", a.Alert, a.Annotations["summary"], a.Labels["severity"])
		}
	}
}
