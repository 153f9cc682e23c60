package exchange

import (
	"errors"
	"strings"

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
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}
