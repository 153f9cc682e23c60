package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The size of a chart in its own units; what shows it gives it its size.
const chartWidth, chartHeight = 300.0, 60.0

// maxReasons is how many reasons of refusals have a line of their own: more
// cannot be told apart.
const maxReasons = 4

// chart is drawn as SVG by a template, so that it needs no script.
type chart struct {
	Title, Now string // Now is the last value, as text
	Top        string // of the scale
	Lines      []chartLine
}

type chartLine struct {
	Name   string
	Class  string // a to e
	Points string
	Last   string
}

// add adds a line. nil is where nothing is known; values end now.
func (c *chart) add(name string, top float64, values []*float64, room int) {
	var b strings.Builder
	last, drawn := "–", 0
	for i, v := range values {
		if v == nil {
			continue
		}
		x := chartWidth * float64(room-len(values)+i) / float64(max(room-1, 1))
		y := chartHeight * (1 - *v/top)
		fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
		last = number(*v)
		drawn++
	}
	if drawn == 1 {
		b.WriteString(b.String()) // a line of one point is not drawn
	}
	c.Lines = append(c.Lines, chartLine{name, string(rune('a' + len(c.Lines))), strings.TrimSpace(b.String()), last})
}

// number has as many digits as one reads at a glance.
func number(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

type recentSample struct {
	Time                          time.Time
	Sockets, Handshakes, Messages float64
	Refused                       map[string]float64
	ArrivalMs                     *float64
}

type recentData struct {
	Member, Interval string
	Samples          []recentSample
	Checks           []struct {
		Name, Status, Detail string
		Since                time.Time
	}
}

// charts draws the last 15 minutes.
func (d *recentData) charts() []chart {
	every, err := time.ParseDuration(d.Interval)
	if err != nil || every <= 0 {
		return nil
	}
	room := int(15*time.Minute/every) + 1
	perSecond := func(v float64) *float64 { v /= every.Seconds(); return &v }
	series := func(of func(*recentSample) *float64) []*float64 {
		out := make([]*float64, len(d.Samples))
		for i := range d.Samples {
			out[i] = of(&d.Samples[i])
		}
		return out
	}
	draw := func(title string, names []string, lines ...[]*float64) chart {
		top := 1.0
		for _, l := range lines {
			for _, v := range l {
				if v != nil {
					top = max(top, *v)
				}
			}
		}
		c := chart{Title: title, Top: number(top)}
		for i, l := range lines {
			c.add(names[i], top, l, room)
		}
		c.Now = c.Lines[0].Last
		return c
	}
	total := map[string]float64{}
	for i := range d.Samples {
		for why, n := range d.Samples[i].Refused {
			total[why] += n
		}
	}
	var reasons []string
	for why := range total {
		reasons = append(reasons, why)
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b)) })
	names, lines := []string{textAccepted}, [][]*float64{series(func(s *recentSample) *float64 { return perSecond(s.Handshakes) })}
	for _, why := range reasons[:min(len(reasons), maxReasons)] {
		names = append(names, why)
		lines = append(lines, series(func(s *recentSample) *float64 { return perSecond(s.Refused[why]) }))
	}
	return []chart{
		draw(textSockets, []string{textOpen}, series(func(s *recentSample) *float64 { return &s.Sockets })),
		draw(textHandshakes, names, lines...),
		draw(textArrival, []string{textBrowser}, series(func(s *recentSample) *float64 { return s.ArrivalMs })),
		draw(textMessages, []string{textQueued}, series(func(s *recentSample) *float64 { return perSecond(s.Messages) })),
	}
}

type clusterData struct {
	Cluster, Status, Problem string
	Members                  []struct {
		Member, Version, Digest, Incarnation string
		Started                              time.Time
		Sockets                              int
		Degraded, Alive, Self, Drift         bool
		Keeper, Draining                     bool
		Differs                              []string
		Age                                  string
		Store                                struct{ Revision uint64 }
	}
	Canaries []struct {
		From, Age, Took string
		Late            bool
		Missed          int64
	}
	Warnings []string
	Recent   recentData
	Charts   []chart
}

func (c *Console) cluster(v *visit) error {
	var d clusterData
	if err := v.get("/admin/v1/members", nil, &d); err != nil {
		return err
	}
	if err := v.get("/admin/v1/recent", nil, &d.Recent); err != nil {
		return err
	}
	d.Charts = d.Recent.charts()
	v.draw(http.StatusOK, "cluster", d)
	return nil
}
