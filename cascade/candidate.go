package cascade

import (
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Candidate returns the state that other trees (nil: the present ones) and a
// batch would lead to, and the findings of those trees. Nobody else sees it.
func (e *Engine) Candidate(roots []string, b Batch) (*Snapshot, []finding.Finding, error) {
	var set *fileSet
	if roots != nil {
		set = newFileSet(roots)
		set.scan(true)
		if err := rootsReadable(set); err != nil {
			return nil, nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	sn := *e.cur.Load()
	ed := sn.names.fork()
	t, err := sn.tables.apply(&b, ed, time.Now())
	if err != nil {
		return nil, nil, err
	}
	sn.tables = t
	if set != nil {
		sn.tree = build(set, e.opt.Schema, ed, carry{}, e.opt.Getenv)
	}
	sn.names = ed.table()
	sn.memo = sn.memo.next(e.opt.Schema, sn.tables.subjects)
	return &sn, sn.tree.findings, nil
}
