package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/secret"
)

// isList reports whether a value is a list of which the existing system takes
// the text. A directory file is Sluice's own: there a list is a list.
func (d *document) isList(n *yaml.Node) bool {
	return d.lastWins && target(n).Kind == yaml.SequenceNode
}

// listText is what the existing system makes of a list where a text is
// expected: its items in brackets. It returns false after an entry error.
func (d *document) listText(n *yaml.Node, name string, depth int) (string, bool) {
	n = target(n)
	if depth > MaxDepth || d.tagged(n, "the list") {
		return "", false
	}
	items := make([]string, 0, len(n.Content))
	size := len("[]")
	for _, item := range n.Content {
		var text string
		ok := true
		if target(item).Kind == yaml.SequenceNode {
			text, ok = d.listText(item, name, depth+1)
		} else {
			text, ok = d.itemText(item, name)
		}
		if size += len(text) + len(", "); size > MaxValue {
			d.errorf(n.Line, n.Column, CodeTooLong, "the list has more than %d bytes; shorten it", MaxValue)
			ok = false
		}
		if !ok {
			return "", false
		}
		items = append(items, text)
	}
	return "[" + strings.Join(items, ", ") + "]", true
}

func (d *document) itemText(n *yaml.Node, name string) (string, bool) {
	text, c, ok := d.scalar(n, "an item of the list")
	switch {
	case !ok:
		return "", false
	case c == classNull:
		return "null", true
	case c == classWord:
		return words[text], true
	}
	d.warnYAML11(n, text, c, name)
	return text, true
}

// show quotes a value for a finding, without what is secret of it.
func (d *document) show(name, text string) string {
	return finding.Quote(secret.Show(name, text, nil))
}
