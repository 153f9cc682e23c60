package cascade

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// carry is what one load hands to the next: the last good form of every entry
// that is good now or is carried itself, and nothing of entries that are gone.
type carry struct {
	blocks map[string]yamlfile.Block     // by place: file and block
	values map[string]string             // by place: file, block and property; text that fits its type
	finals map[string]metaInfo           // by place: file and property
	meta   map[string]yamlfile.MetaEntry // by place: file and property
	goods  map[uint32]string             // server values of declared properties
	groups map[int][]string              // by number of the group: texts that fit together
	path   []string
}

func newCarry() carry {
	return carry{
		blocks: map[string]yamlfile.Block{}, values: map[string]string{}, finals: map[string]metaInfo{},
		meta: map[string]yamlfile.MetaEntry{}, goods: map[uint32]string{}, groups: map[int][]string{},
	}
}

// builder compiles files into a tree.
type builder struct {
	t      *compiled
	schema *Schema
	names  *tables.NameEdit
	getenv func(string) (string, bool)
	blind  bool         // tokens show that they are found, and not what
	files  []*tree.File // in the order in which they count
	paths  []string     // display paths of files
	keys   []string     // of files; unlike the paths they never change
	at     []int        // file -> index into the tree's reports, -1: none
	before carry
	values serverEdit       // of the server scope
	tokens bool             // a text had one, since somebody made it false
	scopes []string         // the path, by name
	propAt map[string][]int // base name of a properties file -> indexes into files, for tokens; nil: not made yet

	from    *compiled // what again goes on from
	changed []int     // files whose contents or state are others than in from
}

// build compiles the contents in force. It cannot fail: what is wrong with an
// entry becomes a finding, and the entry's last good form is used.
func build(fs *tree.Set, schema *Schema, names *tables.NameEdit, before carry, getenv func(string) (string, bool)) *compiled {
	return newBuilder(fs, schema, names, before, getenv).build(fs)
}

// buildBlind is build with Mask in the place of whatever tokens look up.
func buildBlind(fs *tree.Set, schema *Schema, names *tables.NameEdit) *compiled {
	b := newBuilder(fs, schema, names, carry{}, nil)
	b.blind = true
	return b.build(fs)
}

func newBuilder(fs *tree.Set, schema *Schema, names *tables.NameEdit, before carry, getenv func(string) (string, bool)) *builder {
	return &builder{
		t:      &compiled{meta: map[uint32]*metaInfo{}, goods: map[uint32]string{}, unfit: map[uint32]unfit{}, carry: newCarry()},
		schema: schema, names: names, getenv: getenv, files: fs.Sorted(), before: before,
	}
}

func (b *builder) build(fs *tree.Set) *compiled {
	b.nameFiles(fs.Roots)
	b.digests()
	b.report(fs.Findings)
	b.server()
	b.rest()
	return b.t
}

// rest is what follows from the values of the server scope.
func (b *builder) rest() {
	b.metaValues()
	b.scopePath()
	b.meta()
	b.sets()
	b.fit()
	b.groups()
	b.unused()
	b.finish()
}

// nameFiles chooses what the files are called: their path below the root, with
// the root before it where two roots have the same.
func (b *builder) nameFiles(roots []string) {
	count := map[string]int{}
	for _, f := range b.files {
		count[f.Rel]++
	}
	m := &b.t.made
	for i, f := range b.files {
		name := f.Rel
		if count[name] > 1 {
			name = filepath.ToSlash(filepath.Join(roots[f.Root], f.Rel))
		}
		b.paths, b.keys = append(b.paths, tree.Display(name)), append(b.keys, tree.FileKey(f.Root, f.Rel))
		b.t.contents = append(b.t.contents, f.Have)
		switch {
		case f.Kind == tree.KindMeta:
			m.meta = append(m.meta, i)
		case f.Kind == tree.KindSets:
			m.sets = append(m.sets, i)
		case isSetting(f):
			m.settings = append(m.settings, i)
		}
		if f.Have != nil {
			b.number(f.Have)
		}
		m.sums = append(m.sums, b.sumLines(f))
	}
	m.files = b.files
	b.t.files, b.t.keys = b.paths, b.keys
}

