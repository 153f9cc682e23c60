package exchange

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/seed47708276/sluice/cascade/propfile"
)

// stored is what the databases hold of one override, decoded.
type stored struct {
	value     string
	final     string
	protected bool
	oddBool   bool // protected was neither true nor false
	more      bool // there is other metadata
}

var errEscape = errors.New(`\u is not followed by four hexadecimal digits, so the existing system cannot read the value either; set it anew or remove the row`)

// userValue decodes the value of a user's attribute.
func userValue(text string) (stored, error) {
	value, ok := propfile.Unescape(text)
	if !ok {
		return stored{}, errEscape
	}
	return stored{value: value}, nil
}

// contextValue decodes the value of a context's attribute: what stands behind
// the first `;` is metadata, and a value without any is protected.
func contextValue(text string) (stored, error) {
	text, meta, has := strings.Cut(text, ";")
	s := stored{protected: !has}
	if has {
		text = trim(text)
	}
	// The order counts: %253B is the text %3B.
	text = strings.ReplaceAll(strings.ReplaceAll(text, "%3B", ";"), "%25", "%")
	var ok bool
	if s.value, ok = propfile.Unescape(text); !ok {
		return stored{}, errEscape
	}
	if !has {
		return s, nil
	}
	for part := range strings.SplitSeq(meta, ";") {
		name, value, given := strings.Cut(part, "=")
		if value = trim(value); !given {
			value = "true"
		}
		switch name = trim(name); name {
		case "": // a `;` at the end
		case "final":
			s.final = value
		case "protected":
			s.protected = strings.EqualFold(value, "true")
			s.oddBool = !s.protected && !strings.EqualFold(value, "false")
		default:
			s.more = true
		}
	}
	return s, nil
}

// trim cuts what Java's trim does.
func trim(s string) string { return strings.TrimFunc(s, blank) }

func blank(r rune) bool { return r <= ' ' }

// maxStored is what a TEXT column holds, in bytes.
const maxStored = 1<<16 - 1

// maxProperty is how long the name of a property may be, in characters: with
// its prefix it stands in a VARCHAR(128).
const maxProperty = 128 - len(configPrefix)

// EncodeAttribute is an attribute config/NAME of a subject as the platform
// stores it. before is what is stored now, nil where nothing is: the metadata of a
// context's value stay as they are, and a new one is not protected, as the
// platform's own code writes it.
func EncodeAttribute(user bool, property, value string, before *string) (name, stored string, err error) {
	if n := len(utf16.Encode([]rune(property))); n > maxProperty {
		return "", "", fmt.Errorf("the name of the property has %d characters, and the platform stores at most %d", n, maxProperty)
	}
	stored = escapeStored(value)
	if !user {
		stored = strings.ReplaceAll(strings.ReplaceAll(stored, "%", "%25"), ";", "%3B")
		switch {
		case before == nil:
			stored += "; protected=false"
		default:
			if at := strings.IndexByte(*before, ';'); at >= 0 {
				stored += (*before)[at:]
			}
		}
	}
	if len(stored) > maxStored {
		return "", "", fmt.Errorf("the value has %d bytes as it is stored, and the platform stores at most %d", len(stored), maxStored)
	}
	return configPrefix + property, stored, nil
}

// escapeStored writes a value with the escapes of Java's properties: in ASCII, so
// that no character set of a table loses anything, and with white space at its
// ends escaped, which is trimmed where metadata follow.
func escapeStored(value string) string {
	var b strings.Builder
	first, last := len(value)-len(strings.TrimLeftFunc(value, blank)), len(strings.TrimRightFunc(value, blank))
	for i, r := range value {
		switch short := strings.IndexRune("\t\n\f\r\\", r); {
		case short >= 0:
			b.WriteByte('\\')
			b.WriteByte("tnfr\\"[short])
		case r < ' ', r >= 0x7f, r == ' ' && (i < first || i >= last):
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
