package yamlfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// ParseExpression parses an expression whose tokens are replaced, and reports
// at the given place (of its first character) what ParseSets would report. The
// expression is nil if it is malformed: its block never matches.
func ParseExpression(path string, line, col int, text string) (*tagexpr.Expr, []finding.Finding) {
	r := &report{path: path}
	e := r.expression(text, func(int) (int, int) { return line, col })
	return e, r.done()
}

// ParseTagList parses a comma list of tags, as in addTags, and reports at the
// given place. Blanks around tags and empty items do not count. On an error the
// list is nil.
func ParseTagList(path string, line, col int, text string) ([]string, []finding.Finding) {
	r := &report{path: path}
	tags, _ := r.tagList(text, line, col)
	return tags, r.done()
}

// expression parses and reports; at turns a column of the expression into a
// place of the file.
func (r *report) expression(text string, at func(col int) (int, int)) *tagexpr.Expr {
	e, err := tagexpr.Parse(text)
	if err != nil {
		line, col := at(err.Col)
		r.errorf(line, col, err.Code, "withTags: %s; until then the block never matches", err.Text)
		return nil
	}
	line, col := at(1)
	if a := e.Ambiguity(); a != nil {
		r.errorf(line, col, CodeAmbiguous, "withTags mixes & and | without brackets: usually it means %s, the existing system reads %s, and so does this one; write the brackets that you mean",
			finding.Quote(a.Standard), finding.Quote(a.Existing))
	}
	for _, t := range e.Tags() {
		r.checkTag(t, line, col)
	}
	if strings.HasSuffix(text, "  ") && !strings.HasSuffix(strings.TrimRight(text, " "), ")") {
		r.warnf(line, col, CodeTrailingBlanks, "two or more blanks end the expression: the existing system then ignores the last tag; remove the blanks")
	}
	return e
}

func (r *report) checkTag(tag string, line, col int) {
	if tagexpr.Suspicious(tag) {
		r.warnf(line, col, CodeSuspiciousTag, "the tag %s holds characters that cannot be seen; it does not match the tag that it looks like: type it anew", tagexpr.Show(tag))
	}
}

func (r *report) tagList(text string, line, col int) ([]string, bool) {
	var tags []string
	good := true
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if !tagexpr.ValidTag(item) {
			r.errorf(line, col, CodeBadTag, "%s is not a tag (a tag holds no white space and none of & | ! ( )); correct it or put commas between tags", finding.Quote(item))
			good = false
			continue
		}
		r.checkTag(item, line, col)
		tags = append(tags, item)
	}
	if !good {
		return nil, false
	}
	return tags, true
}

// firstCharacter is the place of a scalar's text: behind its anchor and quote.
// For block scalars it is where the scalar starts.
func (d *document) firstCharacter(n *yaml.Node) (line, col int) {
	col = n.Column
	if n.Anchor != "" {
		if s := d.afterAnchor(n); strings.TrimSpace(s) != "" {
			col += utf8.RuneCountInString(d.from(n.Line, n.Column)) - utf8.RuneCountInString(s)
		}
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		col++
	}
	return n.Line, col
}

// characterPlaces maps the characters of a scalar, from 1, to places of the
// file. Of a scalar of several lines every character maps to its start.
func (d *document) characterPlaces(n *yaml.Node) func(int) (int, int) {
	line, start := d.firstCharacter(n)
	double := n.Style&yaml.DoubleQuotedStyle != 0
	single := n.Style&yaml.SingleQuotedStyle != 0
	return func(k int) (int, int) {
		if k <= 1 {
			return line, start
		}
		col, rest := start, d.from(line, start)
		value := []rune(n.Value)
		for i := 1; i < k && i <= len(value); i++ {
			width := 1
			switch {
			case double && strings.HasPrefix(rest, `\`):
				width = escapeWidth(rest)
			case single && strings.HasPrefix(rest, "''"):
				width = 2
			default:
				if r, _ := utf8.DecodeRuneInString(rest); rest == "" || r != value[i-1] {
					return line, start
				}
			}
			for range width {
				_, size := utf8.DecodeRuneInString(rest)
				rest = rest[size:]
			}
			col += width
		}
		return line, col
	}
}

// escapeWidth is the length of an escape in a double-quoted scalar.
func escapeWidth(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}

// unwritten explains a withTags or addTags that YAML did not take as text.
func unwritten(n *yaml.Node) string {
	if n.Anchor != "" {
		return fmt.Sprintf("&%.40s is a YAML anchor, not text; quote it", n.Anchor)
	}
	return "it is empty; write a tag, such as webmail"
}
