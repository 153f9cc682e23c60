package yamlfile

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Most of what reading a large directory file costs is memory: the parser makes a
// node of 176 bytes of each value. A file in the usual form is therefore parsed in
// pieces, some contexts at a time.
const (
	// wholeBelow is the size of a file, in bytes, that is parsed at once.
	wholeBelow = 64 << 10
	// pieceBytes is about how much a piece has: its nodes fit into a cache.
	pieceBytes = 32 << 10
	// listDepth is how deep the list of contexts is.
	listDepth = 2
)

const (
	contextsLine = "contexts:"
	itemDash     = "- "
)

// piece is a part of a text: items of the list of contexts.
type piece struct {
	text  string
	lines int // before it
}

// pieces cuts a directory file before items of its list. It returns nil for one
// that has another form than a line `contexts:` and a list of which each item
// begins in the same column.
//
// A line that begins there with a dash ends all that is indented further, whatever
// it is, but a quoted text or a flow that is not closed; then the piece before it
// does not parse.
func pieces(text string) (list []piece) {
	if strings.ContainsAny(text, "\r\u0085\u2028\u2029") {
		return nil
	}
	dash := "" // of an item, with its indentation
	start, startLine, at, n := 0, 0, 0, 0
	for line := range strings.Lines(text) {
		body := strings.TrimLeft(line, " ")
		blank := body == "\n" || body == "" || body[0] == '#'
		switch {
		case blank:
		case start == 0:
			if strings.TrimRight(line, " \n") != contextsLine {
				return nil
			}
			start, startLine = at+len(line), n+1
		case dash == "":
			if !strings.HasPrefix(body, itemDash) {
				return nil
			}
			dash = line[:len(line)-len(body)] + itemDash
		case len(line)-len(body) < len(dash)-len(itemDash), body == line && !strings.HasPrefix(line, itemDash):
			return nil // the list has ended
		case at-start >= pieceBytes && strings.HasPrefix(line, dash):
			list = append(list, piece{text[start:at], startLine})
			start, startLine = at, n
		}
		at += len(line)
		n++
	}
	if dash == "" {
		return nil
	}
	return append(list, piece{text[start:], startLine})
}

// errWhole says that a file is to be parsed at once: it has something that
// concerns more than one piece, or an error, which is told with all around it.
var errWhole = errors.New("the file is parsed at once")

// directoryInPieces reads a directory file in pieces. It reports false for a file
// that has another form, or anything wrong: that is told by wholeDirectory.
func directoryInPieces(path string, data []byte) ([]Context, []finding.Finding, bool) {
	if len(data) < wholeBelow {
		return nil, nil, false
	}
	d := newDocument(path, directoryFile)
	text, ok := d.decode(data, directoryFile.limit)
	if !ok || !d.start(text) {
		return nil, nil, false
	}
	r := contextReader{document: d}
	for _, p := range pieces(text) {
		items, err := d.parsePiece(p)
		if err != nil {
			return nil, nil, false
		}
		if r.read(items); d.errors > 0 {
			return nil, nil, false
		}
	}
	return r.list, d.done(), r.list != nil
}

// parsePiece returns the items of a piece, with their lines in the file.
func (d *document) parsePiece(p piece) (items []*yaml.Node, err error) {
	defer func() {
		if recover() != nil { // as in parse, which tells it
			err = errWhole
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(p.text))
	var first, second yaml.Node
	if err := dec.Decode(&first); err != nil {
		return nil, errWhole
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) || len(first.Content) == 0 {
		return nil, errWhole
	}
	root := first.Content[0]
	if root.Kind != yaml.SequenceNode || root.Style != 0 || root.Anchor != "" {
		return nil, errWhole
	}
	move(root, p.lines)
	if !d.checkNode(root, listDepth) || d.aliases || d.errors > 0 {
		return nil, errWhole
	}
	return root.Content, nil
}

// move adds to the lines of a node and of all below.
func move(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		move(c, lines)
	}
}
