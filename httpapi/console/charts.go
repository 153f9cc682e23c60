package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/seed47708276/sluice/remote"
)

// The size of a chart in its own units; what shows it gives it its size.
const chartWidth, chartHeight = 300.0, 60.0

// maxReasons is how many reasons of refusals have a line of their own: more
// cannot be told apart.
const maxReasons = 4

// chart is drawn as SVG by a template, so that it needs no script.
type chart struct {
	Title, Now, Top string // Now is the last value, Top that of the scale
	Lines           []chartLine
}

type chartLine struct{ Name, Class, Points, Last string }

type recentData struct {
	Interval string
	Samples  []struct {
		Sockets, Handshakes, Messages float64
		Refused                       map[string]float64
		ArrivalMs                     *float64
	}
	Checks []struct {
		Name, Status, Detail string
		Since                time.Time
	}
}

// number has as many digits as one reads at a glance.
func number(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// chart draws samples that end now, of which there is room for so many: a line of
// each name. of tells the value of a sample; ok is false where nothing is known.
func (d *recentData) chart(room int, key string, names []string, of func(line, sample int) (v float64, ok bool)) chart {
	c, top := chart{Title: plain(key)}, 1.0
	each := func(line int, f func(sample int, v float64)) {
		for i := range d.Samples {
			if v, ok := of(line, i); ok {
				f(i, v)
			}
		}
	}
	for n := range names {
		each(n, func(_ int, v float64) { top = max(top, v) })
	}
	for n, name := range names {
		line := chartLine{Name: name, Class: string(rune('a' + n)), Last: "–"}
		each(n, func(i int, v float64) {
			x := chartWidth * float64(room-len(d.Samples)+i) / float64(room-1)
			point := fmt.Sprintf("%.1f,%.1f ", x, chartHeight*(1-v/top))
			line.Points, line.Last = cmp.Or(line.Points, point)+point, number(v) // the first twice: one point is no line
		})
		c.Lines = append(c.Lines, line)
	}
	c.Now, c.Top = c.Lines[0].Last, number(top)
	return c
}

// charts draws the last 15 minutes.
func (d *recentData) charts() []chart {
	every, err := time.ParseDuration(d.Interval)
	if err != nil || every <= 0 {
		return nil
	}
	room, seconds, total := int(15*time.Minute/every)+1, every.Seconds(), map[string]float64{}
	for i := range d.Samples {
		for why, n := range d.Samples[i].Refused {
			total[why] += n
		}
	}
	reasons := slices.SortedFunc(maps.Keys(total), func(a, b string) int {
		return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b))
	})
	handshakes := append([]string{plain("recent.accepted")}, reasons[:min(len(reasons), maxReasons)]...)
	one := []string{""}
	return []chart{
		d.chart(room, "recent.sockets", one, func(_, i int) (float64, bool) { return d.Samples[i].Sockets, true }),
		d.chart(room, "recent.handshakes", handshakes, func(line, i int) (float64, bool) {
			if line == 0 {
				return d.Samples[i].Handshakes / seconds, true
			}
			return d.Samples[i].Refused[handshakes[line]] / seconds, true
		}),
		d.chart(room, "recent.arrival", one, func(_, i int) (float64, bool) {
			if ms := d.Samples[i].ArrivalMs; ms != nil {
				return *ms, true
			}
			return 0, false
		}),
		d.chart(room, "recent.messages", one, func(_, i int) (float64, bool) { return d.Samples[i].Messages / seconds, true }),
	}
}

type clusterData struct {
	Status, Problem string
	Members         []struct {
		remote.Member
		Alive, Self, Drift bool
		Differs            []string
		Age                string
	}
	Canaries []struct {
		From, Age, Took string
		Late            bool
		Missed          int
	}
	Warnings []string
	Recent   recentData
	Charts   []chart
	auditData
}

// cluster is the page of the members and of what was changed.
func (v *visit) cluster() {
	var d clusterData
	v.get("/admin/v1/members", nil, &d)
	v.get("/admin/v1/recent", nil, &d.Recent)
	d.Charts = d.Recent.charts()
	v.audit(&d.auditData)
	v.draw(http.StatusOK, "cluster", plain("nav.cluster"), d)
}
