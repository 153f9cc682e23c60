package yamlfile

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
)

// config reads the overrides of a context or user. Overrides that are wrong
// are left out; the result is false only if there is no map at all.
func (d *document) config(n *yaml.Node) ([]Override, bool) {
	n = target(n)
	if n.Kind == yaml.ScalarNode && d.classOf(n) == classNull {
		return nil, true
	}
	if n.Kind != yaml.MappingNode || d.tagged(n, "config") {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "config is %s; it must be a map of properties", kindName(n))
		return nil, false
	}
	entries, ok := d.pairs(n)
	list := make([]Override, 0, len(entries))
	for _, p := range entries {
		if o, ok := d.override(p); ok {
			list = append(list, o)
		}
	}
	return list, ok
}

func (d *document) override(p pair) (Override, bool) {
	o := Override{Line: p.key.Line, Col: p.key.Column}
	var ok bool
	if o.Property, ok = d.key(p.key); !ok {
		return o, false
	}
	body := target(p.value)
	if body.Kind != yaml.MappingNode {
		return o, d.overrideValue(&o, p.key, body)
	}
	good, found := true, false
	all := d.fields(body, "override", func(name string, f pair) bool {
		ok := true
		switch name {
		case "value":
			found = true
			ok = d.overrideValue(&o, f.key, f.value)
		case "final":
			o.Final, _, ok = d.verbatim(f.value, name)
		case "protected":
			o.Protected, ok = d.enabled(f.value, name, false)
		case "reason":
			o.Reason, _, ok = d.scalar(f.value, name)
		case "actor":
			o.Actor, _, ok = d.scalar(f.value, name)
		case "time":
			o.Time, ok = d.time(f.value, name)
		case "expires":
			o.Expires, ok = d.time(f.value, name)
		default:
			return false
		}
		good = good && ok
		return true
	})
	if good && all && !found {
		d.errorf(o.Line, o.Col, CodeBadDirectory, "the override of %s has no value; add `value: …`", finding.Quote(o.Property))
		return o, false
	}
	return o, good && all
}

func (d *document) overrideValue(o *Override, key, n *yaml.Node) bool {
	v := d.value(key, o.Property, n)
	if !v.Invalid && !v.Defined {
		d.errorf(key.Line, key.Column, CodeBadDirectory, "the override of %s has no value; write \"\" for empty text, or remove it", finding.Quote(o.Property))
	}
	o.Value = v.Text
	return !v.Invalid && v.Defined
}

func (d *document) time(n *yaml.Node, what string) (time.Time, bool) {
	text, c, ok := d.scalar(n, what)
	if !ok || c == classNull {
		return time.Time{}, ok
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		n = target(n)
		d.errorf(n.Line, n.Column, CodeBadDirectory, "%s must be a time such as 2026-01-31T12:00:00Z (RFC 3339), not %s", what, finding.Quote(text))
		return time.Time{}, false
	}
	return t, true
}
