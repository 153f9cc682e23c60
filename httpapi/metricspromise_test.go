package httpapi

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	metricsPage = "../docs/metrics.md"
	// promisedMetrics has each metric with its labels that there ever was, so that
	// the page cannot forget one.
	promisedMetrics = "../testdata/promised-metrics.txt"
)

var (
	metricName  = regexp.MustCompile(`fqName: "(sluice_[a-z_]+)"`)
	metricConst = regexp.MustCompile(`constLabels: \{([^}]*)\}`)
	metricVars  = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
	promisePart = regexp.MustCompile(`(?s)(<!-- promise -->\n).*(<!-- /promise -->)`)
)

// describedMetrics are the metrics of a server with their labels, sorted:
// "sluice_sockets path protocol".
func describedMetrics(w *world) (list []string) {
	descs := make(chan *prometheus.Desc)
	go func() {
		w.server.metrics.registry.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := metricName.FindStringSubmatch(d.String())
		if m == nil {
			continue // those of the Go runtime and the process are Prometheus' own
		}
		var labels []string
		for _, re := range []*regexp.Regexp{metricConst, metricVars} {
			for label := range strings.SplitSeq(re.FindStringSubmatch(d.String())[1], ",") {
				if name, _, _ := strings.Cut(strings.TrimSpace(label), "="); name != "" {
					labels = append(labels, name)
				}
			}
		}
		slices.Sort(labels)
		list = append(list, strings.Join(append([]string{m[1]}, labels...), " "))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// What the documentation names is what there is, with its labels; what it named
// once and is gone has a line in the change log.
func TestGoldenMetrics(t *testing.T) {
	there := describedMetrics(newWorld(t, tree))
	page, err := os.ReadFile(metricsPage)
	must(t, err)
	var table strings.Builder
	table.WriteString("| name | labels |\n|---|---|\n")
	for _, m := range there {
		f := strings.Fields(m)
		labels := ""
		if len(f) > 1 {
			labels = "`" + strings.Join(f[1:], "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", f[0], labels)
	}
	want := promisePart.ReplaceAllString(string(page), "${1}"+table.String()+"${2}")
	b, err := os.ReadFile(promisedMetrics)
	if !os.IsNotExist(err) || !*update {
		must(t, err)
	}
	promised := strings.Split(strings.TrimSpace(string(b)), "\n")
	if *update {
		must(t, os.WriteFile(metricsPage, []byte(want), 0o644))
		all := append(slices.Clone(there), promised...)
		slices.Sort(all)
		must(t, os.WriteFile(promisedMetrics, []byte(strings.TrimSpace(strings.Join(slices.Compact(all), "\n"))+"\n"), 0o644))
	} else if want != string(page) {
		t.Errorf("the promise in docs/metrics.md is another than what the registry has: go test ./httpapi -run GoldenMetrics -args -update")
	}
	for _, m := range there {
		if !*update && !slices.Contains(promised, m) {
			t.Errorf("%s is not in %s: -args -update adds it", m, promisedMetrics)
		}
	}
	changes, err := os.ReadFile("../CHANGELOG.md")
	must(t, err)
	for _, m := range promised {
		name, _, _ := strings.Cut(m, " ")
		if m != "" && !slices.Contains(there, m) && !strings.Contains(string(changes), "`"+name+"`") {
			t.Errorf("%q was promised and is gone: say so in CHANGELOG.md, with the name in backquotes", m)
		}
	}

	prose, _, _ := strings.Cut(want, "## The promise")
	var explained, names []string
	for _, m := range regexp.MustCompile("`(sluice_[a-z_]+)`").FindAllStringSubmatch(prose, -1) {
		explained = append(explained, m[1])
	}
	for _, m := range there {
		name, _, _ := strings.Cut(m, " ")
		names = append(names, name)
	}
	slices.Sort(explained)
	if explained = slices.Compact(explained); !slices.Equal(explained, names) {
		t.Errorf("docs/metrics.md explains %v, the registry has %v", explained, names)
	}
}
