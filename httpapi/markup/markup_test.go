package markup

import (
	"bytes"
	"html/template"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
)

type inner struct{ Name string }

func (i *inner) Greet(with string) string { return with + " " + i.Name }

type outer struct {
	*inner
	Page  string
	Count int
	ID    uint32
	On    bool
	None  *inner
	Any   any
	List  []inner
	Map   map[string]string
	Query url.Values
	Time  time.Time
	Ends  *time.Time
	Lines []string
	Plain template.HTML
}

// The functions and methods of the tests.
var (
	functions = map[string]any{"raw": func(h template.HTML) HTML { return HTML(h) }, "upper": strings.ToUpper, "year": func(t time.Time) int { return t.Year() }}
	methods   = map[string][]any{"Greet": {(*inner).Greet}, "Get": {url.Values.Get}, "UTC": {time.Time.UTC}, "Format": {time.Time.Format}}
)

func sample(text string) *outer {
	ends := time.Date(2026, 12, 1, 5, 0, 0, 0, time.FixedZone("x", 3600))
	return &outer{
		inner: &inner{text}, Page: text, Count: 3, ID: 7, On: true, Any: text, List: []inner{{"a"}, {text}},
		Map: map[string]string{"k": text}, Query: url.Values{"q": {text}}, Time: ends, Ends: &ends, Lines: []string{text, "<b>"}, Plain: template.HTML(`<b title="1">` + template.HTMLEscapeString(text) + "</b>&nbsp;"),
	}
}

// nasty are texts that want escaping somewhere.
var nasty = []string{
	"", "plain", `<script>alert("1")</script>`, `" onclick="x`, "'", "a&b=c?d#e", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "http://example.com/?a=b c", "https:x", "mailto:a@b",
	"/console/person/7/17?property=com.example", "50%", "%41%zz", "ümlaut + plus", "a\x00b", "\xff\xfe", "://", "a:b/c", "/a:b", "x y\n\tz", "{{.Name}}", "`", "(1)",
}

// cases are templates that this package and html/template draw alike.
var cases = []string{
	`<p>{{.Page}} {{.Count}} {{.ID}} {{.On}}</p>`,
	`<p title="{{.Page}}" data-x="a{{.Page}}b">x</p>`,
	`<a href="{{.Page}}">x</a>`,
	`<a href="/p/{{.Page}}/off">x</a>`,
	`<a href="/p?a={{.Page}}&amp;b={{.Query.Get "q"}}">x</a>`,
	`<a href="#{{.Page}}">x</a>`,
	`<form action="{{.Page}}/end"><button formaction="{{.Page}}">y</button></form>`,
	`{{with .None}}{{.Name}}{{else}}none{{end}}{{with .Any}}<b>{{.}}</b>{{end}}`,
	`{{range .List}}<i>{{.Name}}</i>{{else}}no{{end}}{{range $i, $x := .Lines}}{{if $i}}, {{end}}{{$x}}{{end}}`,
	`{{$v := .}}{{range .List}}{{$v.Page}}{{.Greet "hi"}}{{$v.Greet "ho"}}{{end}}`,
	`{{if and .On (eq .Count 3) (not .None)}}a{{else if .Page}}b{{end}}{{if or .None .Page}}c{{end}}{{if gt (len .Lines) 1}}d{{end}}{{if ne .Page "plain"}}e{{end}}`,
	`{{.Map.k}}{{.Map.missing}}{{upper .Page}}{{.Page | upper}}{{year .Ends}}{{.Time.UTC.Format "15:04"}}{{.Ends.Format "15:04"}}`,
	`{{define "t"}}<time datetime="{{.Format "15"}}">{{year .}}</time>{{end}}{{template "t" .Time}}{{with .Ends}}{{template "t" .}}{{end}}`,
	`<span class="badge {{if .On}}ok{{else}}failed{{end}}"{{if .On}} hidden{{end}}>{{.List}} {{.Lines}}</span>`,
	`<p title="{{raw .Plain}}">{{raw .Plain}}{{print .Page "?" .Count}}</p>`,
	`<script src="/x.js"></script><style>p { a: "<b" }</style>{{.Page}}<br>{{.Name}}`,
}

// check draws a template both ways.
func check(t *testing.T, text string, data *outer) {
	t.Helper()
	theirs := maps.Clone(functions)
	theirs["raw"] = func(h template.HTML) template.HTML { return h }
	want := template.Must(template.New("x").Funcs(theirs).Parse(text))
	ours, err := Parse(Options{Functions: functions, Methods: methods}, map[string]string{"x": text})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var a, b bytes.Buffer
	if err := want.Execute(&a, data); err != nil {
		t.Fatal(err)
	}
	if err := ours.Execute(&b, "x", data); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if a, b := a.String(), strings.ReplaceAll(b.String(), "#unsafe", "#ZgotmplZ"); a != b {
		t.Errorf("%s with %q:\n%s\nhtml/template:\n%s", text, data.Page, b, a)
	}
}

// What is drawn is what html/template draws.
func TestLikeHTMLTemplate(t *testing.T) {
	for _, text := range cases {
		for _, s := range nasty {
			check(t, text, sample(s))
		}
	}
}

func FuzzLikeHTMLTemplate(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, text := range cases {
			check(t, text, sample(s))
		}
	})
}

// Actions where nothing is known to be safe, and what is not used here, are refused
// when a template is read; what is not there is when it is drawn.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`<script>{{.Page}}</script>`:                          "neither in a text",
		`<style>{{.Page}}</style>`:                            "neither in a text",
		`<script src="/x.js">{{.Page}}</script>`:              "neither in a text",
		`<a onclick="{{.Page}}">x</a>`:                        "neither in a text",
		`<a style="{{.Page}}">x</a>`:                          "neither in a text",
		`<img srcset="{{.Page}}">`:                            "neither in a text",
		`<a {{.Page}}="x">x</a>`:                              "neither in a text",
		`<{{.Page}}>`:                                         "neither in a text",
		`<!-- {{.Page}} -->`:                                  "neither in a text",
		`<a href={{.Page}}>x</a>`:                             "not in double quotes",
		`<a href='{{.Page}}'>x</a>`:                           "not in double quotes",
		`<a href="{{if .On}}x">{{else}}y{{end}}</a>`:          "different places",
		`<a href="{{if .On}}?{{end}}{{.Page}}">x</a>`:         "different places",
		`<a title="x`:                                         "ends within a tag",
		`<p title="{{template "t" .}}">{{define "t"}}{{end}}`: "does not stand in a text",
		`{{range .List}}{{break}}{{end}}`:                     "not used here",
		`{{nowhere .}}`:                                       "not defined",
	} {
		if _, err := Parse(Options{}, map[string]string{"x": text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`{{.Nothing}}`:             "has no field and no method Nothing",
		`{{.Page.Size}}`:           "string has no field",
		`{{.None.Name}}`:           "of a nil *markup.inner",
		`{{.Greet}}`:               "takes 2 arguments",
		`{{.Greet .List}}`:         "not string",
		`{{.Name 1}}`:              "no method Name",
		`{{range .Count}}x{{end}}`: "range over int",
		`{{template "y" .}}`:       "no template",
		`{{template "x" .}}`:       "is in itself",
		`{{if eq .Page 1}}{{end}}`: "not compared",
		`{{len .Count}}`:           "no length",
	} {
		ours, err := Parse(Options{Functions: functions, Methods: methods}, map[string]string{"x": text})
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Execute(new(bytes.Buffer), "x", sample("s")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
