package yamlfile

import (
	"fmt"

	"github.com/seed47708276/sluice/cascade/finding"
)

// maxFindings is the number of errors, and of warnings, that one file may
// report; a file with more of them needs a look as a whole, not a longer log.
const maxFindings = 200

// Codes of findings, stable for scripts. File errors first.
const (
	CodeTooLarge       = "file-too-large"
	CodeEncoding       = "bad-encoding"
	CodeControl        = "control-character"
	CodeConflict       = "merge-conflict"
	CodeWebPage        = "web-page"
	CodeSyntax         = "yaml-syntax"
	CodeSecondDocument = "second-document"
	CodeNotMap         = "not-a-map"
	CodeDuplicateKey   = "duplicate-key"
	CodeTooDeep        = "too-deep"
	CodeAlias          = "bad-alias"
	CodeTooManyBlocks  = "too-many-blocks"
	CodeTooManyLetters = "too-many-letters"

	CodeBadKey          = "bad-key"
	CodeBadValue        = "bad-value"
	CodeYAMLTag         = "yaml-tag"
	CodeTooLong         = "too-long"
	CodeBadBlock        = "bad-block"
	CodeMissingWithTags = "missing-with-tags"
	CodeBadTag          = "bad-tag"
	CodeBadPriority     = "bad-priority"
	CodeAmbiguous       = "ambiguous-expression"
	CodeBadMeta         = "bad-meta"
	CodeBadDirectory    = "bad-directory-entry"
	CodeUnknownField    = "unknown-field"
	CodeDuplicateID     = "duplicate-id"

	CodeYAML11         = "yaml11"
	CodeList           = "list-as-text"
	CodeTab            = "tab"
	CodeSuspiciousTag  = "suspicious-tag"
	CodeSuspiciousKey  = "suspicious-key"
	CodeTrailingBlanks = "trailing-blanks"
	CodeTokenInKey     = "token-in-key"
	CodeLineBreak      = "odd-line-break"
	codeMoreFindings   = "more-findings"
)

// report collects the findings of one file, each once: an alias may lead to
// the same place many times.
type report struct {
	path     string
	list     []finding.Finding
	seen     map[finding.Finding]bool
	errors   int
	warnings int
}

func (r *report) errorf(line, col int, code, format string, args ...any) {
	r.add(&r.errors, finding.Finding{Path: r.path, Line: line, Col: col, Severity: finding.Error, Code: code, Text: fmt.Sprintf(format, args...)})
}

func (r *report) warnf(line, col int, code, format string, args ...any) {
	r.add(&r.warnings, finding.Finding{Path: r.path, Line: line, Col: col, Severity: finding.Warning, Code: code, Text: fmt.Sprintf(format, args...)})
}

func (r *report) add(count *int, f finding.Finding) {
	if r.seen[f] {
		return
	}
	*count++
	if *count > maxFindings {
		return
	}
	if r.seen == nil {
		r.seen = map[finding.Finding]bool{}
	}
	r.seen[f] = true
	r.list = append(r.list, f)
}

// done returns the findings in order of their places.
func (r *report) done() []finding.Finding {
	for _, c := range []struct {
		severity finding.Severity
		count    int
	}{{finding.Error, r.errors}, {finding.Warning, r.warnings}} {
		if more := c.count - maxFindings; more > 0 {
			r.list = append(r.list, finding.Finding{
				Path: r.path, Severity: c.severity, Code: codeMoreFindings,
				Text: fmt.Sprintf("%d more findings of this kind are not listed; correct the listed ones first", more),
			})
		}
	}
	finding.Sort(r.list)
	return r.list
}
