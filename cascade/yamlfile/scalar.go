package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/secret"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// classOf says what YAML 1.1 makes of a scalar.
func (d *document) classOf(n *yaml.Node) class {
	if n.Style&^yaml.FlowStyle != 0 {
		return classText
	}
	return classify(n.Value)
}

// quote renders a key or other harmless text for a finding.
func (d *document) quote(masked string) string { return finding.Quote(d.restore(masked)) }

// tagged reports whether an explicit YAML tag stands before a node, and says
// so. The parser hides the tag "!", which turns `! beta` into `beta`.
func (d *document) tagged(n *yaml.Node, what string) bool {
	bare := d.bareBangs && n.Style&yaml.TaggedStyle == 0 && strings.HasPrefix(d.afterAnchor(n), "!")
	if n.Style&yaml.TaggedStyle == 0 && !bare {
		return false
	}
	d.errorf(n.Line, n.Column, CodeYAMLTag, "%s starts with !, which makes it a YAML tag and not text; quote it, such as \"!x\"", what)
	return true
}

// afterAnchor is the source of a node without its anchor, from its line only.
func (d *document) afterAnchor(n *yaml.Node) string {
	s := d.from(n.Line, n.Column)
	if n.Anchor != "" {
		s = strings.TrimLeft(strings.TrimPrefix(s, "&"+n.Anchor), blanks)
	}
	return s
}

// key reads the key of a property. It returns false, after an entry error, if
// the key is not plainly text.
func (d *document) key(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		what := kindName(n)
		if n.Kind == yaml.AliasNode {
			what = "an alias"
		}
		d.errorf(n.Line, n.Column, CodeBadKey, "the key is %s; a key must be text, quoted if it holds special characters", what)
		return "", false
	}
	name := d.restore(n.Value)
	if d.tagged(n, "the key") {
		return name, false
	}
	switch d.classOf(n) {
	case classText:
	case classNull:
		d.errorf(n.Line, n.Column, CodeBadKey, "the key is empty (~, null or nothing); write a name, in quotes if it is meant so")
		return name, false
	default:
		d.errorf(n.Line, n.Column, CodeBadKey, "the key %s is not text for YAML (a number, date or boolean); put it in quotes", d.quote(n.Value))
		return name, false
	}
	return name, d.checkKey(n, name)
}

// checkKey holds what is true of quoted and plain keys alike.
func (d *document) checkKey(n *yaml.Node, name string) bool {
	switch {
	case name == "":
		d.errorf(n.Line, n.Column, CodeBadKey, "the key is empty; write a name")
		return false
	case len(name) > MaxKey:
		d.errorf(n.Line, n.Column, CodeTooLong, "the key has %d bytes, at most %d are allowed; shorten it", len(name), MaxKey)
		return false
	}
	if tagexpr.Suspicious(name) {
		d.warnf(n.Line, n.Column, CodeSuspiciousKey, "the key %s holds characters that cannot be seen; it is not the key that it looks like", tagexpr.Show(name))
	}
	if d.hasTokens && HasToken(name) {
		d.warnf(n.Line, n.Column, CodeTokenInKey, "{{ }} is not replaced in keys; write the name out")
	}
	return true
}

// scalar reads a node as text: quoted and block scalars as they are, unquoted
// ones verbatim. It returns false, after an entry error, if the node is a list
// or map, tagged, or too long.
func (d *document) scalar(n *yaml.Node, what string) (text string, c class, ok bool) {
	n = target(n)
	if n.Kind != yaml.ScalarNode {
		hint := "write text, in quotes if need be"
		switch {
		case n.Kind == yaml.SequenceNode && what == keyWithTags:
			hint = "join the tags with & or |"
		case n.Kind == yaml.SequenceNode:
			hint = "write one text, such as \"a, b\""
		case strings.HasPrefix(d.from(n.Line, n.Column), "{{"):
			hint = "if it is meant as a {{ NAME:default }} token, it is not a well-formed one"
		}
		d.errorf(n.Line, n.Column, CodeBadValue, "%s is %s; %s", what, kindName(n), hint)
		return "", classText, false
	}
	if d.tagged(n, what) {
		return "", classText, false
	}
	if n.Tag == mergeTag && n.Style == 0 {
		d.errorf(n.Line, n.Column, CodeBadValue, "%s is <<, which merges maps; put it in quotes", what)
		return "", classText, false
	}
	d.warnTab(n)
	text = d.restore(n.Value)
	if len(text) > MaxValue {
		d.errorf(n.Line, n.Column, CodeTooLong, "%s has %d bytes, at most %d are allowed; shorten it", what, len(text), MaxValue)
		return "", classText, false
	}
	return text, d.classOf(n), true
}

