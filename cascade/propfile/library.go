package propfile

import (
	"maps"
	"strings"

	"github.com/magiconair/properties"
)

// prepare appends an entry to the text for the library, in the form in which
// the library (v1.18.12) reads it as Java does: one line, as it loses CRLF
// continuation and continuation in keys; LF at its end, as a missing one and a
// trailing backslash lose the whole file; surrogate pairs as the character
// they mean, as it decodes the halves one by one. Everything else, from
// separators to escapes, is left for it to read.
//
// Only entries without errors come here: the library leaks a goroutine for
// each text that it refuses.
func (p *parser) prepare(l *logicalLine) {
	if len(p.prepared) == 0 {
		// The library strips a byte order mark, of which one has gone already:
		// a second one belongs to the key.
		p.prepared = append(make([]byte, 0, len(p.lines.src.text)/2), '\n')
	}
	if l.pairs {
		p.prepared = appendJoinedPairs(p.prepared, l.text)
	} else {
		p.prepared = append(p.prepared, l.text...)
	}
	p.prepared = append(p.prepared, '\n')
}

func appendJoinedPairs(out []byte, text string) []byte {
	for {
		slash := strings.IndexByte(text, '\\')
		if slash < 0 {
			return append(out, text...)
		}
		out = append(out, text[:slash]...)
		text = text[slash:]
		r, n, _ := readEscape(text)
		if n == 2*escapeLen {
			out = append(out, string(r)...)
		} else {
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
}

// unambiguous reports whether a text is printable ASCII in lines, without a backslash.
// Nothing in it can be read in two ways but the end of a key, so the library is
// not asked, which would take as long as everything else: the tests ask it.
func unambiguous(text string) bool {
	for i := range len(text) {
		if c := text[i]; c == '\\' || c != '\n' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// askLibrary parses the prepared text and compares. The check is what makes an
// update of the library, or a mistake in the scan, an error instead of a wrong
// value.
func (p *parser) askLibrary() {
	if len(p.entries) == 0 {
		return
	}
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	props, err := loader.LoadBytes(p.prepared)
	if err != nil {
		// The error text repeats the file's contents, secrets included.
		p.fail(0, 0, codeDisagreement, "the properties library refuses a text that the scan accepts; please report this file")
		return
	}
	if !agree(props, p.raw) {
		p.fail(0, 0, codeDisagreement, "the properties library and the scan read different entries; please report this file")
	}
}

// agree compares key by key. A file without duplicates, which is nearly every
// file, needs no map of its own for that: the library's keys are distinct and
// in the order of the file.
func agree(props *properties.Properties, raw []rawEntry) bool {
	if props.Len() != len(raw) {
		last := make(map[string]string, props.Len())
		for _, e := range raw {
			last[e.key] = e.value
		}
		return maps.Equal(props.Map(), last)
	}
	for i, key := range props.Keys() {
		// With expansion off, Get is a look-up.
		if value, _ := props.Get(key); key != raw[i].key || value != raw[i].value {
			return false
		}
	}
	return true
}
