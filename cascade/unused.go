package cascade

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// unusedFile is a file whose last good contents are in force.
type unusedFile struct {
	path, why string
	text      []byte // as it is now; nil where it is gone or cannot be read
}

// unused notes the files that are not used as they are now.
func (b *builder) unused() {
	for i, f := range b.files {
		if f.Have == nil || f.Status == FileOK || f.Status == "" {
			continue
		}
		why := "it is " + f.Status
		if len(f.Findings) > 0 {
			why = f.Findings[0].Text
		}
		b.t.unused = append(b.t.unused, unusedFile{b.paths[i], why, f.Unused})
	}
}

// explainUnused tells where a file says something else of a property than what
// is in force, because the file is not used as it is now.
func (x *Explanation) explainUnused(sn *Snapshot) {
	for _, u := range sn.tree.unused {
		line, says, found := lineOf(u.text, x.Property)
		wins := x.Origin != nil && x.Origin.File == u.path
		if !found && !wins || found && wins && x.Value != nil && says == *x.Value {
			continue
		}
		now := "it does not set it now"
		switch {
		case u.text == nil:
			now = "what it says now cannot be told"
		case found && sn.schema.Secret(x.Property):
			now = fmt.Sprintf("line %d now sets it", line)
		case found:
			now = fmt.Sprintf("line %d now says %s", line, quoteEmpty(says))
		}
		force := "nothing of it is in force"
		if wins && x.Value != nil {
			force = fmt.Sprintf("in force is %s, from its last good contents", quoteEmpty(*x.Value))
		}
		x.Apart = true
		x.Warnings = append(x.Warnings, fmt.Sprintf("%s is not used as it is now (%s): %s; %s", u.path, u.why, now, force))
	}
}

// explainDirectory tells where the directory file says something else than what is
// in force: an override of the subject that does not fit, whose last good value
// counts, and a file whose last good contents do.
func (x *Explanation) explainDirectory(sn *Snapshot, su Subject) {
	if sn.source == "" {
		return
	}
	for _, s := range x.Steps {
		of := Subject{Context: su.Context}
		switch {
		case s.Scope == ScopeUser && su.User != 0:
			of = su
		case s.Scope != ScopeContext:
			continue
		}
		slip, found := sn.slips[Key{Subject: of, Property: x.Property}]
		if !found || s.Invalid {
			continue // what does not fit and counts is told of already
		}
		force := "nothing of it is in force"
		if s.Value != nil {
			force = fmt.Sprintf("its last good value %s applies", quoteEmpty(*s.Value))
		}
		x.Apart = x.Apart || s.Status == Wins
		x.Warnings = append(x.Warnings, fmt.Sprintf("%s:%d: %s; %s", slip.at.Path, slip.at.Line, slip.why, force))
	}
	for i := range sn.tree.reports {
		r := &sn.tree.reports[i]
		if r.Path != sn.source || r.Status == FileOK || r.Status == "" {
			continue
		}
		why := "it is " + r.Status
		if len(r.Errors) > 0 {
			why = r.Errors[0].Text
		}
		x.Apart = x.Apart || x.Origin != nil && x.Origin.Override != nil
		x.Warnings = append(x.Warnings, fmt.Sprintf("the directory file %s is not used as it is now (%s): contexts, users, tags and overrides are those of its last good contents", r.Path, why))
	}
}

// explainStale tells of context sets that count by their last good form: the one
// that wins, and those that give the subject a tag.
func (x *Explanation) explainStale(sn *Snapshot) {
	told := func(b *setBlock, what string) {
		form := ""
		if b.expr != nil {
			form = fmt.Sprintf(" (%s)", b.expr)
		}
		x.Apart = true
		x.Warnings = append(x.Warnings, fmt.Sprintf("context set %s (%s:%d) %s by its last good form%s: what the file says of it now is wrong", b.name, b.file, b.line, what, form))
	}
	for i := range sn.tree.sets.blocks {
		b := &sn.tree.sets.blocks[i]
		switch {
		case !b.stale:
		case x.Origin != nil && x.Origin.Set == b.name && x.Origin.File == b.file:
			told(b, "matches")
		case slices.ContainsFunc(x.Tags, func(t Tag) bool { return t.From == "addTags:"+b.name }):
			told(b, "adds tags")
		}
	}
}

// lineOf finds the last line of a file that sets a property, and what it sets it
// to. It reads properties and YAML alike, as far as one line tells.
func lineOf(text []byte, name string) (line int, value string, found bool) {
	n := 0
	for l := range bytes.Lines(text) {
		n++
		rest, ok := strings.CutPrefix(strings.TrimLeft(string(l), " \t\"'"), name)
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " \t\"'")
		if rest == "" || rest[0] != '=' && rest[0] != ':' {
			continue
		}
		line, value, found = n, strings.Trim(rest[1:], " \t\r\n\"'"), true
	}
	return line, value, found
}
