// Package people finds contexts and users by their names: by the beginning of a
// login, of a mail address, or of any word of a name, in any letter case. It
// holds millions of them in memory and answers a page in microseconds.
package people

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of the names of one context or user; the existing platform's columns
// are shorter.
const (
	MaxText   = 320  // bytes of one login, address or mapping
	MaxName   = 4096 // bytes of a name
	MaxLogins = 64   // login mappings of a context
	MaxMails  = 64   // addresses of a user
	maxWords  = 8    // words of a name by which it is found
)

// Names are how people call a context or a user. A user has a Login, Mails and a
// Name (the display name); a context a Name and Logins (its login mappings).
// All may be empty, and none needs to be unique.
type Names struct {
	Login  string
	Logins []string
	Mails  []string
	Name   string
}

// Check refuses names that are out of bounds, and logins and addresses that hold
// control characters.
func (n *Names) Check() error {
	if len(n.Logins) > MaxLogins || len(n.Mails) > MaxMails {
		return fmt.Errorf("%d login mappings and %d mail addresses: at most %d and %d", len(n.Logins), len(n.Mails), MaxLogins, MaxMails)
	}
	for _, f := range n.fields() {
		limit := MaxText
		if f.kind == kindName {
			limit = MaxName
		}
		switch {
		case len(f.text) > limit:
			return fmt.Errorf("the %s %.50q... is longer than %d bytes", f.kind, f.text, limit)
		case f.kind == kindName: // contexts have had any text as theirs
		case !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, unicode.IsControl):
			return fmt.Errorf("the %s %q has control characters, or is not UTF-8", f.kind, f.text)
		case strings.TrimSpace(f.text) != f.text || f.text == "":
			return fmt.Errorf("the %s %q is empty, or has blanks around it", f.kind, f.text)
		}
	}
	return nil
}

// kind is what a field of Names is.
type kind byte

const (
	kindLogin kind = iota
	kindLogins
	kindMail
	kindName
)

func (k kind) String() string {
	return [...]string{"login", "login mapping", "mail address", "name"}[k]
}

type field struct {
	kind kind
	text string
}

// fields are those that are set.
func (n *Names) fields() []field {
	var out []field
	if n.Login != "" {
		out = append(out, field{kindLogin, n.Login})
	}
	for _, l := range n.Logins {
		out = append(out, field{kindLogins, l})
	}
	for _, m := range n.Mails {
		out = append(out, field{kindMail, m})
	}
	if n.Name != "" {
		out = append(out, field{kindName, n.Name})
	}
	return out
}

// Fold is the form in which names are compared: Unicode case folding and NFC.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
		}
	}
	return strings.ToLower(s)
}

// pack writes the fields behind each other: the kind, the folded text, and the
// original where it differs, each with its length.
func (n *Names) pack() string {
	var b []byte
	for _, f := range n.fields() {
		folded := Fold(f.text)
		b = append(b, byte(f.kind))
		b = append(binary.AppendUvarint(b, uint64(len(folded))), folded...)
		if folded == f.text {
			b = append(b, 0)
		} else {
			b = append(binary.AppendUvarint(b, uint64(len(f.text))), f.text...)
		}
	}
	return string(b)
}

// packed is one field of a packed text: folded begins at off.
type packed struct {
	kind             kind
	off              int
	folded, original string
}

// each calls f for the fields of a packed text until it returns false.
func each(text string, f func(packed) bool) {
	for at := 0; at < len(text); {
		p := packed{kind: kind(text[at])}
		n, size := uvarint(text[at+1:])
		p.off = at + 1 + size
		p.folded = text[p.off : p.off+n]
		at = p.off + n
		n, size = uvarint(text[at:])
		p.original = text[at+size : at+size+n]
		if n == 0 {
			p.original = p.folded
		}
		at += size + n
		if !f(p) {
			return
		}
	}
}

func uvarint(s string) (n, size int) {
	for shift := 0; ; shift += 7 {
		c := s[size]
		size++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n, size
		}
	}
}

// Match reports whether a search for text, which is folded, finds these names.
func (n *Names) Match(text string) bool {
	s, found := n.pack(), false
	each(s, func(p packed) bool {
		p.starts(func(off int) { found = found || strings.HasPrefix(s[off:p.off+len(p.folded)], text) })
		return !found
	})
	return found
}

// unpack is the reverse of pack.
func unpack(text string) (n Names) {
	each(text, func(p packed) bool {
		switch p.kind {
		case kindLogin:
			n.Login = p.original
		case kindLogins:
			n.Logins = append(n.Logins, p.original)
		case kindMail:
			n.Mails = append(n.Mails, p.original)
		case kindName:
			n.Name = p.original
		}
		return true
	})
	return n
}

// starts calls f with where a search may begin to match within a field: at its
// beginning, and in a name at each word.
func (p *packed) starts(f func(off int)) {
	f(p.off)
	if p.kind != kindName {
		return
	}
	words, inside := 1, true
	for i, r := range p.folded {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
		if letter && !inside && i > 0 {
			if words++; words > maxWords {
				return
			}
			f(p.off + i)
		}
		inside = letter
	}
}
