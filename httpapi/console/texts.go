package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"
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
	"ago":   ago,
	"where": where,
	"short": short,
	"json":  compact,
	"lower": strings.ToLower,
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

// compact is a JSON value in one line.
func compact(m json.RawMessage) string {
	if len(m) == 0 {
		return "nothing"
	}
	return string(m)
}
