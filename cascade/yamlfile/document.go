package yamlfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is one parsed file.
type document struct {
	report
	mask
	root      *yaml.Node // nil if the file is empty or holds comments only
	starts    []int      // see lines; a file without findings never needs it
	marks     map[int][]int
	aliases   bool                // the file uses aliases
	tree      bool                // see options
	hasTokens bool                // tokens are known in this kind of file
	bareBangs bool                // the file may hold the tag "!", which nodes do not show
	hasTabs   bool                // the file holds tabs, and the existing system reads it
	lastWins  bool                // of a key that a map has twice; else it is an error
	broken    map[*yaml.Node]bool // keys of the top level whose entry is unusable
}

// options tell the files of the tree from the directory file.
type options struct {
	limit int // bytes
	// tree is for files of the tree, which the existing system reads, too:
	// `{{ … }}` may stand in scalars, directives and keys that are set twice
	// mean what they mean there.
	tree bool
}

var (
	treeFile      = options{limit: MaxFile, tree: true}
	directoryFile = options{limit: MaxDirectoryFile}
)

// open reads a file whose top level must be a map. It returns false for a file
// error, which is then in the report.
func open(path string, data []byte, o options) (*document, bool) {
	d := newDocument(path, o)
	text, ok := d.decode(data, o.limit)
	return d, ok && d.open(text)
}

func newDocument(path string, o options) *document {
	return &document{report: report{path: path}, hasTokens: o.tree, lastWins: o.tree, tree: o.tree}
}

// start takes the text of the file, before it is parsed.
func (d *document) start(text string) (ok bool) {
	d.mask = mask{text: text}
	if d.tree {
		if d.mask, ok = maskTokens(text); !ok {
			d.errorf(0, 0, CodeTooManyLetters, "the file uses so many different letters that its {{ }} tokens cannot be told from them; split it")
			return false
		}
		d.text = hideDirectives(d.text)
	}
	d.hasTabs = d.tree && strings.Contains(d.text, "\t")
	d.bareBangs = strings.Contains(d.text, "! ") || strings.Contains(d.text, "!\t") || strings.Contains(d.text, "!\n") || strings.Contains(d.text, "!\r")
	return true
}

// open parses the text of the file.
func (d *document) open(text string) bool {
	if !d.start(text) {
		return false
	}
	if !d.parse() || d.root == nil {
		return d.errors == 0
	}
	if !d.checkTree() {
		return false
	}
	if root := target(d.root); root.Kind == yaml.ScalarNode && d.classOf(root) == classNull {
		d.root = nil
		return true
	}
	if d.root.Kind != yaml.MappingNode {
		d.errorf(d.root.Line, d.root.Column, CodeNotMap, "the top level is %s; it must be a map of `name: …` lines", kindName(d.root))
		return false
	}
	return true
}

func (d *document) parse() (ok bool) {
	defer func() {
		// The parser reports errors by panicking inside; what it does not
		// recover from itself must not take the reader down.
		if p := recover(); p != nil {
			d.errorf(0, 0, CodeSyntax, "the YAML parser gave up: %.100s; simplify the file", fmt.Sprint(p))
			ok = false
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(d.text))
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return true
	} else if err != nil {
		d.syntaxError(err)
		return false
	}
	if err := dec.Decode(&second); err == nil {
		d.errorf(second.Line, second.Column, CodeSecondDocument, "a second document starts here; remove the line --- or move what follows into a file of its own")
		return false
	} else if !errors.Is(err, io.EOF) {
		d.syntaxError(err)
		return false
	}
	if len(first.Content) > 0 {
		d.root = first.Content[0]
	}
	return true
}

// lines is where each line of the masked text starts, in bytes.
func (d *document) lines() []int {
	if d.starts == nil {
		d.starts = lineStarts(d.text)
	}
	return d.starts
}

// lineStarts splits as the parser counts lines: at LF, CR, CR LF and the line
// breaks of Unicode.
func lineStarts(text string) []int {
	starts := []int{0}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r' && (i+1 == len(text) || text[i+1] != '\n'):
			starts = append(starts, i+1)
		case c >= utf8.RuneSelf:
			switch r, size := utf8.DecodeRuneInString(text[i:]); r {
			case nextLine, lineSeparator, paragraphSeparator:
				starts = append(starts, i+size)
			}
		}
	}
	return starts
}

// line is a line of the masked text, from 1, with its break; empty if there is
// no such line.
func (d *document) line(n int) string {
	lines := d.lines()
	if n < 1 || n > len(lines) {
		return ""
	}
	start, end := lines[n-1], len(d.text)
	if n < len(lines) {
		end = lines[n]
	}
	return d.text[start:end]
}

// markEvery is how many characters of a long line lie between two marks, so
// that a file of one line does not cost its square.
const markEvery = 256

// from is a line of the masked text from a column on.
func (d *document) from(line, col int) string {
	s := d.line(line)
	if col > markEvery {
		marks := d.marksOf(line, s)
		at := min((col-1)/markEvery, len(marks)-1)
		s, col = s[marks[at]:], col-at*markEvery
	}
	for ; col > 1 && s != ""; col-- {
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
	return s
}

// marksOf lists the byte offset of every markEvery-th character of a line.
func (d *document) marksOf(line int, s string) []int {
	if marks, ok := d.marks[line]; ok {
		return marks
	}
	var marks []int
	n := 0
	for i := range s {
		if n%markEvery == 0 {
			marks = append(marks, i)
		}
		n++
	}
	if marks == nil {
		marks = []int{0}
	}
	if d.marks == nil {
		d.marks = map[int][]int{}
	}
	d.marks[line] = marks
	return marks
}

// place turns an offset of the masked text into line and column.
func (d *document) place(offset int) (line, col int) {
	lines := d.lines()
	i, found := slices.BinarySearch(lines, offset)
	if !found {
		i--
	}
	return i + 1, 1 + utf8.RuneCountInString(d.text[lines[i]:offset])
}

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch target(n).Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
