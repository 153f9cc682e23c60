package yamlfile

import (
	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
)

// settingsJoiner joins the keys of nested maps to a property name
// (docs/reference/cascade.md#metadata).
const settingsJoiner = "/"

// ParseSettings reads a settings file: nested maps whose keys, joined with /,
// are property names. ok=false is a file error; a property that is wrong has
// an Invalid value and an error in fs.
func ParseSettings(path string, data []byte) ([]Property, []finding.Finding, bool) {
	d, ok := open(path, data, treeFile)
	if !ok || d.root == nil {
		return nil, d.done(), ok
	}
	f := flattener{document: d, at: map[string]int{}}
	f.flatten("", d.root)
	return f.list, d.done(), true
}

type flattener struct {
	*document
	list []Property
	at   map[string]int // of each name
}

func (f *flattener) flatten(prefix string, n *yaml.Node) {
	entries, _ := f.pairs(n)
	for _, p := range entries {
		name, ok := f.key(p.key)
		name = prefix + name
		body := target(p.value)
		switch {
		case !ok || f.broken[p.key]:
			f.add(p.key, Property{Name: name, Value: Value{Line: p.key.Line, Col: p.key.Column, Invalid: true}})
		case body.Kind == yaml.MappingNode && f.tagged(body, "the value of "+finding.Quote(name)):
			f.add(p.key, Property{Name: name, Value: Value{Line: p.key.Line, Col: p.key.Column, Invalid: true}})
		case body.Kind == yaml.MappingNode:
			f.flatten(name+settingsJoiner, body)
		case len(name) > MaxKey:
			f.errorf(p.key.Line, p.key.Column, CodeTooLong, "the name has %d bytes with the keys around it, at most %d are allowed; shorten it", len(name), MaxKey)
			f.add(p.key, Property{Name: name, Value: Value{Line: p.key.Line, Col: p.key.Column, Invalid: true}})
		default:
			f.add(p.key, Property{Name: name, Value: f.value(p.key, name, p.value)})
		}
	}
}

// add keeps the last of two properties that differ in nesting only, such as
// `a/b: 1` and `a: {b: 2}`.
func (f *flattener) add(key *yaml.Node, p Property) {
	at, known := f.at[p.Name]
	if !known {
		f.at[p.Name] = len(f.list)
		f.list = append(f.list, p)
		return
	}
	if !p.Value.Invalid {
		f.warnf(key.Line, key.Column, CodeDuplicateKey, "%s is already set in line %d, and again in line %d, which wins; remove one of the two", finding.Quote(p.Name), f.list[at].Value.Line, key.Line)
	}
	f.list[at] = p
}
