package yamlfile

import "strings"

// MaxResolved is the longest text, in bytes, that replacing tokens may make of
// one value; it is MaxValue, so that a value is bounded however it came about.
const MaxResolved = MaxValue

// TokenSource looks up the names in tokens. source is "env", or "file:" and
// the file name for `file<x.properties>`, such as "file:x.properties".
type TokenSource interface {
	Lookup(source, name string) (value string, ok bool)
}

// token is one well-formed token of a text.
type token struct {
	start, end   int // bytes of the text, with the braces
	source, name string
	fallback     string
	hasFallback  bool
}

// ReplaceTokens replaces each token of a value:
//
//	{{ [env | file<x.properties>] NAME [:DEFAULT] }}
//
// Blanks and tabs around the parts do not count; the source is env if none is
// given. NAME is a run of characters other than white space and `{ } < > :`.
// DEFAULT is everything between the first colon and the next `}}`, without
// white space at its ends; it may be empty and is not searched for tokens, nor
// is what a look-up returned. A name that is not found and has no default
// stays literal text, as does a token whose text would make the value longer
// than MaxResolved; both are listed in unresolved, each once. Whatever looks
// like a token but is none (another source, say) is ordinary text.
// (docs/reference/cascade.md#tokens)
func ReplaceTokens(value string, src TokenSource) (out string, unresolved []string) {
	var b strings.Builder
	listed := map[string]bool{}
	done := 0
	eachToken(value, func(t token) bool {
		text, ok := src.Lookup(t.source, t.name)
		if !ok {
			text, ok = t.fallback, t.hasFallback
		}
		b.WriteString(value[done:t.start])
		done = t.end
		if left := len(value) - t.end; !ok || b.Len()+len(text)+left > max(MaxResolved, len(value)) {
			text = value[t.start:t.end]
			if !listed[text] {
				listed[text] = true
				unresolved = append(unresolved, text)
			}
		}
		b.WriteString(text)
		return true
	})
	if done == 0 {
		return value, nil
	}
	b.WriteString(value[done:])
	return b.String(), unresolved
}

// HasToken reports whether the value holds a well-formed token.
func HasToken(value string) bool {
	found := false
	eachToken(value, func(token) bool {
		found = true
		return false
	})
	return found
}

// eachToken calls f for each token of the text, first to last, until f says
// no. It takes time linear in the text: the closing braces are looked for
// once, not once for each opening pair.
func eachToken(text string, f func(token) bool) {
	closing := -1
	for at := 0; ; {
		i := strings.Index(text[at:], "{{")
		if i < 0 {
			return
		}
		start := at + i
		if closing < start+2 {
			c := strings.Index(text[start+2:], "}}")
			if c < 0 {
				return
			}
			closing = start + 2 + c
		}
		t, ok := parseToken(text[start+2 : closing])
		if !ok {
			at = start + 1
			continue
		}
		t.start, t.end = start, closing+2
		if !f(t) {
			return
		}
		at = t.end
	}
}

const (
	envSource  = "env"
	fileSource = "file:"
	blanks     = " \t"
)

// parseToken reads what stands between the braces.
func parseToken(body string) (token, bool) {
	t := token{source: envSource}
	body = strings.TrimLeft(body, blanks)
	if rest, ok := strings.CutPrefix(body, "file<"); ok {
		// The first of these characters ends the search, so that many openings
		// before one closing pair do not cost their square.
		end := strings.IndexAny(rest, "<>{}\r\n")
		if end < 0 || rest[end] != '>' || !strings.HasSuffix(rest[:end], ".properties") {
			return token{}, false
		}
		t.source = fileSource + rest[:end]
		body = strings.TrimLeft(rest[end+1:], blanks)
	} else if rest, ok := strings.CutPrefix(body, envSource); ok {
		if name := strings.TrimLeft(rest, blanks); name != rest && name != "" && isNameByte(name[0]) {
			body = name
		}
	}
	n := 0
	for n < len(body) && isNameByte(body[n]) {
		n++
	}
	if n == 0 {
		return token{}, false
	}
	t.name = body[:n]
	rest := strings.TrimLeft(body[n:], blanks)
	if rest == "" {
		return t, true
	}
	if rest[0] != ':' {
		return token{}, false
	}
	t.fallback, t.hasFallback = strings.TrimSpace(rest[1:]), true
	return t, true
}

func isNameByte(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune("{}<>:", rune(c))
}
