package store

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// The values in the buckets of records: a byte for the form, the revision, the
// flags, and the fields in their order. A start reads a million of them.
const (
	formRecord = 1

	flagDeleted   = 1 << 0
	flagEnabled   = 1 << 1
	flagProtected = 1 << 2
	flagNames     = 1 << 3 // of a user, and login mappings of a context: they follow
)

var errBadRecord = errors.New("a record of the store does not parse")

// encode returns the value of a record.
func (r *Record) encode() []byte {
	b := append(make([]byte, 0, 64), formRecord)
	b = binary.AppendUvarint(b, r.Revision)
	flags := byte(0)
	set := func(yes bool, flag byte) {
		if yes {
			flags |= flag
		}
	}
	set(r.Deleted, flagDeleted)
	switch body := r.Body.(type) {
	case *Context:
		set(body.Enabled, flagEnabled)
		set(len(body.Logins) > 0, flagNames)
		b = appendList(appendText(append(b, flags), body.Name), body.Tags)
		if len(body.Logins) > 0 {
			b = appendList(b, body.Logins)
		}
	case *User:
		named := body.Login != "" || len(body.Mails) > 0 || body.DisplayName != ""
		set(body.Enabled, flagEnabled)
		set(named, flagNames)
		b = appendList(append(b, flags), body.Permissions)
		if named {
			b = appendText(appendList(appendText(b, body.Login), body.Mails), body.DisplayName)
		}
	case *Override:
		set(body.Protected, flagProtected)
		b = appendText(append(b, flags), body.Value)
		b = appendText(appendText(appendText(b, body.Final), body.Reason), body.Actor)
		b = appendTime(appendTime(b, &body.Time), body.Expires)
	case *Token:
		b = appendText(appendText(append(b, flags), body.Role), string(body.Hash))
		b = appendTime(appendTime(appendText(b, body.Actor), &body.Created), body.Expires)
	default:
		b = append(b, flags)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendList(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

// appendTime writes Unix milliseconds; no time is the smallest number.
func appendTime(b []byte, t *time.Time) []byte {
	if t == nil {
		return binary.AppendVarint(b, math.MinInt64)
	}
	return binary.AppendVarint(b, t.UnixMilli())
}

const (
	// maxTexts bounds the texts that a start remembers: properties, actors and
	// reasons come again, values may not.
	maxTexts = 4096
	// lastTexts is how many of them are found by their length alone.
	lastTexts = 64
)

// texts are strings that are made once, and the memory of the records that one
// start reads, one after the other. nil remembers none.
type texts struct {
	known    map[string]string
	last     [lastTexts]string // of each length, the one that came last
	record   Record
	override Override
}

func (t *texts) of(b []byte) string {
	if t == nil || len(b) == 0 {
		return string(b)
	}
	last := &t.last[len(b)%lastTexts]
	if *last == string(b) {
		return *last
	}
	s, ok := t.known[string(b)]
	if !ok {
		s = string(b)
		if t.known == nil {
			t.known = make(map[string]string)
		}
		if len(t.known) < maxTexts {
			t.known[s] = s
		}
	}
	*last = s
	return s
}

// recordOf and overrideOf are where a record is read into.
func (t *texts) recordOf() *Record {
	if t == nil {
		return new(Record)
	}
	return &t.record
}

func (t *texts) overrideOf() *Override {
	if t == nil {
		return new(Override)
	}
	return &t.override
}

// decode reads the value of a record.
func decode(k Key, b []byte, known *texts) (*Record, error) {
	d := decoder{b: b, known: known}
	if d.octet() != formRecord {
		return nil, errBadRecord
	}
	r := known.recordOf()
	*r = Record{Key: k, State: State{Revision: d.number()}}
	flags := d.octet()
	r.Deleted = flags&flagDeleted != 0
	switch {
	case r.Deleted:
	case k.Kind == KindContext:
		c := &Context{Enabled: flags&flagEnabled != 0, Name: d.text(), Tags: d.list()}
		if flags&flagNames != 0 {
			c.Logins = d.list()
		}
		r.Body = c
	case k.Kind == KindUser:
		u := &User{Enabled: flags&flagEnabled != 0, Permissions: d.list()}
		if flags&flagNames != 0 {
			u.Login, u.Mails, u.DisplayName = d.own(), d.owns(), d.own()
		}
		r.Body = u
	case k.Kind == KindOverride:
		o := known.overrideOf()
		*o = Override{
			Protected: flags&flagProtected != 0, Value: d.text(), Final: d.text(), Reason: d.text(), Actor: d.text(),
			Time: d.instant(), Expires: d.time(),
		}
		r.Body = o
	case k.Kind == KindToken:
		r.Body = &Token{Role: d.text(), Hash: []byte(d.text()), Actor: d.text(), Created: d.instant(), Expires: d.time()}
	}
	if d.bad || len(d.b) > 0 {
		return nil, errBadRecord
	}
	return r, nil
}

// decoder reads fields; after one that is not there all are empty.
type decoder struct {
	b     []byte
	bad   bool
	known *texts
}

func (d *decoder) octet() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := d.known.of(d.b[:n])
	d.b = d.b[n:]
	return s
}

// own is a text that hardly comes again: it is not remembered.
func (d *decoder) own() string {
	known := d.known
	d.known = nil
	defer func() { d.known = known }()
	return d.text()
}

func (d *decoder) owns() []string {
	known := d.known
	d.known = nil
	defer func() { d.known = known }()
	return d.list()
}

func (d *decoder) list() []string {
	n := d.number()
	if n > uint64(len(d.b)) { // each has a byte at least
		d.bad, d.b = true, nil
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

// instant is a time; zero where there is none.
func (d *decoder) instant() time.Time {
	t, _ := d.moment()
	return t
}

func (d *decoder) time() *time.Time {
	t, ok := d.moment()
	if !ok {
		return nil
	}
	at := t // t alone would be made also where there is no time
	return &at
}

func (d *decoder) moment() (t time.Time, ok bool) {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return t, false
	}
	d.b = d.b[size:]
	if n == math.MinInt64 {
		return t, false
	}
	return time.UnixMilli(n).UTC(), true
}
