package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxLine is the length of a line in bytes. A value is a TEXT of at most 65,535
// bytes, of which each may be written as two; the rest is names and numbers.
const maxLine = 256 << 10

// null is how the client prints NULL. The text NULL looks the same, so the
// SELECTs leave out rows whose value is NULL.
const null = "NULL"

var utf8BOM = []byte("\ufeff")

// tsvLine is one line of a file, without its end. The text is valid until the
// next line is read.
type tsvLine struct {
	text []byte
	long bool // over maxLine: without text
	cut  bool // the file ended before the line did
}

// tsvLines reads lines and counts them.
type tsvLines struct {
	in *bufio.Reader
	n  int // of the last line, from 1
}

func newLines(r io.Reader) *tsvLines {
	return &tsvLines{in: bufio.NewReaderSize(r, maxLine+len("\n"))}
}

// next returns io.EOF after the last line.
func (l *tsvLines) next() (tsvLine, error) {
	text, err := l.in.ReadSlice('\n')
	line := tsvLine{text: text}
	if errors.Is(err, bufio.ErrBufferFull) {
		line.long, line.text = true, nil // what is discarded overwrites it
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.in.ReadSlice('\n')
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		if len(text) == 0 {
			return line, io.EOF
		}
		line.cut = true
	case err != nil:
		return line, err
	}
	l.n++
	if l.n == 1 {
		line.text = bytes.TrimPrefix(line.text, utf8BOM)
	}
	line.text = bytes.TrimSuffix(line.text, []byte("\n"))
	return line, nil
}

// tsvField is one field of a line, as printed.
type tsvField struct {
	raw []byte
	at  int // offset in the line, in bytes
}

// splitFields appends the fields of a line.
func splitFields(fields []tsvField, line []byte) []tsvField {
	at := 0
	for {
		end := bytes.IndexByte(line[at:], '\t')
		if end < 0 {
			return append(fields, tsvField{line[at:], at})
		}
		fields = append(fields, tsvField{line[at : at+end], at})
		at += end + 1
	}
}

// decode undoes the escapes of the client; at is where one stands that it does
// not write.
func (f tsvField) decode() (text string, at int, ok bool) {
	slash := bytes.IndexByte(f.raw, '\\')
	if slash < 0 {
		return string(f.raw), 0, true
	}
	var b strings.Builder
	b.Grow(len(f.raw))
	rest := f.raw
	for ; slash >= 0; slash = bytes.IndexByte(rest, '\\') {
		b.Write(rest[:slash])
		rest = rest[slash+1:]
		c := byte(0)
		if len(rest) > 0 {
			c = rest[0]
		}
		switch c {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case '\\':
			b.WriteByte('\\')
		case '0':
			b.WriteByte(0)
		default:
			return "", f.at + len(f.raw) - len(rest) - 1, false
		}
		rest = rest[1:]
	}
	b.Write(rest)
	return b.String(), 0, true
}

// The columns that the SELECTs give.
const (
	colContext = iota
	colUser
	colContextName
	colEnabled
	colPermissions
	colName
	colValue
	columns
)

var columnNames = [columns]string{"cid", "id", "context_name", "enabled", "permissions", "name", "value"}

// tsvHeader tells where each column stands, -1 where it is not there.
type tsvHeader struct {
	at [columns]int
	n  int // number of columns
}

func (h *tsvHeader) has(col int) bool { return h.at[col] >= 0 }

// looksLikeHeader tells a header in the midst of a file, where files were
// joined, from a row: no row has the word cid where it should have numbers.
func (h *tsvHeader) looksLikeHeader(fields []tsvField) bool {
	number := func(col int) bool {
		i := h.at[col]
		return i < 0 || i < len(fields) && len(fields[i].raw) > 0 && fields[i].raw[0] >= '0' && fields[i].raw[0] <= '9'
	}
	if number(colContext) && number(colUser) {
		return false
	}
	for _, f := range fields {
		if string(f.raw) == columnNames[colContext] {
			return true
		}
	}
	return false
}

// readHeader returns what is wrong and what to do, or "".
func readHeader(fields []tsvField) (h tsvHeader, field int, problem string) {
	for i := range h.at {
		h.at[i] = -1
	}
	h.n = len(fields)
	for i, f := range fields {
		col := -1
		for c, name := range columnNames {
			if string(f.raw) == name {
				col = c
			}
		}
		switch {
		case col < 0 && i == 0:
			return h, i, "no header stands here; run the client with --batch and without --skip-column-names, --raw or --table"
		case col < 0:
			return h, i, "the header names a column that is not known; run the SELECT of docs/moving.md unchanged"
		case h.has(col):
			return h, i, "the header names a column twice; run the SELECT of docs/moving.md unchanged"
		}
		h.at[col] = i
	}
	return h, 0, h.fit()
}

// fit holds the columns to those that make sense together. Without enabled, an
// entry would be switched on whatever it was.
func (h *tsvHeader) fit() string {
	const again = "; run the SELECT of docs/moving.md unchanged"
	attributes := h.has(colName)
	switch {
	case !h.has(colContext):
		return "the column cid is missing" + again
	case attributes != h.has(colValue):
		return "of the columns name and value one is missing" + again
	case h.has(colUser) && h.has(colContextName):
		return "the columns id and context_name do not go together" + again
	case h.has(colUser) && h.has(colEnabled) != h.has(colPermissions):
		return "of the columns enabled and permissions one is missing" + again
	case !h.has(colUser) && h.has(colPermissions):
		return "the column id is missing" + again
	case !h.has(colUser) && h.has(colEnabled) != h.has(colContextName):
		return "of the columns context_name and enabled one is missing" + again
	case !attributes && !h.has(colEnabled):
		return "the columns name and value are missing" + again
	}
	return ""
}
