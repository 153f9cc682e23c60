// Package timeline draws several charts of what happens over time as one SVG.
package timeline

import (
	"fmt"
	"math"
	"strings"
)

// Chart has lines over something that is counted, both axes from 0.
type Chart struct {
	Title, X, Y string
	Note        string
	HighY       float64 // of the axis; 0: as high as the lines. What is above stands at its end
	Lines       []Line
}

// Line is one of them. Bare: its points have no marks.
type Line struct {
	Name, Color string
	Bare        bool
	Points      []Point
}

// Point is one of a line.
type Point struct{ X, Y float64 }

// Sizes of a chart, in pixels.
const (
	width, height = 760, 400
	left, right   = 70, 40
	top, bottom   = 70, 60
)

// Draw is an SVG with the charts below each other.
func Draw(title string, charts ...Chart) string {
	var b strings.Builder
	all := height * len(charts)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, all, width, all)
	fmt.Fprintf(&b, `<title>%s</title>`+"\n"+`<rect width="%d" height="%d" fill="white"/>`+"\n", title, width, all)
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", i*height)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c *Chart) draw(b *strings.Builder) {
	mostX, mostY := 0.0, c.HighY
	for _, l := range c.Lines {
		for _, p := range l.Points {
			mostX = max(mostX, p.X)
			if c.HighY == 0 {
				mostY = max(mostY, p.Y)
			}
		}
	}
	stepX, stepY := step(mostX), step(mostY)
	highX, highY := math.Ceil(mostX/stepX)*stepX, math.Ceil(mostY/stepY)*stepY
	const floor = height - bottom
	x := func(v float64) float64 { return left + v*(width-left-right)/highX }
	y := func(v float64) float64 { return floor - min(v, highY)*(floor-top)/highY }
	fmt.Fprintf(b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, c.Title)
	if c.Note != "" {
		fmt.Fprintf(b, `<text x="%d" y="62" fill="#555">%s</text>`+"\n", left, c.Note)
	}
	for v := 0.0; v <= highY+stepY/2; v += stepY {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, width-right, y(v), y(v), left-8, y(v)+4, v)
	}
	for v := 0.0; v <= highX+stepX/2; v += stepX {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", x(v), floor+20, v)
	}
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="black"/>`+"\n", left, width-right, floor, floor)
	for i, l := range c.Lines {
		at := make([]string, len(l.Points))
		for j, p := range l.Points {
			at[j] = fmt.Sprintf("%.1f,%.1f", x(p.X), y(p.Y))
			if !l.Bare {
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(p.X), y(p.Y), l.Color)
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(at, " "), l.Color)
		fmt.Fprintf(b, `<text x="%d" y="46" fill="%s">%s</text>`+"\n", left+i*260, l.Color, l.Name)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, floor+42, c.X)
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+floor)/2, c.Y)
}

// step is 1, 2 or 5 times a power of ten, for about five lines.
func step(most float64) float64 {
	for power := math.Pow(10, math.Floor(math.Log10(most/5))); ; power *= 10 {
		for _, f := range []float64{1, 2, 5} {
			if power*f*5 >= most {
				return power * f
			}
		}
	}
}
