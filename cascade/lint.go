package cascade

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

// maxDuplicates is how many duplicate keys of one folder are listed one by
// one; the rest is counted, so that a folder of generated files stays readable.
const maxDuplicates = 10

// Lint reports what is legal but probably not meant. All findings are
// warnings, since the load itself reports what is wrong, but for roll-outs that
// mean the opposite in the existing system. It is what check prints
// beyond Findings, and takes too long for every reload.
func (sn *Snapshot) Lint() []finding.Finding { return sn.lint(maxDuplicates) }

// LintAll is Lint with every duplicate key.
func (sn *Snapshot) LintAll() []finding.Finding { return sn.lint(math.MaxInt) }

func (sn *Snapshot) lint(duplicates int) []finding.Finding {
	l := &linter{sn: sn, maxDuplicates: duplicates}
	l.duplicates()
	l.unknown()
	l.typos()
	l.scopes()
	l.sets()
	l.rollouts()
	finding.Sort(l.out)
	return l.out
}

type linter struct {
	sn            *Snapshot
	out           []finding.Finding
	maxDuplicates int // of a folder, that are listed
}

func (l *linter) warn(file string, line int, code, format string, args ...any) {
	l.out = append(l.out, finding.Finding{Path: file, Line: line, Severity: finding.Warning, Code: code, Text: fmt.Sprintf(format, args...)})
}

type spot struct {
	file string
	line int
}

func (p spot) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// duplicates finds keys that are set more than once. Files below hazelcast/
// are exempt: each of them configures one map, with the same keys.
func (l *linter) duplicates() {
	t := l.sn.tree
	last := map[string]spot{}
	type pair struct {
		key       string
		old, next spot
	}
	byFolder := map[string][]pair{}
	for i, c := range t.contents {
		if c == nil || strings.HasPrefix(t.files[i], "hazelcast/") {
			continue
		}
		for _, e := range c.Entries {
			at := spot{t.files[i], e.Line}
			if old, dup := last[e.Key]; dup {
				dir := path.Dir(old.file)
				byFolder[dir] = append(byFolder[dir], pair{e.Key, old, at})
			}
			last[e.Key] = at
		}
	}
	for dir, pairs := range byFolder {
		for i, p := range pairs {
			if i == l.maxDuplicates {
				l.warn(p.old.file, p.old.line, "duplicate-key", "%d more keys of the folder %s are set again elsewhere, %s in %s among them: `sluice check --all` lists them",
					len(pairs)-i, dir, p.key, p.next)
				break
			}
			winner := last[p.key]
			text := "%s is set again in %s, which wins: remove one of the two"
			args := []any{p.key, p.next}
			if winner != p.next {
				text = "%s is set again in %s, and %s wins: remove all but one"
				args = append(args, winner)
			}
			l.warn(p.old.file, p.old.line, "duplicate-key", text, args...)
		}
	}
}

// unknown finds names below a declared prefix that no declaration knows.
func (l *linter) unknown() {
	sn := l.sn
	for p, name := range sn.names.List {
		prefix := sn.schema.declaredPrefix(name)
		if prefix == "" || sn.schema.known(name) {
			continue
		}
		for _, at := range l.placesOf(uint32(p)) {
			l.warn(at.file, at.line, "unknown-key", "no property of Sluice is called %s%s: nothing reads it", name, didYouMean(name, sn.schema.namesBelow(prefix)))
		}
	}
}

// placesOf lists where the files define a property; an override of the
// directory file counts once, at the file.
func (l *linter) placesOf(p uint32) []spot {
	t, out := l.sn.tree, []spot(nil)
	if v := t.server.at(p); v != nil {
		out = append(out, spot{t.files[v.file-1], int(v.line)})
	}
	out = append(out, l.setPlaces(p)...)
	if m := t.meta[p]; len(out) == 0 && m != nil && m.finalFile != "" {
		out = append(out, spot{m.finalFile, m.finalLine})
	}
	return append(out, l.overridePlaces(p)...)
}

func (l *linter) setPlaces(p uint32) []spot {
	si := l.sn.tree.sets
	if int(p) >= len(si.defAt) {
		return nil
	}
	var out []spot
	for _, d := range si.defs[si.defAt[p]].list {
		out = append(out, spot{si.blocks[d.block].file, d.line})
	}
	return out
}

func (l *linter) overridePlaces(p uint32) []spot {
	if c := l.sn.tables.Count(p); c.User+c.Context > 0 && l.sn.source != "" {
		return []spot{{l.sn.source, 0}}
	}
	return nil
}

// known reports whether a declaration stands for the name. Redis connections
// of further sites carry the site's id in the name
// (docs/reference/cluster.md#redis-properties).
func (s *Schema) known(name string) bool {
	if s.Lookup(name) != nil {
		return true
	}
	const redis = "com.openexchange.redis."
	if rest, ok := strings.CutPrefix(name, redis); ok {
		if _, x, ok := strings.Cut(rest, "."); ok {
			return s.Lookup(redis+x) != nil
		}
	}
	return false
}

func (s *Schema) namesBelow(prefix string) []string {
	var out []string
	for _, d := range s.decls {
		if strings.HasPrefix(d.Name, prefix) {
			out = append(out, d.Name)
		}
	}
	slices.Sort(out)
	return out
}

// scopes finds values where nothing reads them: a server property in another
// scope, and a scope that the path leaves out although it is used.
func (l *linter) scopes() {
	sn, t := l.sn, l.sn.tree
	for p := range sn.schema.decls {
		d := &sn.schema.decls[p]
		if !d.Server {
			continue
		}
		for _, at := range append(l.setPlaces(uint32(p)), l.overridePlaces(uint32(p))...) {
			l.warn(at.file, at.line, "wrong-scope", "%s is read in the server scope only: set it in a .properties file", d.Name)
		}
	}
	at := spot{"system.properties", 0}
	if v := t.server.at(scopesID); v != nil {
		at = spot{t.files[v.file-1], int(v.line)}
	}
	users, contexts := 0, 0
	for i := range sn.names.List {
		c := sn.tables.Count(uint32(i))
		users, contexts = users+int(c.User), contexts+int(c.Context)
	}
	for _, s := range []struct {
		scope string
		used  bool
		what  string
	}{
		{ScopeUser, users > 0, "overrides of users"},
		{ScopeContext, contexts > 0, "overrides of contexts"},
		{ScopeContextSets, len(t.sets.blocks) > 0, "context sets"},
		{ScopeServer, len(t.files) > 0, "properties files"},
	} {
		if s.used && !slices.ContainsFunc(t.path, func(p provider) bool { return p.scope() == s.scope }) {
			l.warn(at.file, at.line, "unused-scope", "%s leaves out %s although there are %s: none of them has an effect", PropScopes, s.scope, s.what)
		}
	}
}