// number finds the numbers of the properties of a file. They stay with the
// contents: of a file that did not change each is only compared. The engine's lock
// is held, or the contents are a candidate's own.
func (b *builder) number(c *tree.Contents) {
	if c.IDs == nil {
		c.IDs = make([]uint32, len(c.Entries))
	}
	for i := range c.Entries {
		if id := c.IDs[i]; int(id) >= len(b.names.List) || b.names.List[id] != c.Entries[i].Key {
			c.IDs[i] = b.names.Add(c.Entries[i].Key)
		}
	}
}

// local reports whether a property is one member's own.
func (b *builder) local(p uint32) bool {
	return int(p) < len(b.schema.decls) && b.schema.decls[p].Local
}

func (b *builder) report(roots []finding.Finding) {
	b.t.findings = append(b.t.findings, roots...)
	for i, f := range b.files {
		r := b.fileReport(i)
		if f.Have != nil {
			r.Digest = f.Digest.String()
		}
		b.t.findings = append(b.t.findings, r.Errors...)
		b.at = append(b.at, -1)
		if f.Status != "" {
			b.at[i] = len(b.t.reports)
			b.t.reports = append(b.t.reports, r)
		}
	}
	b.t.made.reports = len(b.t.reports)
}

// fileReport is the report of a file without its digest.
func (b *builder) fileReport(i int) FileReport {
	f := b.files[i]
	r := FileReport{Path: b.paths[i], Status: f.Status, Errors: []finding.Finding{}}
	hidden := b.patternLines(f)
	for _, x := range f.Findings {
		x.Path = b.paths[i]
		if hidden[x.Line] {
			x.Text = "the value is not what it looks like to the existing system, or does not fit; it is masked by " + PropSecrets + ", so look at the line: quote it"
		}
		r.Errors = append(r.Errors, x)
	}
	return r
}

func (b *builder) find(file, line, col int, sev finding.Severity, code, format string, args ...any) {
	x := finding.Finding{Path: b.paths[file], Line: line, Col: col, Severity: sev, Code: code, Text: fmt.Sprintf(format, args...)}
	b.t.findings = append(b.t.findings, x)
	if i := b.at[file]; i >= 0 {
		b.t.reports[i].Errors = append(b.t.reports[i].Errors, x)
	}
}

// text resolves the tokens of a value.
func (b *builder) text(v string, file, line int) string {
	if !strings.Contains(v, "{{") {
		return v
	}
	b.tokens = true
	out, unresolved := yamlfile.ReplaceTokens(v, b)
	for _, u := range unresolved {
		b.find(file, line, 0, finding.Warning, "unresolved-token",
			"%s is not set and has no default, so it stays as it is: set it, or write {{NAME:default}}", finding.Quote(u))
	}
	return out
}

// Lookup finds what a token names: an environment variable, or a value of a
// properties file of the tree, named by its base name or the end of its path.
func (b *builder) Lookup(source, name string) (string, bool) {
	if b.blind {
		return Mask, true
	}
	file, isFile := strings.CutPrefix(source, "file:")
	if !isFile {
		return b.getenv(name)
	}
	if b.propAt == nil {
		b.propAt = map[string][]int{}
		for i, f := range b.files {
			if f.Kind == tree.KindProperties {
				base := filepath.Base(f.Rel)
				b.propAt[base] = append(b.propAt[base], i)
			}
		}
	}
	at := b.propAt[filepath.Base(file)]
	for _, i := range slices.Backward(at) {
		f := b.files[i]
		if f.Have == nil || f.Rel != file && !strings.HasSuffix(f.Rel, "/"+file) {
			continue
		}
		for _, e := range slices.Backward(f.Have.Entries) {
			if e.Key == name {
				return e.Value, true
			}
		}
	}
	return "", false
}

