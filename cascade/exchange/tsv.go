package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// Input is one file of rows; the name stands in findings.
type Input struct {
	Name string
	R    io.Reader
}

// ReadTSV reads the output of the SELECTs of docs/moving.md, in any number of
// files and in any order; files of the same or of different SELECTs may be
// joined. Users and overrides are handed over as their rows come, contexts at
// the end by their ids, as several files may tell about one. A row that is
// wrong is reported and skipped, all others count. A context that no row lists
// is not handed over, so that nothing is invented about it.
//
// Overrides have no Reason, Actor and Time: the databases do not know them.
// With a schema, values that do not fit their declaration are errors.
func ReadTSV(schema *cascade.Schema, sink Sink, inputs ...Input) ([]finding.Finding, error) {
	t := &tsvReader{schema: schema, sink: sink, seen: map[string]struct{}{}}
	for _, in := range inputs {
		if err := t.read(in); err != nil {
			return t.done(), fmt.Errorf("%s:%d: %w", in.Name, t.lines.n, err)
		}
	}
	err := t.handContexts()
	return t.done(), err
}

// tsvReader is the state over all files.
type tsvReader struct {
	report
	bounds
	schema   *cascade.Schema
	sink     Sink
	contexts contexts

	// of the file
	path   string
	lines  *tsvLines
	header *tsvHeader // nil: nothing can be made of the rows
	crlf   bool

	// of the line
	text   []byte
	fields []tsvField

	// of the subject whose rows are being read
	subject cascade.Subject
	user    cascade.Subject     // the last one handed over
	seen    map[string]struct{} // its properties
}

func (t *tsvReader) read(in Input) error {
	t.path, t.lines, t.header, t.crlf = in.Name, newLines(in.R), nil, false
	for {
		line, err := t.lines.next()
		if errors.Is(err, io.EOF) {
			if t.lines.n == 0 {
				t.warnf(0, codeEmptyFile, "the file is empty, as the client leaves it when a SELECT finds nothing; make sure that this is so")
			}
			return nil
		}
		if err != nil {
			return err
		}
		t.text = line.text
		if line.long {
			t.errorf(0, codeLineTooLong, "the line has more than %d bytes, which no row of the databases has; make the file again", maxLine)
			if t.lines.n == 1 {
				return nil
			}
			continue
		}
		if line.cut {
			t.errorf(0, codeCutOff, "the file ends in the middle of this line; make it again, and look whether the client ended with an error")
			return nil
		}
		if err := t.line(); err != nil {
			return err
		}
	}
}

// line takes a header or a row; its error is the sink's.
func (t *tsvReader) line() error {
	t.fields = splitFields(t.fields[:0], t.text)
	if t.lines.n == 1 || t.isHeader() {
		t.takeHeader()
		return nil
	}
	if t.header == nil {
		return nil
	}
	if last := &t.fields[len(t.fields)-1]; t.crlf {
		last.raw = bytes.TrimSuffix(last.raw, []byte("\r"))
	}
	if !utf8.Valid(t.text) {
		at := 0
		for r, n := utf8.DecodeRune(t.text); r != utf8.RuneError || n > 1; r, n = utf8.DecodeRune(t.text[at:]) {
			at += n
		}
		t.errorf(at, codeEncoding, "the row is not UTF-8; run the client with --default-character-set=utf8mb4")
		return nil
	}
	if len(t.fields) != t.header.n {
		t.errorf(0, codeBadRow, "the row has %d fields, and the header %d; run the client with --batch and without --raw", len(t.fields), t.header.n)
		return nil
	}
	id, ok := t.id(colContext)
	if !ok {
		return nil
	}
	if t.header.has(colUser) {
		return t.userRow(id)
	}
	return t.contextRow(id)
}

func (t *tsvReader) isHeader() bool {
	h := t.header
	if h == nil {
		h = &tsvHeader{} // any line that names cid: its first field is no number
	}
	return h.looksLikeHeader(t.fields)
}

