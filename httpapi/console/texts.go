package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"
)

// The names of the charts and of their lines.
const (
	textSockets    = "Sockets of this member"
	textOpen       = "open"
	textHandshakes = "Handshakes a second"
	textAccepted   = "accepted"
	textArrival    = "Arrival in ms"
	textBrowser    = "browsers"
	textMessages   = "Messages a second"
	textQueued     = "queued"
)

// marks turn text around without being seen; in a name or a reason they make it
// read as something that it is not.
var marks = func() *strings.Replacer {
	var pairs []string
	for _, r := range "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" {
		pairs = append(pairs, string(r), fmt.Sprintf("[U+%04X]", r))
	}
	return strings.NewReplacer(pairs...)
}()

// visible shows the marks of an answer, which is JSON, as text.
func visible(answer []byte) []byte { return []byte(marks.Replace(string(answer))) }

// functions are those of the templates.
var functions = template.FuncMap{
	"ago":     ago,
	"where":   where,
	"short":   short,
	"json":    compact,
	"lower":   strings.ToLower,
	"rollout": rollout,
	"count":   count,
	"checked": checked,
	"words":   func(code string) string { return strings.ReplaceAll(code, "_", " ") },
}

// ago is a time as people say it; the exact one is in the element's title.
func ago(t time.Time) string {
	d := time.Since(t)
	if d < 0 {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// origin is where a value comes from.
type origin struct {
	File     string
	Line     int
	Set      string
	Override *struct {
		Actor, Reason string
		Time          time.Time
		Expires       *time.Time
	}
}

// where is the place of a value in a few words.
func where(o *origin) string {
	switch {
	case o == nil:
		return ""
	case o.Override != nil && o.Override.Reason != "":
		return fmt.Sprintf("override by %s: %s", o.Override.Actor, o.Override.Reason)
	case o.Override != nil:
		return "override by " + o.Override.Actor
	case o.Set != "":
		return fmt.Sprintf("%s:%d, set %s", o.File, o.Line, o.Set)
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// short is the beginning of a digest.
func short(s string) string { return s[:min(len(s), 12)] }

// apart are what an entry of the audit log shows beside its difference.
var apart = []string{"actor", "reason", "time"}

// compact is one side of a difference: what is there, a line each.
func compact(m json.RawMessage) string {
	var fields map[string]any
	if err := json.Unmarshal(m, &fields); err != nil || fields == nil {
		return "nothing"
	}
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if fields[key] == nil || slices.Contains(apart, key) {
			continue
		}
		text, isText := fields[key].(string)
		if !isText {
			b, err := json.Marshal(fields[key])
			if err != nil {
				continue // of a value that was JSON, which can be
			}
			text = string(b)
		}
		lines = append(lines, key+": "+text)
	}
	return strings.Join(lines, "\n")
}

// rollout is the tag of a roll-out as people say it.
func rollout(tag string) string {
	rest, byContext := strings.CutSuffix(strings.TrimPrefix(tag, "rollout."), ".context")
	name, percent := rest, ""
	if at := strings.LastIndexByte(rest, '.'); at >= 0 {
		name, percent = rest[:at], rest[at+1:]
	}
	of := "users"
	if byContext {
		of = "contexts"
	}
	return fmt.Sprintf("the first %s %% of the %s of %s", percent, of, name)
}

// checked is a check of the readiness as people say it.
func checked(name string) string {
	text, known := map[string]string{
		"files": "Files", "watch": "Watch of the files", "lastGood": "Last good files", "gate": "Gate", "cluster": "Link to the cluster",
		"redis": "Redis", "redisTLS": "Way to Redis", "platform": "Platform's database", "doveadm": "Dovecot's HTTP API", "store": "Store of the decisions",
	}[name]
	if !known {
		return name
	}
	return text
}

// count is a number of things.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
