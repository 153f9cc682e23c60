package yamlfile

import (
	"regexp"
	"strings"
)

// What may stand above the document, and the directives that change nothing:
// the version, and what no version of YAML knows. A %TAG is left to the parser.
var (
	versionForm   = regexp.MustCompile(`^%YAML[ \t]+1\.[0-9]+[ \t]*(?:#.*)?$`)
	directiveForm = regexp.MustCompile(`^%[A-Za-z0-9_-]+(?:[ \t].*)?$`)
	startForm     = regexp.MustCompile(`^---(?:[ \t]|$)`)
)

// hideDirectives turns the directives above the document into comments of the
// same length where the existing system's reader passes them over: it reads any
// version 1.x, and ignores directives that it does not know. What it refuses
// (another version, one given twice, no line --- after them) stays for the
// parser to refuse.
func hideDirectives(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var hide []int
	version, at := false, 0
	for line := range strings.Lines(text) {
		l := strings.TrimRight(line, "\r\n")
		switch {
		case startForm.MatchString(l):
			b := []byte(text)
			for _, i := range hide {
				b[i] = '#'
			}
			return string(b)
		case versionForm.MatchString(l):
			if version {
				return text
			}
			version, hide = true, append(hide, at)
		case strings.HasPrefix(l, "%TAG") || strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "%YAML") || !directiveForm.MatchString(l):
			return text
		default:
			hide = append(hide, at)
		}
		at += len(line)
	}
	return text
}
