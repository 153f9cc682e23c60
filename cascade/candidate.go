package cascade

import (
	"context"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// CandidateFiles are files as they would be. They stay in memory: nobody writes
// them anywhere.
type CandidateFiles struct {
	// Texts are by slash path below a root; nil: the file is gone. A name is that of
	// the last root that has it, and where none has it a new file of the last root.
	Texts map[string]*string
	// Whole: there is one root, with these files alone. Else they are in the place of
	// the files of the roots, and the others stay as they are on disk.
	Whole bool
}

// NameError tells why a candidate file cannot have its name.
type NameError = tree.NameError

// Candidate returns the state that a reload of other files (nil: the present ones)
// and a batch would lead to, and the findings of those files. As after a reload a
// file that does not parse has its last good contents, unless the files are the
// whole. Nobody else sees the state: it remembers its answers in tables of its own,
// because the epoch after the present one is that of the next swap. It ends with
// ctx, whose error it returns. A name that no file can have is a *NameError.
func (e *Engine) Candidate(ctx context.Context, files *CandidateFiles, b Batch) (*Snapshot, []finding.Finding, error) {
	var set *tree.Set
	if files != nil {
		var err error
		if set, err = e.scanCandidate(ctx, files); err != nil {
			return nil, nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	sn := *e.cur.Load()
	ed := sn.names.Fork()
	t, err := sn.tables.Apply(&b, ed, time.Now())
	if err != nil {
		return nil, nil, err
	}
	sn.tables = t
	if set == nil {
		sn.names = ed.Table()
		sn.memo = tables.Memo{}.Next(len(e.opt.Schema.decls), sn.tables.Subjects)
		if sn.held != nil {
			h, accepted := *sn.held, *sn.held.accepted
			accepted.tables, accepted.names = sn.tables, sn.names
			accepted.memo = tables.Memo{}.Next(len(e.opt.Schema.decls), sn.tables.Subjects)
			h.accepted, sn.held = &accepted, &h
		}
		return &sn, sn.tree.findings, nil
	}
	sn.held = nil
	sn.tree = build(set, e.opt.Schema, ed, e.cur.Load().tree.carry, e.opt.Getenv).withReseller(&sn)
	blind := buildBlind(set, e.opt.Schema, ed).withReseller(&sn)
	sn.names = ed.Table()
	sn.memo = tables.Memo{}.Next(len(e.opt.Schema.decls), sn.tables.Subjects)
	without := sn
	without.tree, without.memo = blind, sn.memo.Next(len(e.opt.Schema.decls), sn.tables.Subjects)
	sn.blind = &without
	return &sn, withoutLookups(sn.tree.findings, blind.findings), nil
}

// scanCandidate reads what candidate files lead to. Of the present trees it lists
// the folders, and reads what is not parsed already.
func (e *Engine) scanCandidate(ctx context.Context, files *CandidateFiles) (*tree.Set, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var set *tree.Set
	var err error
	if files.Whole {
		set, err = tree.OnlyFiles(files.Texts)
	} else {
		e.load.Lock()
		set, err = e.set.WithFiles(files.Texts)
		e.load.Unlock()
	}
	if err != nil {
		return nil, err
	}
	set.Ended = func() bool { return ctx.Err() != nil }
	set.Scan(true)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := rootsReadable(set); err != nil {
		return nil, err
	}
	return set, set.Unreached()
}

// LookedUp reports whether a value of a candidate is what a token of its files
// looks up. It is not to be shown: who sends a candidate chooses the names, and
// may not read the environment or the secrets of the server by them.
func (sn *Snapshot) LookedUp(su Subject, name string) bool {
	if sn.blind == nil {
		return false
	}
	a, oka := sn.Get(su, name)
	b, okb := sn.blind.Get(su, name)
	return oka != okb || a.Text != b.Text
}

// withoutLookups hides the text of findings that only a look-up has brought.
func withoutLookups(list, blind []finding.Finding) []finding.Finding {
	out := slices.Clone(list)
	for i := range out {
		if !slices.Contains(blind, out[i]) {
			out[i].Text = "what a token looks up does not fit here: `sluice check` on the machine of the server says more"
		}
	}
	return out
}
