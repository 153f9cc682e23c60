// Package secret decides which values are masked. It is the one list of the
// product: every output, log line, error text and answer asks it.
package secret

import (
	"path"
	"regexp"
	"strings"
)

// Mask stands in the place of what is secret.
const Mask = "***"

// words mark a secret. Names are compared in lower case, without hyphens,
// underscores and dots, so that encryption-key and Encryption.Key are one.
var words = []string{
	"password", "passwd", "pwd", "passphrase", "passcode", "secret", "salt", "token", "credential", "apikey",
	"cryptkey", "encryptionkey", "privatekey", "privkey", "signingkey", "signkey", "masterkey", "accesskey", "sharedkey",
	"authkey", "hmackey", "hashkey", "cipherkey", "vapid",
}

// Where tells which part of a name says that it is secret.
type Where uint8

// The answers of Find. Before the last part a word may only say what the
// property is about, such as passwordchange.minLength.
const (
	Nowhere Where = iota
	Before
	Last
)

// Find looks for the words in a name. The last part is what follows the last dot
// or slash; a number there counts as part of the one before, so that
// password.1 is a password. The last part pass is a password, too.
func Find(name string) Where {
	if !seeded(name) {
		return Nowhere
	}
	last, plain := 0, make([]byte, 0, len(name))
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '/' })
	for i, p := range parts {
		if i == 0 || strings.Trim(p, "0123456789") != "" {
			last = len(plain)
		}
		for _, c := range []byte(strings.ToLower(p)) {
			if c != '-' && c != '_' && c != ' ' {
				plain = append(plain, c)
			}
		}
	}
	text, found := string(plain), Nowhere
	if strings.TrimRight(text[last:], "0123456789") == "pass" {
		return Last
	}
	for _, w := range words {
		i := strings.LastIndex(text, w)
		switch {
		case i < 0:
		case i+len(w) > last:
			return Last
		default:
			found = Before
		}
	}
	return found
}

// seeds are in every word: most names hold none.
var (
	seedsP = []string{"pass", "pwd"}
	seedsS = []string{"secret", "salt"}
	seedsT = []string{"token"}
	seedsC = []string{"credential"}
	seedsK = []string{"key"}
	seedsV = []string{"vapid"}
)

func seeded(name string) bool {
	for i := range len(name) {
		// One pass, and nothing allocated: every name of a tree is asked for.
		var seeds []string
		switch name[i] | 0x20 {
		case 'p':
			seeds = seedsP
		case 's':
			seeds = seedsS
		case 't':
			seeds = seedsT
		case 'c':
			seeds = seedsC
		case 'k':
			seeds = seedsK
		case 'v':
			seeds = seedsV
		}
		for _, s := range seeds {
			if len(name)-i >= len(s) && equalASCII(name[i:i+len(s)], s) {
				return true
			}
		}
	}
	return false
}

// equalASCII compares with a text of lower-case letters.
func equalASCII(text, lower string) bool {
	for i := range len(lower) {
		if text[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// harmless are the values that a name may have which holds a word before its
// last part only: numbers, booleans and durations.
var harmless = regexp.MustCompile(`^(?i:[-+]?[0-9]+(?:\.[0-9]+)?|true|false|(?:[0-9]+ ?(?:ms|[smhdw]) ?)+)$`)

// Hides reports whether nothing of the value may be shown. Patterns are those of
// an administrator: see Match.
func Hides(name, value string, patterns []string) bool {
	if Match(name, patterns) {
		return true
	}
	switch Find(name) {
	case Last:
		return true
	case Before:
		return !harmless.MatchString(strings.TrimSpace(value))
	}
	return false
}

// Match reports whether a name matches one of the patterns, in which * stands
// for any text; upper and lower case are one.
func Match(name string, patterns []string) bool {
	for _, p := range patterns {
		// Names hold slashes, at which path.Match would stop a *.
		ok, err := path.Match(strings.ToLower(strings.ReplaceAll(p, "/", ":")), strings.ToLower(strings.ReplaceAll(name, "/", ":")))
		if err == nil && ok {
			return true
		}
	}
	return false
}

// CheckPattern refuses what Match cannot read.
func CheckPattern(p string) error {
	_, err := path.Match(p, "")
	return err
}

var (
	// The words, inside an assignment, such as ?user=u&password=p of JDBC.
	assignment = regexp.MustCompile(`(?i)([\w.-]*(?:` + strings.Join(words, "|") + `)[\w.-]*[ \t]*=[ \t]*)("[^"]*"|'[^']*'|[^\s&;,]+)`)
	// Of a property whose value is a property, all that follows is its value.
	nested = regexp.MustCompile(`(?i)^(\s*[\w.-]*(?:` + strings.Join(words, "|") + `)[\w.-]*\s*[=:]\s*)(.+)$`)
	// jdbc:oracle:thin:user/password@host
	oracle = regexp.MustCompile(`(?i)(jdbc:oracle:[a-z0-9]+:[^/@\s]*/)([^\s]+)(@)`)
)

// holds reports whether the value of a property is a property itself, as that of
// writeProperty.1 is. Every value of a tree is asked for, so it is no pattern.
func holds(name string) bool {
	rest := strings.TrimRight(name, "0123456789")
	const end = "property."
	return len(rest) < len(name) && len(rest) >= len(end) && strings.EqualFold(rest[len(rest)-len(end):], end)
}

// Show returns the value as it may be shown: all of it, or Mask, or with Mask in
// the place of the passwords of URLs and assignments in it.
func Show(name, value string, patterns []string) string {
	if Hides(name, value, patterns) {
		return Mask
	}
	if holds(name) {
		value = nested.ReplaceAllString(value, "${1}"+Mask)
	}
	if strings.Contains(value, "=") {
		value = assignment.ReplaceAllString(value, "${1}"+Mask)
	}
	if !strings.Contains(value, "@") {
		return value
	}
	return urls(oracle.ReplaceAllString(value, "${1}"+Mask+"${3}"))
}

// urls masks the passwords of all URLs of a text: what stands between the first
// colon after :// and the last @ before a blank, comma or quote. A password may
// hold any other character, so a path with an @ may be masked needlessly.
func urls(text string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, "://")
		if i < 0 {
			return b.String() + text
		}
		i += len("://")
		b.WriteString(text[:i])
		text = text[i:]
		end := strings.IndexAny(text, " \t\r\n,\"'<>")
		if end < 0 {
			end = len(text)
		}
		at, colon := strings.LastIndexByte(text[:end], '@'), strings.IndexByte(text[:end], ':')
		if colon >= 0 && colon < at {
			b.WriteString(text[:colon+1] + Mask)
			text = text[at:]
		}
	}
}
