// Command restartplot draws the rolling restarts that TestRollingRestart of cli has
// written, in the order in which they stand in its file.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/seed47708276/sluice/bench/internal/timeline"
)

const (
	clientColor, messageColor = "#3b6ea5", "#b2642b"
	// highest leaves room above the clients and the messages of a second, of which
	// there are 200 each; what comes at once after a reconnect stands at the end.
	highest = 400
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: restartplot TIMELINES SVG")
		os.Exit(2)
	}
	if err := plot(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// plot reads lines of a title, and after it of a second, the clients that were
// connected and the messages a second that were delivered then; or of a note.
func plot(timelines, svg string) error {
	f, err := os.Open(timelines)
	if err != nil {
		return err
	}
	defer f.Close()
	var charts []timeline.Chart
	for lines := bufio.NewScanner(f); lines.Scan(); {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		if kind == "title" {
			charts = append(charts, timeline.Chart{
				Title: rest, X: "seconds", Y: "clients; messages a second", HighY: highest,
				Lines: []timeline.Line{{Name: "connected clients", Color: clientColor, Bare: true}, {Name: "messages delivered in a second", Color: messageColor, Bare: true}},
			})
			continue
		}
		if len(charts) == 0 {
			return fmt.Errorf("%s: %q comes before a title", timelines, lines.Text())
		}
		c := &charts[len(charts)-1]
		if kind == "note" {
			c.Note = rest
			continue
		}
		var at, connected, delivered float64
		if _, err := fmt.Sscan(lines.Text(), &at, &connected, &delivered); err != nil {
			return fmt.Errorf("%s: %q: %w", timelines, lines.Text(), err)
		}
		c.Lines[0].Points = append(c.Lines[0].Points, timeline.Point{X: at, Y: connected})
		c.Lines[1].Points = append(c.Lines[1].Points, timeline.Point{X: at, Y: delivered})
	}
	if len(charts) == 0 {
		return fmt.Errorf("%s has no timeline", timelines)
	}
	return os.WriteFile(svg, []byte(timeline.Draw("A rolling restart of three members: connected clients and delivered messages", charts...)), 0o644)
}
