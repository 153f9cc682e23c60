package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
)

// The metadata keys with a meaning of their own
// (docs/reference/cascade.md#metadata).
const (
	keyFinal          = "final"
	keyProtected      = "protected"
	keyPreferencePath = "preferencePath"
	keyValue          = "value"
)

// ParseMeta reads a file of metadata: property -> { key: value }. ok=false is a
// file error; an entry with anything wrong in it is Invalid and has an error in
// fs. Whether final names a scope is for the caller to check.
func ParseMeta(path string, data []byte) ([]MetaEntry, []finding.Finding, bool) {
	d, ok := open(path, data, treeFile)
	if !ok || d.root == nil {
		return nil, d.done(), ok
	}
	entries, _ := d.pairs(d.root)
	list := make([]MetaEntry, 0, len(entries))
	for _, e := range entries {
		list = append(list, d.metaEntry(e))
	}
	return list, d.done(), true
}

func (d *document) metaEntry(e pair) MetaEntry {
	m := MetaEntry{Line: e.key.Line, Col: e.key.Column}
	var ok bool
	if m.Property, ok = d.key(e.key); !ok {
		m.Invalid = true
	}
	if d.broken[e.key] {
		m.Invalid = true
		return m
	}
	body := target(e.value)
	if body.Kind != yaml.MappingNode {
		d.errorf(m.Line, m.Col, CodeBadMeta, "the metadata of %s is %s; it must be a map, such as { %s: server }", finding.Quote(m.Property), kindName(body), keyFinal)
		m.Invalid = true
		return m
	}
	entries, ok := d.members(body, "the metadata")
	if !ok {
		m.Invalid = true
	}
	for _, p := range entries {
		if !d.metaMember(&m, p) {
			m.Invalid = true
		}
	}
	return m
}

func (d *document) metaMember(m *MetaEntry, p pair) bool {
	name, ok := d.key(p.key)
	if !ok {
		return false
	}
	// The value belongs to the property of the entry: that name decides
	// whether it is a secret.
	owner := name
	if name == keyValue {
		owner = m.Property
	}
	v := d.value(p.key, owner, p.value)
	if v.Invalid {
		return false
	}
	switch name {
	case keyProtected:
		return d.protected(m, p, v)
	case keyFinal:
		m.Final = defined(v)
	case keyPreferencePath:
		m.PreferencePath = defined(v)
	case keyValue:
		m.Value = defined(v)
	default:
		m.Other = append(m.Other, Property{Name: name, Value: v})
	}
	return true
}

func defined(v Value) *Value {
	if !v.Defined {
		return nil
	}
	return &v
}

func (d *document) protected(m *MetaEntry, p pair, v Value) bool {
	if !v.Defined {
		return true
	}
	b, ok := boolean(v.Text)
	if !ok {
		n := target(p.value)
		d.errorf(n.Line, n.Column, CodeBadMeta, "%s must be true or false, not %s", keyProtected, finding.Quote(v.Text))
		return false
	}
	m.Protected = &b
	return true
}

// boolean reads true and false as the rest of the product does: trimmed, in
// any case.
func boolean(text string) (value, ok bool) {
	text = strings.TrimSpace(text)
	value = strings.EqualFold(text, "true")
	return value, value || strings.EqualFold(text, "false")
}