func (t *tsvReader) takeHeader() {
	t.header = nil
	// A file that passed through Windows has CR at each end of a line; a value
	// may have one of its own.
	last := &t.fields[len(t.fields)-1]
	last.raw, t.crlf = bytes.CutSuffix(last.raw, []byte("\r"))
	h, field, problem := readHeader(t.fields)
	if problem != "" {
		t.errorf(t.fields[field].at, codeBadHeader, "%s; the rows below are skipped", problem)
		return
	}
	t.header = &h
}

// field decodes a field of the row.
func (t *tsvReader) field(col int) (text string, isNull, ok bool) {
	f := t.fields[t.header.at[col]]
	if string(f.raw) == null {
		return "", true, true
	}
	text, at, ok := f.decode()
	if !ok {
		t.errorf(at, codeBadEscape, `the client writes a backslash only in \t, \n, \\ and \0; run it with --batch and without --raw`)
	}
	return text, false, ok
}

// at is where a column of the row starts.
func (t *tsvReader) at(col int) int { return t.fields[t.header.at[col]].at }

func (t *tsvReader) id(col int) (uint32, bool) {
	id, err := cascade.ParseID(string(t.fields[t.header.at[col]].raw))
	if err != nil {
		t.errorf(t.at(col), codeBadID, "%s must be an id from 1 to %d; the row is skipped", columnNames[col], cascade.MaxID)
	}
	return id, err == nil
}

// enabled reads a BOOLEAN. NULL counts as 0, as it does for the existing system.
func (t *tsvReader) enabled() (on, ok bool) {
	switch text := string(t.fields[t.header.at[colEnabled]].raw); text {
	case "0", "1":
		return text == "1", true
	case null:
		t.warnf(t.at(colEnabled), codeNull, "enabled is NULL, which is read as disabled, as the existing system does")
		return false, true
	default:
		t.errorf(t.at(colEnabled), codeBadRow, "enabled must be 0 or 1, not %s; the row is skipped", finding.Quote(text))
		return false, false
	}
}

// attribute reads name and value; found=false if the row has none.
func (t *tsvReader) attribute() (name, value string, found bool) {
	if !t.header.has(colName) {
		return "", "", false
	}
	name, isNull, ok := t.field(colName)
	if isNull || !ok {
		return "", "", false
	}
	value, isNull, ok = t.field(colValue)
	if isNull {
		t.warnf(t.at(colValue), codeNull, "the value is read as the text NULL; if the database has none here, remove the row")
		value = null
	}
	return name, value, ok
}

const (
	configPrefix = "config/"
	typesName    = "taxonomy/types"
)

func (t *tsvReader) userRow(context uint32) error {
	id, ok := t.id(colUser)
	if !ok {
		return nil
	}
	t.contexts.hasUsers(context)
	su := cascade.Subject{Context: context, User: id}
	if t.header.has(colEnabled) && t.user != su {
		u := cascade.User{Context: context, ID: id}
		if u.Enabled, ok = t.enabled(); !ok {
			return nil
		}
		if bits, isNull, ok := t.field(colPermissions); !ok {
			return nil
		} else if !isNull {
			var err error
			if u.Permissions, err = permissionsOf(bits); err != nil {
				t.errorf(t.at(colPermissions), codeBadRow, "%s; the row is skipped", err)
				return nil
			}
		}
		if err := t.sink.User(u); err != nil {
			return err
		}
		t.user = su
	}
	name, value, found := t.attribute()
	if !found {
		return nil
	}
	return t.config(su, name, value, userValue)
}