// scopePath reads the path from the server scope, where it is defined.
func (b *builder) scopePath() {
	d := b.schema.Lookup(PropScopes)
	text, file, line := d.Default, -1, 0
	if v := b.values.at(scopesID); v != nil {
		text, file, line = v.text, int(v.file)-1, int(v.line)
	}
	var path []string
	for _, s := range splitList(text) {
		switch {
		case !slices.Contains(tables.ScopeOrder, s):
			b.find(file, line, 0, finding.Error, "unknown-scope", "%s names the scope %s, which does not exist%s: it is left out; the scopes are %s",
				PropScopes, finding.Quote(s), didYouMean(s, tables.ScopeOrder), strings.Join(tables.ScopeOrder, ", "))
		case slices.Contains(path, s):
			b.find(file, line, 0, finding.Warning, "duplicate-scope", "%s names the scope %s twice: the first counts", PropScopes, s)
		default:
			path = append(path, s)
		}
	}
	if len(path) == 0 {
		if path = b.before.path; len(path) == 0 {
			path = tables.DefaultPath
		}
		b.find(file, line, 0, finding.Error, "no-scope", "%s names no scope, so nothing would be defined anywhere: %s applies",
			PropScopes, strings.Join(path, ", "))
	}
	b.scopes, b.t.carry.path = path, path
	for _, s := range path {
		b.t.path = append(b.t.path, providers[s])
		b.t.contexts = b.t.contexts || s == ScopeContext
		b.t.users = b.t.users || s == ScopeUser
	}
	b.t.standard = b.t.isStandard()
	for _, s := range slices.Backward(tables.ScopeOrder) {
		if slices.Contains(path, s) {
			b.t.locks = append(b.t.locks, providers[s])
		}
	}
}

// fit checks the server values of declared properties.
func (b *builder) fit() {
	for i := range b.schema.decls {
		d, p := &b.schema.decls[i], uint32(i)
		v := b.values.at(p)
		if v == nil {
			continue
		}
		_, err := d.Parse(v.text)
		if err == nil {
			b.t.carry.goods[p] = v.text
			continue
		}
		good, ok := b.before.goods[p]
		if ok {
			b.t.goods[p], b.t.carry.goods[p] = good, good
			fit := *v
			fit.bits = tables.BoolBits(good)
			b.values.set(p, fit)
		}
		b.find(int(v.file)-1, int(v.line), 0, finding.Error, "bad-value", "%s: %s; %s", d.Name, b.hide(d, v.text, err), b.applies(d, good, ok))
	}
}

// applies tells what is in force in the place of a value that does not fit:
// the last good one where there is one.
func (b *builder) applies(d *Declaration, good string, ok bool) string {
	switch {
	case ok && b.schema.Masks(d.Name, good):
		return "the last good value applies"
	case ok:
		return "the last good value " + finding.Quote(good) + " applies"
	case d.Kind == Bool:
		return "it counts as false"
	case d.NoDefault:
		return "it counts as not defined"
	case b.schema.Masks(d.Name, d.Default):
		return "the default applies"
	}
	return "the default " + finding.Quote(d.Default) + " applies"
}

// hide keeps the text of a secret out of its own error.
func (b *builder) hide(d *Declaration, value string, err error) string {
	if b.schema.Masks(d.Name, value) {
		return "the value is no " + d.Kind.String()
	}
	return err.Error()
}

func (b *builder) finish() {
	t := b.t
	for p, m := range t.meta {
		if at := slices.Index(b.scopes, m.final); m.final != "" && at >= 0 {
			if more := int(p) + 1 - len(t.final); more > 0 {
				t.final = append(t.final, make([]uint8, more)...)
			}
			t.final[p] = uint8(at + 1)
		}
	}
	t.server, t.made.number = b.values.serverTable, trees.Add(1)
	finding.Sort(t.findings)
	for i := range t.reports {
		if len(t.reports[i].Errors) > 1 {
			finding.Sort(t.reports[i].Errors)
		}
	}
}
