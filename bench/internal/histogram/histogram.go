// Package histogram draws delays as SVG.
package histogram

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Panel is one histogram.
type Panel struct {
	Title    string
	Values   []time.Duration
	From, To int   // ms, of the axis
	Bin      int   // ms
	Tick     int   // ms, between two numbers of the axis
	Marks    []int // ms, dashed lines
	Note     string
}

// Sizes, in pixels.
const (
	plotWidth, panelHeight = 760, 300
	left, right            = 70, 20
	top, bottom            = 60, 60
)

// Draw is an SVG with the panels below each other.
func Draw(title string, panels []Panel) string {
	var b strings.Builder
	height := len(panels) * panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<title>%s</title>`+"\n"+`<rect width="%d" height="%d" fill="white"/>`+"\n", title, plotWidth, height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", i*panelHeight)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *Panel) draw(b *strings.Builder) {
	// What is outside of the axis counts in the bin at its end.
	bins := make([]int, (p.To-p.From)/p.Bin)
	for _, v := range p.Values {
		k := (int(v.Milliseconds()) - p.From) / p.Bin
		bins[min(max(k, 0), len(bins)-1)]++
	}
	step := niceStep(slices.Max(bins))
	high := (slices.Max(bins)/step + 1) * step
	x := func(ms int) float64 {
		return left + float64(ms-p.From)*(plotWidth-left-right)/float64(p.To-p.From)
	}
	const floor = panelHeight - bottom
	y := func(n int) float64 { return floor - float64(n)*(floor-top)/float64(high) }

	fmt.Fprintf(b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, p.Title)
	fmt.Fprintf(b, `<text x="%d" y="42" fill="#555">%d samples; %s</text>`+"\n", left, len(p.Values), p.Note)
	for n := 0; n <= high; n += step {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%d</text>`+"\n",
			left, plotWidth-right, y(n), y(n), left-8, y(n)+4, n)
	}
	for k, n := range bins {
		if n > 0 {
			at := p.From + k*p.Bin
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#3b6ea5"/>`+"\n", x(at)+0.5, y(n), x(at+p.Bin)-x(at)-1, floor-y(n))
		}
	}
	for _, at := range p.Marks {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#b22" stroke-dasharray="5 4"/>`+"\n", x(at), x(at), top, floor)
	}
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="black"/>`+"\n", left, plotWidth-right, floor, floor)
	for at := p.From; at <= p.To; at += p.Tick {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="black"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n",
			x(at), x(at), floor, floor+5, x(at), floor+20, at)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">ms</text>`+"\n", (left+plotWidth-right)/2, floor+40)
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">arrivals per %d ms</text>`+"\n", (top+floor)/2, p.Bin)
}

// niceStep is 1, 2 or 5 times a power of ten, for about five lines.
func niceStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, f := range []int{1, 2, 5} {
			if step*f*5 >= most {
				return step * f
			}
		}
	}
}
