package console

import (
	"cmp"
	_ "embed" // texts
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/seed47708276/sluice/cascade"
)

//go:embed texts/en.json
var textsFile []byte

// texts are all that the console says by itself, by key: what the API says comes
// from there as it is. {1} and on stand for what goes in, which is text; the
// phrases themselves may have markup.
var texts = func() map[string]phrase {
	var m map[string]phrase
	if err := json.Unmarshal(textsFile, &m); err != nil {
		panic(err) // what is embedded can be read, or no test of this package passes
	}
	return m
}()

var textsLanguage = language.MustParse(texts["lang"]["other"])

// phrase is a text: one, or one for each of the language's plurals, which the
// number that goes in first decides.
type phrase map[string]string

// plurals are the names of the forms, in the order of package plural.
var plurals = []string{"other", "zero", "one", "two", "few", "many"}

func (p *phrase) UnmarshalJSON(b []byte) error {
	*p = phrase{}
	if b[0] == '"' {
		b = slices.Concat([]byte(`{"other":`), b, []byte("}"))
	}
	return json.Unmarshal(b, (*map[string]string)(p))
}

func (p phrase) form(n int) string {
	return cmp.Or(p[plurals[plural.Cardinal.MatchPlural(textsLanguage, n, 0, 0, 0, 0)]], p["other"])
}

// fill puts values into the text of a key, each written by show. A key that has
// none stands for itself.
func fill(key string, args []any, show func(any) string) string {
	p, known := texts[key]
	if !known {
		return show(key)
	}
	n := 0
	var pairs []string
	for i, a := range args {
		if number, ok := a.(int); ok && i == 0 {
			n = number
		}
		pairs = append(pairs, "{"+strconv.Itoa(i+1)+"}", show(a))
	}
	return strings.NewReplacer(pairs...).Replace(p.form(n))
}

// plain is a text where there is no markup.
func plain(key string, args ...any) string {
	return fill(key, args, func(v any) string { return fmt.Sprint(v) })
}

// text is a text for a page.
func text(key string, args ...any) template.HTML {
	return template.HTML(fill(key, args, func(v any) string {
		if h, ok := v.(template.HTML); ok {
			return string(h)
		}
		return template.HTMLEscapeString(shown(v))
	}))
}

// shown is what somebody else, or the visitor, has written.
func shown(v any) string { return marks.Replace(fmt.Sprint(v)) }

// word is the text of a code of the API, or the code where there is none.
func word(kind, code string) string {
	if _, known := texts[kind+"."+code]; known {
		return plain(kind + "." + code)
	}
	return strings.ReplaceAll(code, "_", " ")
}

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
	"t": text, "word": word, "shown": shown, "count": count, "time": when, "where": where, "short": short, "json": compact,
	"rollout": rollout, "evaluate": evaluate, "ago": agoTexts, "table": table, "options": options, "cell": cell, "td": td,
	"endtable": func() template.HTML { return "</tbody></table></div>" },
	"pair":     func(a, b any) struct{ A, B any } { return struct{ A, B any }{a, b} },
	"list":     func(words ...string) []string { return words },
}

// count is a number of things.
func count(n int, noun string) string { return plain("count."+noun, n) }

// table begins one with its head: an empty name is no column, and a column whose
// name begins with a dash has a name for those alone who do not see it.
func table(names ...string) template.HTML {
	var b strings.Builder
	for _, name := range names {
		if hidden, ok := strings.CutPrefix(name, "-"); ok {
			fmt.Fprintf(&b, `<th scope="col"><span class="hidden">%s</span></th>`, text("col."+hidden))
		} else if name != "" {
			fmt.Fprintf(&b, `<th scope="col">%s</th>`, text("col."+name))
		}
	}
	return template.HTML(`<div class="scroll" tabindex="0"><table><thead><tr>` + b.String() + "</tr></thead><tbody>")
}

// options are those of a list of choices, with the chosen one of the values; the
// texts have the prefix before the value, or before none.
func options(prefix, chosen string, values ...string) template.HTML {
	var b strings.Builder
	for _, value := range values {
		selected := ""
		if value == chosen {
			selected = " selected"
		}
		fmt.Fprintf(&b, `<option value="%s"%s>%s</option>`, value, selected, text(prefix+"."+cmp.Or(value, "none")))
	}
	return template.HTML(b.String())
}

