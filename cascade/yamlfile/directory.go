package yamlfile

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// ParseDirectory reads a directory file: contexts, their users, tags and
// overrides. ok=false is a file error. Otherwise a context, user or override
// with anything wrong in it has an error in fs and is left out, and nothing
// else is; a caller that writes the result anywhere must refuse it when
// finding.HasErrors(fs), since whom the file does not name is not restricted.
// Tokens are not known here: values of a directory come from the API as well.
func ParseDirectory(path string, data []byte) ([]Context, []finding.Finding, bool) {
	if contexts, fs, ok := directoryInPieces(path, data); ok {
		return contexts, fs, true
	}
	return wholeDirectory(path, data)
}

func wholeDirectory(path string, data []byte) ([]Context, []finding.Finding, bool) {
	d, ok := open(path, data, directoryFile)
	if !ok || d.root == nil {
		return nil, d.done(), ok
	}
	var list *yaml.Node
	d.fields(d.root, "directory file", func(name string, p pair) bool {
		if name == "contexts" {
			list = p.value
			return true
		}
		return false
	})
	items, ok := d.items(list, "contexts")
	if !ok {
		return nil, d.done(), false
	}
	r := contextReader{document: d}
	r.read(items)
	return r.list, d.done(), true
}

// contextReader reads the contexts of a file, in one part or several.
type contextReader struct {
	*document
	list  []Context
	known map[int]int // line of each id
}

func (r *contextReader) read(items []*yaml.Node) {
	if r.known == nil {
		r.known = make(map[int]int, len(items))
		r.list = make([]Context, 0, len(items))
	}
	for _, n := range items {
		if c, ok := r.context(target(n)); ok && r.firstOf(r.known, n, "context", c.ID) {
			r.list = append(r.list, c)
		}
	}
}

// fields calls f for each field of a map; f returns false for one it does not
// know. The result is false if anything is wrong with the fields' names.
func (d *document) fields(n *yaml.Node, what string, f func(name string, p pair) bool) bool {
	if n.Kind != yaml.MappingNode {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "this %s is %s; it must be a map", what, kindName(n))
		return false
	}
	entries, good := d.pairs(n)
	good = good && !d.tagged(n, "this "+what)
	for _, p := range entries {
		name, ok := d.key(p.key)
		if !ok {
			good = false
			continue
		}
		if !f(name, p) {
			d.errorf(p.key.Line, p.key.Column, CodeUnknownField, "a %s has no field %s; remove it or correct its name", what, finding.Quote(name))
			good = false
		}
	}
	return good
}

// items lists a sequence; none at all is an empty one.
func (d *document) items(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	if n == nil {
		return nil, true
	}
	n = target(n)
	if n.Kind == yaml.SequenceNode && !d.tagged(n, what) {
		return n.Content, true
	}
	if n.Kind == yaml.ScalarNode && d.classOf(n) == classNull {
		return nil, true
	}
	d.errorf(n.Line, n.Column, CodeBadDirectory, "%s is %s; it must be a list", what, kindName(n))
	return nil, false
}

// firstOf reports whether an id occurs for the first time.
func (d *document) firstOf(known map[int]int, n *yaml.Node, what string, id int) bool {
	if line, again := known[id]; again {
		d.errorf(n.Line, n.Column, CodeDuplicateID, "%s %d is already defined in line %d, and again in line %d; join the two", what, id, line, n.Line)
		return false
	}
	known[id] = n.Line
	return true
}

func (d *document) context(n *yaml.Node) (Context, bool) {
	c := Context{Enabled: true, Line: n.Line}
	good := true
	all := d.fields(n, "context", func(name string, p pair) bool {
		ok := true
		switch name {
		case "id":
			c.ID, ok = d.id(p.value)
		case "known":
			c.Unknown, ok = d.unknown(p.value)
		case "name":
			c.Name, _, ok = d.verbatim(p.value, "name")
		case "logins":
			c.Logins, ok = d.texts(p.value, "logins")
		case "enabled":
			c.Enabled, ok = d.enabled(p.value, "enabled", true)
		case "tags":
			c.Tags, ok = d.words(p.value, "tags", tagexpr.ValidTag)
		case "config":
			c.Config, ok = d.config(p.value)
		case "users":
			c.Users, ok = d.users(p.value)
		default:
			return false
		}
		good = good && ok
		return true
	})
	if c.Unknown && good && (c.Name != "" || len(c.Logins) > 0 || !c.Enabled || len(c.Tags) > 0) {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "a context with `known: false` has no name, logins, enabled or tags; remove them, or known")
		good = false
	}
	return c, d.hasID(n, "context", c.ID, good && all)
}

