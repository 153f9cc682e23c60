package yamlfile

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
)

// The keys of a block that are no properties.
const (
	keyWithTags = "withTags"
	keyAddTags  = "addTags"
	keyPriority = "priority"
)

// ParseSets reads a file of context sets. ok=false is a file error. Otherwise
// the blocks come in document order; a block whose head is wrong is Invalid, a
// property that is wrong has an Invalid value, and each has an error in fs. An
// ambiguous expression is an error in fs too, but its block counts.
func ParseSets(path string, data []byte) (blocks []Block, fs []finding.Finding, ok bool) {
	d, ok := open(path, data, treeFile)
	if !ok || d.root == nil {
		return nil, d.done(), ok
	}
	entries, _ := d.pairs(d.root)
	if len(entries) > MaxBlocks {
		d.errorf(0, 0, CodeTooManyBlocks, "the file holds %d sets, at most %d are read; split it", len(entries), MaxBlocks)
		return nil, d.done(), false
	}
	blocks = make([]Block, 0, len(entries))
	for _, e := range entries {
		blocks = append(blocks, d.block(e))
	}
	return blocks, d.done(), true
}

func (d *document) block(e pair) Block {
	b := Block{Line: e.key.Line, Col: e.key.Column}
	var ok bool
	if b.Name, ok = d.blockName(e.key); !ok {
		b.Invalid = true
	}
	if d.broken[e.key] {
		b.Invalid = true
		return b
	}
	body := target(e.value)
	if body.Kind == yaml.MappingNode && len(body.Content) == 0 || body.Kind == yaml.ScalarNode && body.ShortTag() == "!!null" {
		d.errorf(b.Line, b.Col, CodeBadBlock, "the set %s is empty: indent its %s and properties below it, or remove it", finding.Quote(b.Name), keyWithTags)
		b.Invalid = true
		return b
	}
	if body.Kind != yaml.MappingNode {
		d.errorf(b.Line, b.Col, CodeBadBlock, "the set %s is %s; it must be a map with %s and properties", finding.Quote(b.Name), kindName(body), keyWithTags)
		b.Invalid = true
		return b
	}
	entries, ok := d.members(body, "the set")
	if !ok {
		b.Invalid = true
	}
	found, similar := false, ""
	for _, p := range entries {
		switch name := p.key.Value; {
		case p.key.Kind == yaml.ScalarNode && name == keyWithTags:
			found = true
			d.withTags(&b, p)
		case p.key.Kind == yaml.ScalarNode && name == keyAddTags:
			d.addTags(&b, p)
		case p.key.Kind == yaml.ScalarNode && name == keyPriority:
			d.priority(&b, p)
		default:
			if similarKeys[strings.ToLower(name)] {
				similar = name
			}
			b.Properties = append(b.Properties, d.property(p))
		}
	}
	if !found {
		hint := ""
		if similar != "" {
			hint = " (is " + finding.Quote(similar) + " meant?)"
		}
		d.errorf(b.Line, b.Col, CodeMissingWithTags, "the set %s has no %s; add the expression that chooses it%s", finding.Quote(b.Name), keyWithTags, hint)
		b.Invalid = true
	}
	return b
}

// similarKeys are misspellings of withTags, in lower case.
var similarKeys = map[string]bool{"withtags": true, "withtag": true, "tags": true, "with-tags": true, "with_tags": true}

// blockName reads the name of a set. Numbers and dates are names, too: nothing
// but the output depends on them.
func (d *document) blockName(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle == 0 {
		switch d.classOf(n) {
		case classInt, classFloat, classDate:
			return n.Value, d.checkKey(n, n.Value)
		}
	}
	return d.key(n)
}

func (d *document) property(p pair) Property {
	name, ok := d.key(p.key)
	v := Value{Line: p.key.Line, Col: p.key.Column, Invalid: true}
	if ok {
		v = d.value(p.key, name, p.value)
	}
	return Property{Name: name, Value: v}
}

func (d *document) withTags(b *Block, p pair) {
	n := target(p.value)
	b.With.Line, b.With.Col = n.Line, n.Column
	text, defined, ok := d.verbatim(n, keyWithTags)
	if !ok {
		b.Invalid, b.With.Invalid = true, true
		return
	}
	if !defined {
		d.errorf(n.Line, n.Column, CodeMissingWithTags, "%s of the set %s is no expression: %s", keyWithTags, finding.Quote(b.Name), unwritten(n))
		b.Invalid, b.With.Invalid = true, true
		return
	}
	b.With.Line, b.With.Col = d.firstCharacter(n)
	b.With.Text, b.With.Defined = text, true
	if b.With.Token = HasToken(text); b.With.Token {
		return
	}
	if b.Expr = d.expression(text, d.characterPlaces(n)); b.Expr == nil {
		b.Invalid, b.With.Invalid = true, true
	}
}

// addTags reads the comma list of tags. A list of YAML is the text that the
// existing system makes of it, brackets and all.
func (d *document) addTags(b *Block, p pair) {
	n := target(p.value)
	b.AddText = Value{Line: n.Line, Col: n.Column}
	var text string
	var c class
	var ok bool
	if d.isList(n) {
		if text, ok = d.listText(n, "", 1); ok {
			d.warnf(n.Line, n.Column, CodeList, "%s is a list; to the existing system, and here, it is the text %s, brackets included: write it without them, such as a, b", keyAddTags, finding.Quote(text))
		}
	} else if text, c, ok = d.scalar(n, keyAddTags); c == classWord {
		text = words[text]
	}
	switch {
	case !ok:
		b.Invalid, b.AddText.Invalid = true, true
		return
	case c == classNull && n.Anchor != "":
		d.errorf(n.Line, n.Column, CodeBadTag, "%s is no tag: %s", keyAddTags, unwritten(n))
		b.Invalid, b.AddText.Invalid = true, true
		return
	case c == classNull:
		return
	}
	d.warnYAML11(n, text, c, "")
	b.AddText.Text, b.AddText.Defined = text, true
	if b.AddText.Token = HasToken(text); b.AddText.Token {
		return
	}
	line, col := n.Line, n.Column
	if n.Kind == yaml.ScalarNode {
		line, col = d.firstCharacter(n)
	}
	if b.AddTags, ok = d.tagList(text, line, col); !ok {
		b.Invalid, b.AddText.Invalid = true, true
	}
}

func (d *document) priority(b *Block, p pair) {
	n := target(p.value)
	text, c, ok := d.scalar(n, keyPriority)
	if !ok {
		b.Invalid = true
		return
	}
	if c == classNull {
		return
	}
	// 32 bits are MinPriority to MaxPriority.
	v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		d.errorf(n.Line, n.Column, CodeBadPriority, "%s must be an integer from %d to %d, not %s", keyPriority, MinPriority, MaxPriority, finding.Quote(text))
		b.Invalid = true
		return
	}
	d.warnYAML11(n, text, c, keyPriority)
	b.Priority = int(v)
}
