package yamlfile

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

const (
	mergeTag = "!!merge"
	// fewKeys is up to how many keys a map is checked for duplicates by
	// comparing all of them, which is faster than a hash for small maps.
	fewKeys = 12
)

// checkTree looks for what makes a parsed file unusable: nested too deep,
// aliases that unfold too far or into themselves, and in a directory file a key
// that is set twice. In files of the tree it costs the entry of the top level
// that it is in, which goes into d.broken.
func (d *document) checkTree() bool {
	x := expansion{done: map[*yaml.Node]unfolded{}, open: map[*yaml.Node]bool{}}
	if d.root.Kind != yaml.MappingNode || !d.lastWins {
		return d.checkNode(d.root, 1) && d.checkAliases(&x, d.root) && d.errors == 0
	}
	d.checkDuplicates(d.root)
	top := unfolded{}
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		k, v := d.root.Content[i], d.root.Content[i+1]
		ok := d.checkNode(k, 2) && d.checkNode(v, 2) && d.checkAliases(&x, k) && d.checkAliases(&x, v)
		if !ok {
			if k.Kind != yaml.ScalarNode || k.Tag == mergeTag {
				return false // it cannot be told which entries it is about
			}
			if d.broken == nil {
				d.broken = map[*yaml.Node]bool{}
			}
			d.broken[k] = true
			x.open = map[*yaml.Node]bool{}
			continue
		}
		if d.aliases {
			u, _ := x.measure(d, v)
			top.added += u.added
		}
	}
	if top.added > MaxAliasNodes {
		d.errorf(d.root.Line, d.root.Column, CodeAlias, "the aliases of the file unfold into more than %d values; write them out or use fewer", MaxAliasNodes)
		return false
	}
	return true
}

func (d *document) checkAliases(x *expansion, n *yaml.Node) bool {
	if !d.aliases {
		return true
	}
	_, ok := x.measure(d, n)
	return ok
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

// checkDuplicates finds keys that a map has twice. In files of the tree the
// last counts, in its place: what the existing system's reader does.
func (d *document) checkDuplicates(n *yaml.Node) {
	var last map[string]int // where each key of a large map is
	if len(n.Content) > 2*fewKeys {
		last = make(map[string]int, len(n.Content)/2)
	}
	var gone []int
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == mergeTag && d.lastWins {
			continue
		}
		earlier := -1
		if last != nil {
			if at, ok := last[k.Value]; ok {
				earlier = at
			}
			last[k.Value] = i
		} else {
			for j := i - 2; j >= 0 && earlier < 0; j -= 2 {
				if o := n.Content[j]; o.Kind == yaml.ScalarNode && o.Value == k.Value {
					earlier = j
				}
			}
		}
		if earlier < 0 {
			continue
		}
		o := n.Content[earlier]
		if !d.lastWins {
			d.errorf(k.Line, k.Column, CodeDuplicateKey, "%s is already set in line %d, and again in line %d; remove one of the two", d.quote(k.Value), o.Line, k.Line)
			continue
		}
		d.warnf(k.Line, k.Column, CodeDuplicateKey, "%s is already set in line %d, and again in line %d, which wins; remove one of the two", d.quote(k.Value), o.Line, k.Line)
		gone = append(gone, earlier)
	}
	slices.Sort(gone)
	for _, i := range slices.Backward(gone) {
		n.Content = slices.Delete(n.Content, i, i+2)
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

// members is pairs of a map that no YAML tag may stand before.
func (d *document) members(n *yaml.Node, what string) ([]pair, bool) {
	tagged := d.tagged(n, what)
	entries, ok := d.pairs(n)
	return entries, ok && !tagged
}

// pairs lists the entries of a map in the order of the file, those that its <<
// bring in where the << stands. What the map sets itself counts; of several
// merged maps the first that sets a key does. It returns false if a << refers
// to something that is no map.
func (d *document) pairs(n *yaml.Node) ([]pair, bool) {
	list := make([]pair, 0, len(n.Content)/2)
	var at map[string]int // of each key, in maps that merge
	good := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case isMerge(k):
			if at == nil {
				at = map[string]int{}
				for j, p := range list {
					at[p.key.Value] = j
				}
			}
			var ok bool
			list, ok = d.merge(list, at, v)
			good = good && ok
		case at == nil:
			list = append(list, pair{k, v})
		default:
			if j, known := at[k.Value]; known {
				list[j] = pair{k, v}
				continue
			}
			at[k.Value] = len(list)
			list = append(list, pair{k, v})
		}
	}
	return list, good
}

func isMerge(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.Tag == mergeTag && k.Style == 0
}

// merge adds the entries of what a << refers to.
func (d *document) merge(list []pair, at map[string]int, from *yaml.Node) ([]pair, bool) {
	sources := []*yaml.Node{from}
	if target(from).Kind == yaml.SequenceNode {
		sources = target(from).Content
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
			if _, known := at[p.key.Value]; !known {
				at[p.key.Value] = len(list)
				list = append(list, p)
			}
		}
	}
	return list, good
}
