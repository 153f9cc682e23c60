package cascade

import (
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// ReloadResult is what a reload did. Errors are all that the trees have now.
type ReloadResult struct {
	Generation uint64            `json:"generation"`
	Changed    []Change          `json:"changed"`
	Errors     []finding.Finding `json:"errors"`
	Held       *Hold             `json:"held,omitempty"`    // a change that the gate does not follow yet
	Noticed    *Noticed          `json:"noticed,omitempty"` // what the engine had noticed by itself within the last minute
	BadFiles   int               `json:"-"`                 // files that did not load, and folders that were not read
}

func errorsOf(sn *Snapshot) []finding.Finding {
	out := []finding.Finding{}
	for _, f := range sn.tree.findings {
		if f.Severity == finding.Error {
			out = append(out, f)
		}
	}
	return out
}

func (r ReloadResult) count(sn *Snapshot) ReloadResult {
	for _, f := range sn.tree.reports {
		if f.Status == FileFailed {
			r.BadFiles++
		}
	}
	r.BadFiles += len(sn.folderErrors())
	return r
}

const (
	// noticedFor is how long a reload that somebody asks for tells of a change
	// that the engine noticed before: who saves a file and then asks has been
	// forestalled by the watch.
	noticedFor = time.Minute
	// maxNoticed bounds what is kept of it: more than anybody reads.
	maxNoticed = 100
)

// Noticed is a change of files that the engine noticed by itself, before the
// reload that tells of it.
type Noticed struct {
	At         time.Time `json:"at"`
	Generation uint64    `json:"generation"`
	Changed    []Change  `json:"changed"`           // the first 100
	Omitted    int       `json:"omitted,omitempty"` // further ones
}

// notice keeps what a reload changed that nobody asked for, or adds it to the
// result of one that somebody did. The caller holds load.
func (e *Engine) notice(r *ReloadResult, asked bool, now time.Time) {
	switch {
	case !asked && len(r.Changed) > 0:
		n := min(len(r.Changed), maxNoticed)
		e.noticed = &Noticed{now, r.Generation, r.Changed[:n:n], len(r.Changed) - n}
	case asked:
		if e.noticed != nil && now.Sub(e.noticed.At) <= noticedFor {
			r.Noticed = e.noticed
		}
		e.noticed = nil
	}
}
