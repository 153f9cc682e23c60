// Package chart draws how something grows.
package chart

import (
	"fmt"
	"math"
	"strings"
)

// Chart has lines over a count, both axes from 0.
type Chart struct {
	Title, X, Y string
	Lines       []Line
}

// Line is one of at most two, each with a color of its own.
type Line struct {
	Name   string
	Points []Point
}

// Point is a value at a count.
type Point struct {
	X int
	Y float64
}

var colors = []string{"#3b6ea5", "#b2642b"}

// Sizes of the plot, in pixels.
const (
	width, height = 760, 400
	left, right   = 70, 40
	top, bottom   = 70, 60
)

// Draw returns an SVG.
func (c Chart) Draw() string {
	mostX, mostY := 0, 0.0
	for _, l := range c.Lines {
		for _, p := range l.Points {
			mostX, mostY = max(mostX, p.X), max(mostY, p.Y)
		}
	}
	stepX, stepY := step(float64(mostX)), step(mostY)
	highX, highY := math.Ceil(float64(mostX)/stepX)*stepX, math.Ceil(mostY/stepY)*stepY
	const floor = height - bottom
	x := func(v float64) float64 { return left + v*(width-left-right)/highX }
	y := func(v float64) float64 { return floor - v*(floor-top)/highY }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>%s</title>`+"\n"+`<rect width="%d" height="%d" fill="white"/>`+"\n", c.Title, width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, c.Title)
	for v := 0.0; v <= highY+stepY/2; v += stepY {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, width-right, y(v), y(v), left-8, y(v)+4, v)
	}
	for v := 0.0; v <= highX+stepX/2; v += stepX {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", x(v), floor+20, v)
	}
	fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="black"/>`+"\n", left, width-right, floor, floor)
	for i, l := range c.Lines {
		at := make([]string, len(l.Points))
		for j, p := range l.Points {
			at[j] = fmt.Sprintf("%.1f,%.1f", x(float64(p.X)), y(p.Y))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(float64(p.X)), y(p.Y), colors[i])
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(at, " "), colors[i])
		fmt.Fprintf(&b, `<text x="%d" y="46" fill="%s">%s</text>`+"\n", left+i*260, colors[i], l.Name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, floor+42, c.X)
	fmt.Fprintf(&b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n</svg>\n", (top+floor)/2, c.Y)
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
