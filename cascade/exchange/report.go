package exchange

import (
	"fmt"

	"github.com/seed47708276/sluice/cascade/finding"
)

// maxFindings is the number of findings of each severity and code that one file
// may have: a wrong file has thousands, and the first ones name the cause.
const maxFindings = 50

// Codes of findings, stable for scripts.
const (
	codeBadHeader      = "bad-header"
	codeBadRow         = "bad-row"
	codeBadEscape      = "bad-escape"
	codeEncoding       = "bad-encoding"
	codeLineTooLong    = "line-too-long"
	codeCutOff         = "cut-off"
	codeBadID          = "bad-id"
	codeBadEntry       = "bad-entry"
	codeBadName        = "bad-name"
	codeBadTag         = "bad-tag"
	codeBadValue       = "bad-value"
	codeUnknownFinal   = "unknown-final"
	codeDuplicate      = "duplicate"
	codeContradiction  = "contradiction"
	codeUnknownContext = "unknown-context"
	codeNotTakenOver   = "not-taken-over"
	codeEmptyFile      = "empty-file"
	codeNull           = "null"
	codeTooMany        = "too-many-contexts"
	codeMoreFindings   = "more-findings"
)

// kindOf is what findings are counted by.
type kindOf struct {
	path     string
	severity finding.Severity
	code     string
}

// report collects findings, a bounded number of each kind.
type report struct {
	list  []finding.Finding
	count map[kindOf]int
	kinds []kindOf // in the order in which they came
}

func (r *report) add(f finding.Finding) {
	k := kindOf{f.Path, f.Severity, f.Code}
	if r.count == nil {
		r.count = map[kindOf]int{}
	}
	if r.count[k] == 0 {
		r.kinds = append(r.kinds, k)
	}
	if r.count[k]++; r.count[k] <= maxFindings {
		r.list = append(r.list, f)
	}
}

// done returns the findings in the order of their places.
func (r *report) done() []finding.Finding {
	for _, k := range r.kinds {
		if more := r.count[k] - maxFindings; more > 0 {
			r.list = append(r.list, finding.Finding{
				Path: k.path, Severity: k.severity, Code: codeMoreFindings,
				Text: fmt.Sprintf("%d more findings of the kind %s are not listed; correct the listed ones first", more, k.code),
			})
		}
	}
	finding.Sort(r.list)
	return r.list
}
