package yamlfile

import (
	"go.yaml.in/yaml/v3"
)

const (
	mergeTag = "!!merge"
	// fewKeys is up to how many keys a map is checked for duplicates by
	// comparing all of them, which is faster than a hash for small maps.
	fewKeys = 12
)

// checkTree looks for what makes a parsed file a file error: too deep, a key
// set twice, aliases that unfold too far or into themselves.
func (d *document) checkTree() bool {
	if !d.checkNode(d.root, 1) {
		return false
	}
	if d.aliases {
		x := expansion{done: map[*yaml.Node]unfolded{}, open: map[*yaml.Node]bool{}}
		if _, ok := x.measure(d, d.root); !ok {
			return false
		}
	}
	return d.errors == 0
}

// checkNode returns false when it makes no sense to go on; duplicate keys are
// all collected.
func (d *document) checkNode(n *yaml.Node, depth int) bool {
	if depth > MaxDepth {
		d.errorf(n.Line, n.Column, CodeTooDeep, "lists and maps are nested deeper than %d; simplify the file", MaxDepth)
		return false
	}
	if n.Kind == yaml.AliasNode {
		d.aliases = true
		return true
	}
	if n.Kind == yaml.MappingNode {
		d.checkDuplicates(n)
	}
	for _, c := range n.Content {
		if c.Kind == yaml.ScalarNode {
			continue
		}
		if !d.checkNode(c, depth+1) {
			return false
		}
	}
	return true
}

func (d *document) checkDuplicates(n *yaml.Node) {
	type identity struct {
		text  string
		merge bool
	}
	var first map[identity]*yaml.Node
	if len(n.Content) > 2*fewKeys {
		first = make(map[identity]*yaml.Node, len(n.Content)/2)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			continue
		}
		id := identity{k.Value, k.Tag == mergeTag}
		var earlier *yaml.Node
		if first != nil {
			if earlier = first[id]; earlier == nil {
				first[id] = k
			}
		} else {
			for j := 0; j < i && earlier == nil; j += 2 {
				o := n.Content[j]
				if o.Kind == yaml.ScalarNode && (identity{o.Value, o.Tag == mergeTag}) == id {
					earlier = o
				}
			}
		}
		if earlier == nil {
			continue
		}
		if id.merge {
			d.errorf(k.Line, k.Column, CodeDuplicateKey, "line %d already has a << here; write one line << : [*a, *b]", earlier.Line)
			continue
		}
		d.errorf(k.Line, k.Column, CodeDuplicateKey, "%s is already set in line %d, and again in line %d; remove one of the two", d.quote(k.Value), earlier.Line, k.Line)
	}
}

// unfolded is the size of a node with its aliases followed.
type unfolded struct{ added, own, depth int }

// expansion measures each node once, however many aliases lead to it.
type expansion struct {
	done map[*yaml.Node]unfolded
	open map[*yaml.Node]bool // anchored nodes being measured
}

func (x *expansion) measure(d *document, n *yaml.Node) (unfolded, bool) {
	if n.Kind == yaml.AliasNode {
		return x.follow(d, n)
	}
	u := unfolded{own: 1, depth: 1}
	for _, c := range n.Content {
		cu, ok := x.measure(d, c)
		if !ok {
			return u, false
		}
		u.own += cu.own
		u.added += cu.added
		u.depth = max(u.depth, 1+cu.depth)
	}
	if u.added > MaxAliasNodes {
		d.errorf(n.Line, n.Column, CodeAlias, "the aliases below unfold into more than %d values; write them out or use fewer", MaxAliasNodes)
		return u, false
	}
	if u.depth > MaxDepth {
		d.errorf(n.Line, n.Column, CodeTooDeep, "with their aliases followed, lists and maps are nested deeper than %d; simplify the file", MaxDepth)
		return u, false
	}
	return u, true
}

func (x *expansion) follow(d *document, n *yaml.Node) (unfolded, bool) {
	u, ok := x.done[n.Alias]
	if !ok {
		if x.open[n.Alias] {
			d.errorf(n.Line, n.Column, CodeAlias, "the alias *%s stands inside what it refers to; write the value out", n.Value)
			return u, false
		}
		x.open[n.Alias] = true
		if u, ok = x.measure(d, n.Alias); !ok {
			return u, false
		}
		delete(x.open, n.Alias)
		x.done[n.Alias] = u
	}
	return unfolded{added: u.own + u.added, depth: u.depth}, true
}

// pair is one entry of a map, merges included.
type pair struct{ key, value *yaml.Node }

// pairs lists the entries of a map in the order of the file, then those that
// its << brings in and that it does not set itself; of several merged maps the
// first that sets a key counts. It returns false if a << refers to something
// that is no map.
func (d *document) pairs(n *yaml.Node) ([]pair, bool) {
	list := make([]pair, 0, len(n.Content)/2)
	var merge *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == mergeTag && k.Style == 0 {
			merge = v
			continue
		}
		list = append(list, pair{k, v})
	}
	if merge == nil {
		return list, true
	}
	known := map[string]bool{}
	for _, p := range list {
		known[p.key.Value] = true
	}
	sources := []*yaml.Node{merge}
	if target(merge).Kind == yaml.SequenceNode {
		sources = target(merge).Content
	}
	good := true
	for _, s := range sources {
		if target(s).Kind != yaml.MappingNode {
			d.errorf(s.Line, s.Column, CodeAlias, "<< merges maps, and this is %s; write << : *name with the anchor of a map", kindName(s))
			good = false
			continue
		}
		more, ok := d.pairs(target(s))
		good = good && ok
		for _, p := range more {
			if !known[p.key.Value] {
				known[p.key.Value] = true
				list = append(list, p)
			}
		}
	}
	return list, good
}