// cell begins a cell of a table, with the name of its column for where the screen
// is too narrow for a head, and a class.
func cell(column, class string) template.HTML {
	return template.HTML(fmt.Sprintf(`<td data-col="%s" class="%s">`, text("col."+column), class))
}

// td is a cell with a text.
func td(column, class string, v any) template.HTML {
	h, ok := v.(template.HTML)
	if !ok {
		h = template.HTML(template.HTMLEscapeString(fmt.Sprint(v)))
	}
	return cell(column, class) + h + "</td>"
}

// when is a time as people say it, with the exact one in its title; nil and the
// zero time are none.
func when(t any) template.HTML {
	at, _ := t.(time.Time)
	if p, ok := t.(*time.Time); ok && p != nil {
		at = *p
	}
	if at.IsZero() {
		return "–"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		at.Format(time.RFC3339), at.UTC().Format("2006-01-02 15:04:05 UTC"), template.HTMLEscapeString(ago(at))))
}

// spans are the units that times are told in, with where the next one begins.
var spans = []struct {
	name       string
	unit, upTo time.Duration
}{
	{"second", time.Second, time.Minute},
	{"minute", time.Minute, time.Hour},
	{"hour", time.Hour, 48 * time.Hour},
	{"day", 24 * time.Hour, 1<<63 - 1},
}

func ago(t time.Time) string {
	d, form := time.Since(t), "ago.past"
	if d < 0 {
		d, form = -d, "ago.future"
	}
	for _, s := range spans {
		if d < s.upTo {
			return plain(form, plain("ago."+s.name, int((d+s.unit/2)/s.unit)))
		}
	}
	return ""
}

// agoTexts are the texts of ago, for the script that keeps times up.
func agoTexts() (string, error) {
	out := map[string]string{"past": texts["ago.past"]["other"], "future": texts["ago.future"]["other"]}
	for _, s := range spans {
		out[s.name] = texts["ago."+s.name]["other"]
	}
	b, err := json.Marshal(out)
	return string(b), err
}

// where is the place of a value in a few words.
func where(o *cascade.Origin) string {
	switch {
	case o == nil:
		return ""
	case o.Override != nil && o.Override.Reason != "":
		return plain("where.reason", o.Override.Actor, o.Override.Reason)
	case o.Override != nil:
		return plain("where.override", o.Override.Actor)
	case o.Set != "":
		return plain("where.set", o, o.Set)
	}
	return o.String()
}

// short is the beginning of a digest.
func short(s string) string { return s[:min(len(s), 12)] }

// apart are what an entry of the audit log shows beside its difference.
var apart = []string{"actor", "reason", "time"}

// compact is one side of a difference: what is there, a line each.
func compact(fields map[string]any) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if fields[key] != nil && !slices.Contains(apart, key) {
			lines = append(lines, fmt.Sprintf("%s: %v", key, fields[key]))
		}
	}
	return cmp.Or(strings.Join(lines, "\n"), plain("nothing"))
}

// rollout is the tag of a roll-out as people say it: rollout.NAME.PERCENT, with
// .context at its end where whole contexts are taken.
func rollout(tag string) string {
	rest, contexts := strings.CutSuffix(strings.TrimPrefix(tag, "rollout."), ".context")
	at, key := max(strings.LastIndexByte(rest, '.'), 0), "rollout.users"
	if contexts {
		key = "rollout.contexts"
	}
	return plain(key, rest[:at], strings.TrimPrefix(rest[at:], "."))
}

var tagOfSet = regexp.MustCompile(`[^&|!() ]+`)

// evaluate is the expression of a context set with a mark at each tag: whether
// the tags have it.
func evaluate(expression string, tags []cascade.Tag) template.HTML {
	return template.HTML(tagOfSet.ReplaceAllStringFunc(expression, func(name string) string {
		class, mark := "lacks", "✗"
		if slices.ContainsFunc(tags, func(t cascade.Tag) bool { return t.Tag == name }) {
			class, mark = "has", "✓"
		}
		return fmt.Sprintf(`<span class="%s" title="%s">%s&nbsp;%s</span>`, class, text("steps."+class), template.HTMLEscapeString(name), mark)
	}))
}
