package markup

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template/parse"
)

// place is where an action stands, and so how what it shows is escaped.
type place struct {
	state     state
	tag       string // in one: its name, in lower case
	attribute string // in its value: its name, in lower case
	url       urlPart
}

type state int

const (
	inText    state = iota
	inTag           // between the attributes of a tag
	inValue         // in a value of an attribute, in double quotes
	inRaw           // in a script or a style
	inComment       // in <!-- -->
)

// urlPart tells how far a value of an attribute that leads somewhere has come.
type urlPart int

const (
	urlNone  urlPart = iota // the attribute leads nowhere
	urlStart                // nothing, or only actions, before
	urlPath
	urlQuery
)

// leads are the attributes whose values are addresses.
var leads = map[string]bool{"href": true, "src": true, "action": true, "formaction": true, "data-load": true}

// refused are those whose values are programs, styles or several addresses.
func refused(attribute string) bool {
	return strings.HasPrefix(attribute, "on") || attribute == "style" || attribute == "srcset" || attribute == "srcdoc"
}

// findPlaces follows the HTML of a template, and refuses actions where nothing is
// known to be safe.
func (t *Templates) findPlaces(name string, tree *parse.Tree) error {
	end, err := t.follow(place{}, tree.Root)
	if err == nil && end.state != inText {
		err = fmt.Errorf("it ends within a tag")
	}
	if err != nil {
		return fmt.Errorf("template %s: %w", name, err)
	}
	return nil
}

func (t *Templates) follow(p place, l *parse.ListNode) (place, error) {
	if l == nil {
		return p, nil
	}
	var err error
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			p, err = p.after(string(n.Text))
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				break // it shows nothing
			}
			if p.state != inText && p.state != inValue || refused(p.attribute) {
				return p, fmt.Errorf("%s stands neither in a text nor in a quoted value", n)
			}
			t.places[n] = p
		case *parse.TemplateNode:
			if p.state != inText {
				return p, fmt.Errorf("%s does not stand in a text", n)
			}
		case *parse.IfNode:
			p, err = t.both(p, &n.BranchNode)
		case *parse.WithNode:
			p, err = t.both(p, &n.BranchNode)
		case *parse.RangeNode:
			p, err = t.both(p, &n.BranchNode)
		default:
			err = fmt.Errorf("%s: %w", n, errKind)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// both follows both ways of a branch, which have to end in one place.
func (t *Templates) both(p place, n *parse.BranchNode) (place, error) {
	a, err := t.follow(p, n.List)
	if err != nil {
		return p, err
	}
	b, err := t.follow(p, n.ElseList)
	if err == nil && a != b {
		err = fmt.Errorf("the ways of %s end in different places of the page", n.Pipe)
	}
	return a, err
}

// after is the place behind a text.
func (p place) after(s string) (place, error) {
	for s != "" {
		switch p.state {
		case inText:
			_, rest, found := strings.Cut(s, "<")
			if s = rest; !found {
				break
			}
			if after, comment := strings.CutPrefix(s, "!--"); comment {
				p.state, s = inComment, after
				break
			}
			p.state, p.tag = inTag, strings.ToLower(s[:strings.IndexAny(s+" ", " \t\n>")])
			s = s[len(p.tag):]
		case inComment:
			_, rest, found := strings.Cut(s, "-->")
			if s = rest; found {
				p.state = inText
			}
		case inRaw:
			_, rest, found := strings.Cut(s, "</")
			if s = rest; found {
				p.state, p.tag = inTag, "/"
			}
		case inTag:
			end := strings.IndexAny(s, `>"='`)
			if end < 0 {
				s = ""
				break
			}
			before, c := s[:end], s[end]
			s = s[end+1:]
			switch {
			case c == '>':
				raw := p.tag == "script" || p.tag == "style"
				if p = (place{}); raw {
					p.state = inRaw
				}
			case c == '=' && strings.HasPrefix(s, `"`):
				name := before[strings.LastIndexAny(before, " \t\n")+1:]
				p = place{state: inValue, tag: p.tag, attribute: strings.ToLower(name)}
				if s = s[1:]; leads[p.attribute] {
					p.url = urlStart
				}
			default:
				return p, fmt.Errorf("a value of an attribute is not in double quotes: %.40q", before+string(c)+s)
			}
		case inValue:
			before, rest, found := strings.Cut(s, `"`)
			if p.url != urlNone && before != "" {
				if p.url = max(p.url, urlPath); strings.ContainsAny(before, "?#") {
					p.url = urlQuery
				}
			}
			if s = rest; found {
				p = place{state: inTag, tag: p.tag}
			}
		}
	}
	return p, nil
}

var htmlEscaper = strings.NewReplacer("\x00", "\uFFFD", "&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "+", "&#43;")

// HTML is what may stand in a page as it is.
type HTML string

// Escape makes HTML of a text.
func Escape(s string) string { return htmlEscaper.Replace(s) }

var (
	tags       = regexp.MustCompile(`<[^>]*>`)
	tagEscaper = strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "+", "&#43;")
)

// show is a value as it may stand in its place.
func (p place) show(v reflect.Value) string {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch s := text(v); {
	case !v.IsValid() || v.Type() != reflect.TypeFor[HTML]() || p.url != urlNone:
		return p.escape(s)
	case p.state == inText:
		return s
	default: // a value of an attribute has no tags
		return tagEscaper.Replace(tags.ReplaceAllString(s, ""))
	}
}

// escape makes a text safe in its place.
func (p place) escape(s string) string {
	switch p.url {
	case urlStart:
		if unsafeScheme(s) {
			s = "#unsafe"
		}
		s = percent(s, reservedInURL)
	case urlPath:
		s = percent(s, reservedInURL)
	case urlQuery:
		s = percent(s, "")
	}
	return Escape(s)
}

// unsafeScheme reports whether an address may be a program.
func unsafeScheme(s string) bool {
	scheme, _, has := strings.Cut(s, ":")
	if !has || strings.ContainsAny(scheme, "/?#") {
		return false
	}
	return !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "mailto")
}

// reservedInURL are what an address is made of beside names.
const reservedInURL = "!#$&*+,/:;=?@[]"

// hex matches what is escaped already.
var hex = regexp.MustCompile(`^%[0-9a-fA-F]{2}`)

// percent escapes all but letters, digits, -._~ and what is kept, with what is
// escaped already.
func percent(s, kept string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~"+kept, c) >= 0 || c == '%' && kept != "" && hex.MatchString(s[i:]) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}
