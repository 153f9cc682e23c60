package main

import (
	"fmt"
	"math"
	"strings"
)

// chart has lines of milliseconds over a count, both axes from 0.
type chart struct {
	title, x string
	lines    []line
}

type line struct {
	name, color string
	points      []point
}

type point struct {
	x  int
	ms float64
}

// Sizes of the plot, in pixels.
const (
	width, height = 760, 400
	left, right   = 70, 40
	top, bottom   = 70, 60
)

func (c chart) draw() string {
	mostX, mostY := 0, 0.0
	for _, l := range c.lines {
		for _, p := range l.points {
			mostX, mostY = max(mostX, p.x), max(mostY, p.ms)
		}
	}
	stepX, stepY := step(float64(mostX)), step(mostY)
	highX, highY := math.Ceil(float64(mostX)/stepX)*stepX, math.Ceil(mostY/stepY)*stepY
	const floor = height - bottom
	x := func(v float64) float64 { return left + v*(width-left-right)/highX }
	y := func(v float64) float64 { return floor - v*(floor-top)/highY }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>%s</title>`+"\n"+`<rect width="%d" height="%d" fill="white"/>`+"\n", c.title, width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, c.title)
	for v := 0.0; v <= highY+stepY/2; v += stepY {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, width-right, y(v), y(v), left-8, y(v)+4, v)
	}
	for v := 0.0; v <= highX+stepX/2; v += stepX {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", x(v), floor+20, v)
	}
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="black"/>`+"\n", left, width-right, floor, floor)
	for i, l := range c.lines {
		at := make([]string, len(l.points))
		for j, p := range l.points {
			at[j] = fmt.Sprintf("%.1f,%.1f", x(float64(p.x)), y(p.ms))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(float64(p.x)), y(p.ms), l.color)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(at, " "), l.color)
		fmt.Fprintf(&b, `<text x="%d" y="46" fill="%s">%s</text>`+"\n", left+i*260, l.color, l.name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, floor+42, c.x)
	fmt.Fprintf(&b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">processor, ms</text>`+"\n</svg>\n", (top+floor)/2)
	return b.String()
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
