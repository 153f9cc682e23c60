package httpapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// maxMetricsPage is what a scrape of a member may take, in bytes.
const maxMetricsPage = 60_000

var seriesValue = regexp.MustCompile(`(?m) [^ \n]+$`)

// metricSeries is what the page of metrics has, without the values.
func (w *world) metricSeries() (series []string, size int) {
	page := w.ask("GET", "/metrics", "").body
	for line := range strings.Lines(seriesValue.ReplaceAllString(page, "")) {
		if strings.HasPrefix(line, "sluice_") {
			series = append(series, strings.TrimSpace(line))
		}
	}
	return series, len(page)
}

// The page does not grow with those who are served: its series are those of a
// member with one socket, and only the digits of the values are more.
func TestMetricsPageSize(t *testing.T) {
	w := newWorld(t, tree)
	w.connect(w.login(1), "c")
	w.ask("GET", "/metrics", "") // has the route of itself
	before, small := w.metricSeries()

	const contexts, users, sockets = 100, 100_000, 300
	batch := cascade.Batch{Users: make([]cascade.User, 0, users)}
	for c := uint32(1000); c < 1000+contexts; c++ {
		batch.Contexts = append(batch.Contexts, cascade.Context{ID: c, Name: fmt.Sprint("context-", c), Enabled: true})
	}
	for u := range uint32(users) {
		batch.Users = append(batch.Users, cascade.User{Context: 1000 + u%contexts, ID: 1 + u/contexts, Enabled: true})
	}
	must(t, w.engine.Apply(batch))
	for i := range sockets {
		w.connect(w.loginAt(1000+i%contexts, 1+i/contexts), "c")
	}
	after, size := w.metricSeries()
	if !slices.Equal(before, after) {
		t.Errorf("%d series with one socket, %d with %d sockets and %d known users", len(before), len(after), sockets, users)
	}
	// Each of the page's values may have a few digits more.
	if limit := small + 8*len(after); size > limit || size > maxMetricsPage {
		t.Errorf("the page has %d bytes, %d before; want at most %d and %d", size, small, limit, maxMetricsPage)
	}
	t.Logf("%d series of Sluice, %d bytes", len(after), size)
}