func (d *document) users(n *yaml.Node) ([]User, bool) {
	items, ok := d.items(n, "users")
	if !ok {
		return nil, false
	}
	users := make([]User, 0, len(items))
	known := make(map[int]int, len(items))
	for _, item := range items {
		if u, ok := d.user(target(item)); ok && d.firstOf(known, item, "user", u.ID) {
			users = append(users, u)
		}
	}
	return users, true
}

func (d *document) user(n *yaml.Node) (User, bool) {
	u := User{Enabled: true, Line: n.Line}
	good := true
	all := d.fields(n, "user", func(name string, p pair) bool {
		ok := true
		switch name {
		case "id":
			u.ID, ok = d.id(p.value)
		case "known":
			u.Unknown, ok = d.unknown(p.value)
		case "enabled":
			u.Enabled, ok = d.enabled(p.value, "enabled", true)
		case "permissions":
			u.Permissions, ok = d.words(p.value, "permissions", tagexpr.ValidTag)
		case "login":
			u.Login, _, ok = d.verbatim(p.value, "login")
		case "mail":
			u.Mails, ok = d.texts(p.value, "mail")
		case "displayName":
			u.DisplayName, _, ok = d.verbatim(p.value, "displayName")
		case "config":
			u.Config, ok = d.config(p.value)
		default:
			return false
		}
		good = good && ok
		return true
	})
	if u.Unknown && good && (!u.Enabled || len(u.Permissions) > 0 || u.Login != "" || len(u.Mails) > 0 || u.DisplayName != "") {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "a user with `known: false` has no enabled, permissions or names; remove them, or known")
		good = false
	}
	return u, d.hasID(n, "user", u.ID, good && all)
}

func (d *document) hasID(n *yaml.Node, what string, id int, good bool) bool {
	if good && id == 0 {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "this %s has no id; add `id: N`", what)
		return false
	}
	return good
}

func (d *document) id(n *yaml.Node) (int, bool) {
	text, _, ok := d.scalar(n, "id")
	if !ok {
		return 0, false
	}
	n = target(n)
	// ParseUint refuses a sign; a leading 0 could mean octal to the writer.
	id, err := strconv.ParseUint(text, 10, 31)
	if err != nil || id == 0 || text[0] == '0' {
		d.errorf(n.Line, n.Column, CodeBadDirectory, "id must be an integer from 1 to %d, not %s", MaxID, finding.Quote(text))
		return 0, false
	}
	return int(id), true
}

// unknown reads `known`.
func (d *document) unknown(n *yaml.Node) (unknown, ok bool) {
	known, ok := d.enabled(n, "known", true)
	return ok && !known, ok
}

// enabled reads a boolean; null is the default.
func (d *document) enabled(n *yaml.Node, what string, fallback bool) (bool, bool) {
	text, c, ok := d.scalar(n, what)
	if !ok {
		return false, false
	}
	switch c {
	case classNull:
		return fallback, true
	case classWord:
		text = words[text]
	}
	b, ok := boolean(text)
	if !ok {
		n = target(n)
		d.errorf(n.Line, n.Column, CodeBadDirectory, "%s must be true or false, not %s", what, finding.Quote(text))
	}
	return b, ok
}

// texts reads a list of texts, or a single one.
func (d *document) texts(n *yaml.Node, what string) ([]string, bool) {
	n = target(n)
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var list []string
	good := true
	for _, item := range items {
		text, defined, ok := d.verbatim(item, what)
		if good = good && ok; ok && defined {
			list = append(list, text)
		}
	}
	return list, good
}

// words reads a list of names, or a comma list of them.
func (d *document) words(n *yaml.Node, what string, valid func(string) bool) ([]string, bool) {
	n = target(n)
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var list []string
	good := true
	for _, item := range items {
		text, defined, ok := d.verbatim(item, what)
		good = good && ok
		if !defined {
			continue
		}
		item = target(item)
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word == "" {
				continue
			}
			if !valid(word) {
				d.errorf(item.Line, item.Column, CodeBadTag, "%s: %s is no legal word here (no white space and none of & | ! ( )); correct it", what, finding.Quote(word))
				good = false
				continue
			}
			d.checkTag(word, item.Line, item.Column)
			list = append(list, word)
		}
	}
	return list, good
}
