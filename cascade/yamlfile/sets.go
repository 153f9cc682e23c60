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
	body := target(e.value)
	if body.Kind != yaml.MappingNode {
		d.errorf(b.Line, b.Col, CodeBadBlock, "the set %s is %s; it must be a map with %s and properties", finding.Quote(b.Name), kindName(body), keyWithTags)
		b.Invalid = true
		return b
	}
	if d.tagged(body, "the set") {
		b.Invalid = true
	}
	entries, ok := d.pairs(body)
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

func (d *document) addTags(b *Block, p pair) {
	n := target(p.value)
	b.AddText = Value{Line: n.Line, Col: n.Column}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if d.tagged(n, keyAddTags) {
			b.Invalid, b.AddText.Invalid = true, true
			return
		}
		items = n.Content
	}
	var texts []string
	for _, item := range items {
		text, defined, ok := d.verbatim(item, keyAddTags)
		item = target(item)
		switch {
		case !ok:
			b.Invalid, b.AddText.Invalid = true, true
			continue
		case !defined && item.Anchor != "":
			d.errorf(item.Line, item.Column, CodeBadTag, "%s is no tag: %s", keyAddTags, unwritten(item))
			b.Invalid, b.AddText.Invalid = true, true
			continue
		case !defined:
			continue
		}
		texts = append(texts, text)
		b.AddText.Defined = true
		if HasToken(text) {
			b.AddText.Token = true
			continue
		}
		line, col := d.firstCharacter(item)
		tags, ok := d.tagList(text, line, col)
		if !ok {
			b.Invalid, b.AddText.Invalid = true, true
		}
		b.AddTags = append(b.AddTags, tags...)
	}
	b.AddText.Text = strings.Join(texts, ", ")
	if b.AddText.Token || b.AddText.Invalid {
		b.AddTags = nil
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