// warnTab warns of a tab before a value, which the parser here takes for a
// blank and the existing system refuses with the whole file.
func (d *document) warnTab(n *yaml.Node) {
	if d.hasTabs && n.Column > 1 && strings.HasPrefix(d.from(n.Line, n.Column-1), "\t") {
		d.warnf(n.Line, n.Column-1, CodeTab, "a tab stands before this value; the existing system refuses the whole file for it: write a blank")
	}
}

// value reads the value of a property by the rules of context sets.
func (d *document) value(key *yaml.Node, name string, n *yaml.Node) Value {
	v := Value{Line: key.Line, Col: key.Column}
	if d.isList(n) {
		if v.Text, v.Defined = d.listText(n, name, 1); v.Defined {
			d.warnf(v.Line, v.Col, CodeList, "the value is a list; to the existing system, and here, it is %s: write it as that text, in quotes", d.show(name, v.Text))
			v.Token = HasToken(v.Text)
		} else {
			v.Invalid = true
		}
		return v
	}
	text, c, ok := d.scalar(n, "the value of "+finding.Quote(name))
	if !ok {
		v.Invalid = true
		return v
	}
	switch c {
	case classNull:
		return v
	case classWord:
		text = words[text]
	default:
		d.warnYAML11(n, text, c, name)
	}
	v.Text, v.Defined, v.Token = text, true, d.hasTokens && HasToken(text)
	return v
}

// warnYAML11 warns of an unquoted scalar of which the existing system makes
// another text than the one in the file. Booleans are left out: they mean the
// same here.
func (d *document) warnYAML11(n *yaml.Node, text string, c class, name string) {
	if c == classText || c == classWord {
		return
	}
	n = target(n)
	existing := existingReading(text, c)
	switch {
	case existing == text:
	case secret.Show(name, text, nil) != text:
		d.warnf(n.Line, n.Column, CodeYAML11, "unquoted, this value is a number, date or boolean to the existing system (YAML 1.1), which reads another text than the one here; quote it")
	case c == classDate:
		d.warnf(n.Line, n.Column, CodeYAML11, "unquoted, %s is a date to the existing system (YAML 1.1), which prints it anew, such as Thu Jan 01 00:00:00 UTC 2026; here it is the text in the file: quote it", finding.Quote(text))
	case existing == "":
		d.warnf(n.Line, n.Column, CodeYAML11, "unquoted, %s is a number to the existing system (YAML 1.1), which cannot read it or prints another text; here it is the text in the file: quote it", finding.Quote(text))
	default:
		d.warnf(n.Line, n.Column, CodeYAML11, "unquoted, %s is %s to the existing system (YAML 1.1); here it is the text in the file: quote it", finding.Quote(text), finding.Quote(existing))
	}
}

// verbatim reads an expression: unquoted booleans must be quoted, since the
// existing system reads true or false there. Null is defined=false.
func (d *document) verbatim(n *yaml.Node, what string) (text string, defined, ok bool) {
	text, c, ok := d.scalar(n, what)
	if !ok {
		return "", false, false
	}
	switch c {
	case classNull:
		return "", false, true
	case classWord:
		if words[text] == text {
			break
		}
		n = target(n)
		d.errorf(n.Line, n.Column, CodeBadValue, "unquoted, %s is %s to the existing system (YAML 1.1), not text; quote it", text, words[text])
		return "", false, false
	}
	d.warnYAML11(n, text, c, "")
	return text, true, true
}
