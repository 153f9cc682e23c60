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

// series is a line of a chart before it is drawn; nil is where nothing is known.
type series struct {
	name string
	of   func(*recentSample) *float64
}

type recentSample struct {
	Sockets, Handshakes, Messages float64
	Refused                       map[string]float64
	ArrivalMs                     *float64
}

type recentData struct {
	Interval string
	Samples  []recentSample
	Checks   []struct {
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

// chart draws samples that end now; room is how many a chart has room for.
func (d *recentData) chart(room int, title string, lines ...series) chart {
	c, top := chart{Title: plain(title)}, 1.0
	for _, l := range lines {
		for i := range d.Samples {
			if v := l.of(&d.Samples[i]); v != nil {
				top = max(top, *v)
			}
		}
	}
	for n, l := range lines {
		line := chartLine{Name: l.name, Class: string(rune('a' + n)), Last: "–"}
		for i := range d.Samples {
			v := l.of(&d.Samples[i])
			if v == nil {
				continue
			}
			x := chartWidth * float64(room-len(d.Samples)+i) / float64(room-1)
			point := fmt.Sprintf("%.1f,%.1f ", x, chartHeight*(1-*v/top))
			if line.Points == "" {
				line.Points = point // once more: a line of one point is not drawn
			}
			line.Points += point
			line.Last = number(*v)
		}
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
	room := int(15*time.Minute/every) + 1
	perSecond := func(v float64) *float64 { v /= every.Seconds(); return &v }
	total := map[string]float64{}
	for i := range d.Samples {
		for why, n := range d.Samples[i].Refused {
			total[why] += n
		}
	}
	reasons := slices.SortedFunc(maps.Keys(total), func(a, b string) int { return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b)) })
	handshakes := []series{{plain("recent.accepted"), func(s *recentSample) *float64 { return perSecond(s.Handshakes) }}}
	for _, why := range reasons[:min(len(reasons), maxReasons)] {
		handshakes = append(handshakes, series{why, func(s *recentSample) *float64 { return perSecond(s.Refused[why]) }})
	}
	return []chart{
		d.chart(room, "recent.sockets", series{of: func(s *recentSample) *float64 { return &s.Sockets }}),
		d.chart(room, "recent.handshakes", handshakes...),
		d.chart(room, "recent.arrival", series{of: func(s *recentSample) *float64 { return s.ArrivalMs }}),
		d.chart(room, "recent.messages", series{of: func(s *recentSample) *float64 { return perSecond(s.Messages) }}),
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
}

func (v *visit) cluster() {
	var d clusterData
	v.get("/admin/v1/members", nil, &d)
	v.get("/admin/v1/recent", nil, &d.Recent)
	d.Charts = d.Recent.charts()
	v.draw(http.StatusOK, "cluster", d)
}
