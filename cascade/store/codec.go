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

// maxTexts bounds the texts that a start remembers: properties, actors and
// reasons come again, values may not.
const maxTexts = 4096

// texts are strings that are made once. nil remembers none.
type texts map[string]string

func (t texts) of(b []byte) string {
	if s, ok := t[string(b)]; ok {
		return s
	}
	s := string(b)
	if t != nil && len(t) < maxTexts {
		t[s] = s
	}
	return s
}

// decode reads the value of a record.
func decode(k Key, b []byte, known texts) (*Record, error) {
	d := decoder{b: b, known: known}
	if d.octet() != formRecord {
		return nil, errBadRecord
	}
	r := &Record{Key: k, State: State{Revision: d.number()}}
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
		r.Body = &Override{
			Protected: flags&flagProtected != 0, Value: d.text(), Final: d.text(), Reason: d.text(), Actor: d.text(),
			Time: d.instant(), Expires: d.time(),
		}
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
	known texts
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

// instant is a time that is always there.
func (d *decoder) instant() time.Time {
	if t := d.time(); t != nil {
		return *t
	}
	return time.Time{}
}

func (d *decoder) time() *time.Time {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return nil
	}
	d.b = d.b[size:]
	if n == math.MinInt64 {
		return nil
	}
	t := time.UnixMilli(n).UTC()
	return &t
}