// config takes an attribute that holds an override.
func (t *tsvReader) config(su cascade.Subject, name, value string, decode func(string) (stored, error)) error {
	property, is := strings.CutPrefix(name, configPrefix)
	if !is {
		why := "it is no property"
		if strings.EqualFold(name[:min(len(name), len(configPrefix))], configPrefix) || strings.EqualFold(name, typesName) {
			why = "the existing system does not read it in this case either"
		}
		t.warnf(t.at(colName), codeNotTakenOver, "%s is not taken over: %s", finding.Quote(name), why)
		return nil
	}
	if property == "" || strings.TrimSpace(property) != property || strings.ContainsFunc(property, unicode.IsControl) {
		t.errorf(t.at(colName), codeBadName, "%s is no name of a property: it is empty, or has control characters or white space around it; correct or remove the row", finding.Quote(property))
		return nil
	}
	if su != t.subject {
		t.subject = su
		clear(t.seen)
	}
	if _, again := t.seen[property]; again {
		t.errorf(t.at(colName), codeDuplicate, "%s is set a second time for %s; remove one of the two rows", finding.Quote(property), su)
		return nil
	}
	s, err := decode(value)
	if err != nil {
		t.errorf(t.at(colValue), codeBadValue, "%s for %s: %s", finding.Quote(property), su, err)
		return nil
	}
	if err := checkText(s.value); err != nil {
		t.errorf(t.at(colValue), codeBadValue, "%s for %s: %s; the row is skipped", finding.Quote(property), su, err)
		return nil
	}
	t.lost(colName, "property", su, property)
	t.lost(colValue, "value", su, value)
	o := cascade.Override{Key: cascade.Key{Subject: su, Property: property}, Value: s.value, Protected: s.protected}
	if s.final != "" {
		if err := cascade.CheckFinal(s.final); err != nil {
			t.errorf(t.at(colValue), codeUnknownFinal, "%s: %s", finding.Quote(property), err)
		} else {
			o.Final = s.final
		}
	}
	if s.oddBool {
		t.warnf(t.at(colValue), codeBadValue, "%s: protected is neither true nor false, and is read as false", finding.Quote(property))
	}
	if s.more {
		t.warnf(t.at(colValue), codeNotTakenOver, "%s: what stands behind the first ; is metadata to the existing system, and of that only final and protected are taken over; if it was meant as part of the value, set the value anew", finding.Quote(property))
	}
	if err := t.override(o); err != nil {
		t.errorf(t.at(colName), codeBadEntry, "%s; the row is skipped", err)
		return nil
	}
	if t.schema != nil {
		if err := t.schema.CheckValue(o.Property, o.Value); err != nil {
			// The server would refuse it, and all that comes with it.
			t.errorf(t.at(colValue), codeBadValue, "%s for %s: %s; the row is skipped", finding.Quote(property), su, err)
			return nil
		}
	}
	t.seen[property] = struct{}{}
	return t.sink.Override(o)
}

// lost warns of a text that has been through a character set which cannot hold
// it: of a name, nothing but ? is left of other letters.
func (t *tsvReader) lost(col int, what string, su cascade.Subject, text string) {
	onlyMarks := what != "value" && strings.Trim(text, "? ") == "" && strings.Contains(text, "?")
	if onlyMarks || strings.ContainsRune(text, utf8.RuneError) {
		t.warnf(t.at(col), codeEncoding, "the %s %s of %s looks as if the client had run without --default-character-set=utf8mb4: make the file again with it, and look at the row", what, finding.Quote(text), su)
	}
}

// tagsOf splits a list of types. A word that is no tag is left out: no
// expression can name it, in the existing system neither.
func (t *tsvReader) tagsOf(list string) (tags []string) {
	for tag := range strings.SplitSeq(list, ",") {
		if tag = trim(tag); tag == "" {
			continue
		}
		if !tagexpr.ValidTag(tag) {
			t.warnf(t.at(colValue), codeBadTag, "%s is no tag that an expression can name (no white space, no control characters and none of & | ! ( )), and is left out", finding.Quote(tag))
			continue
		}
		tags = append(tags, tag)
	}
	return tags
}

// errorf reports at an offset of the line.
func (t *tsvReader) errorf(at int, code, format string, args ...any) {
	t.found(finding.Error, at, code, format, args)
}

func (t *tsvReader) warnf(at int, code, format string, args ...any) {
	t.found(finding.Warning, at, code, format, args)
}

func (t *tsvReader) found(severity finding.Severity, at int, code, format string, args []any) {
	t.add(finding.Finding{
		Path: t.path, Line: t.lines.n, Col: utf8.RuneCount(t.text[:min(at, len(t.text))]) + 1,
		Severity: severity, Code: code, Text: fmt.Sprintf(format, args...),
	})
}
