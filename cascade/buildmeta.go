package cascade

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tagexpr"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// metaEntries calls f with the entries of the metadata files that count, in
// the order of the files.
func (b *builder) metaEntries(f func(file int, place string, e *yamlfile.MetaEntry)) {
	for _, i := range b.t.made.meta {
		if b.files[i].Have == nil {
			continue
		}
		for _, e := range b.files[i].Have.Meta {
			place := b.keys[i] + "\x00" + e.Property
			if e.Invalid {
				good, ok := b.before.meta[place]
				if !ok {
					continue
				}
				e = good
			}
			f(i, place, &e)
		}
	}
}

// metaValues puts the values of the metadata over those of the files: before
// the path is read, which may be one of them.
func (b *builder) metaValues() {
	b.metaEntries(func(file int, _ string, e *yamlfile.MetaEntry) {
		if e.Value != nil && e.Value.Defined {
			b.setServer(b.names.Add(e.Property), b.text(e.Value.Text, file, e.Value.Line), file, e.Line)
		}
	})
}

// meta merges the rest of the metadata.
func (b *builder) meta() {
	b.metaEntries(func(file int, place string, e *yamlfile.MetaEntry) {
		b.t.carry.meta[place] = *e
		b.metaEntry(file, place, e)
	})
}

func (b *builder) metaEntry(file int, place string, e *yamlfile.MetaEntry) {
	p := b.names.Add(e.Property)
	m := b.t.meta[p]
	if m == nil {
		m = &metaInfo{}
		b.t.meta[p] = m
	}
	if e.Protected != nil {
		m.protected = e.Protected
	}
	if e.PreferencePath != nil {
		m.preferencePath = b.text(e.PreferencePath.Text, file, e.PreferencePath.Line)
	}
	if e.Final == nil || !e.Final.Defined {
		return
	}
	scope := b.text(e.Final.Text, file, e.Final.Line)
	if slices.Contains(b.scopes, scope) {
		m.final, m.finalFile, m.finalLine = scope, b.paths[file], e.Line
		b.t.carry.finals[place] = *m
		return
	}
	applies := "the lock is ignored"
	if good, ok := b.before.finals[place]; ok && slices.Contains(b.scopes, good.final) {
		m.final, m.finalFile, m.finalLine = good.final, good.finalFile, good.finalLine
		b.t.carry.finals[place] = good
		applies = "the last good lock, to " + good.final + ", stays"
	}
	b.find(file, e.Final.Line, e.Final.Col, finding.Error, "unknown-final",
		"%s: final names %s, which is no scope of the path (%s)%s: %s",
		e.Property, finding.Quote(scope), strings.Join(b.scopes, ", "), didYouMean(scope, b.scopes), applies)
}

// sets compiles the context sets.
func (b *builder) sets() {
	types := b.types()
	m := &b.t.made
	m.types = types
	if b.sameSets() {
		b.t.sets, m.plain = b.from.sets, true
		b.t.carry.blocks, b.t.carry.values = b.from.carry.blocks, b.from.carry.values
		return
	}
	found, odd := len(b.t.findings), false
	b.tokens = false
	si := &setIndex{defs: make([]setDefs, 1)}
	b.t.sets = si
	byProp := map[uint32][]setDef{}
	for _, i := range m.sets {
		f := b.files[i]
		if f.Have == nil {
			continue
		}
		for _, blk := range f.Have.Blocks {
			place := b.keys[i] + "\x00" + blk.Name
			expr, tags, ok := b.head(i, &blk)
			stale := false
			if !ok {
				odd = true
				good, have := b.before.blocks[place]
				if !have {
					si.blocks = append(si.blocks, setBlock{file: b.paths[i], name: blk.Name, line: blk.Line, priority: blk.Priority})
					b.setProps(i, place, &blk, uint32(len(si.blocks)-1), byProp)
					continue
				}
				b.amend(i, &blk, good.Expr)
				blk = good
				expr, tags, _ = b.head(i, &blk)
				stale = true
			}
			b.t.carry.blocks[place] = blk
			si.blocks = append(si.blocks, setBlock{
				file: b.paths[i], name: blk.Name, line: blk.Line, priority: blk.Priority, expr: expr, addTags: tags, stale: stale,
			})
			b.setProps(i, place, &blk, uint32(len(si.blocks)-1), byProp)
		}
	}
	m.plain = !odd && !b.tokens && len(b.t.findings) == found
	// The order of look-up: higher priority first, then that of the files.
	order := make([]uint32, len(si.blocks))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(x, y uint32) int { return cmp.Compare(si.blocks[y].priority, si.blocks[x].priority) })
	si.rank = make([]uint32, len(order))
	for r, i := range order {
		si.rank[i] = uint32(r)
	}
	si.defAt = make([]uint32, len(b.names.List))
	for p, defs := range byProp {
		slices.SortFunc(defs, func(x, y setDef) int { return cmp.Compare(si.rank[x.block], si.rank[y.block]) })
		mask := make([]uint64, si.rank[defs[len(defs)-1].block]/64+1)
		for _, d := range defs {
			mask[si.rank[d.block]/64] |= 1 << (si.rank[d.block] % 64)
		}
		si.defAt[p] = uint32(len(si.defs))
		si.defs = append(si.defs, setDefs{defs, mask})
	}
	si.seal(types)
}

// types are the tags that the server scope gives everybody.
func (b *builder) types() []string {
	if v := b.values.at(typesID); v != nil && slices.Contains(b.scopes, ScopeServer) {
		return splitList(v.text)
	}
	return nil
}

// neverMatches ends the text of an expression that is wrong.
const neverMatches = "until then the block never matches"

// amend says in the findings of a block that its last good form is in force. The
// findings of a file that does not load are of other contents than its blocks.
func (b *builder) amend(file int, blk *yamlfile.Block, good *tagexpr.Expr) {
	if b.files[file].Status == FileFailed {
		return
	}
	form := "its last good form applies"
	if good != nil {
		form = "its last good form applies, with " + finding.Quote(good.String())
	}
	tell := func(list []finding.Finding) {
		for i := range list {
			x := &list[i]
			if x.Path != b.paths[file] || x.Severity != finding.Error || x.Line == 0 || x.Line != blk.Line && x.Line != blk.With.Line && x.Line != blk.AddText.Line || strings.HasSuffix(x.Text, form) {
				continue
			}
			if head, ok := strings.CutSuffix(x.Text, neverMatches); ok {
				x.Text = head + form
			} else {
				x.Text += "; " + form
			}
		}
	}
	tell(b.t.findings)
	if at := b.at[file]; at >= 0 {
		tell(b.t.reports[at].Errors)
	}
}

// head returns a block's expression and the tags it adds; ok is false where
// its last good form is to be used.
func (b *builder) head(file int, blk *yamlfile.Block) (*tagexpr.Expr, []string, bool) {
	if blk.Invalid {
		return nil, nil, false
	}
	expr, tags := blk.Expr, blk.AddTags
	if blk.With.Token {
		var fs []finding.Finding
		expr, fs = yamlfile.ParseExpression(b.paths[file], blk.With.Line, blk.With.Col, b.text(blk.With.Text, file, blk.With.Line))
		b.addFindings(file, fs)
	}
	if blk.AddText.Token {
		var fs []finding.Finding
		tags, fs = yamlfile.ParseTagList(b.paths[file], blk.AddText.Line, blk.AddText.Col, b.text(blk.AddText.Text, file, blk.AddText.Line))
		b.addFindings(file, fs)
	}
	return expr, tags, expr != nil
}

func (b *builder) addFindings(file int, fs []finding.Finding) {
	for _, x := range fs {
		b.find(file, x.Line, x.Col, x.Severity, x.Code, "%s", x.Text)
	}
}

// setProps collects the properties of a block.
func (b *builder) setProps(file int, place string, blk *yamlfile.Block, block uint32, byProp map[uint32][]setDef) {
	for _, pr := range blk.Properties {
		at := place + "\x00" + pr.Name
		def := setDef{block: block, line: pr.Value.Line}
		good, hasGood := b.before.values[at]
		switch {
		case pr.Value.Invalid && !hasGood:
			continue
		case pr.Value.Invalid:
			def.text = good
			b.t.carry.values[at] = good
		case !pr.Value.Defined:
			continue
		default:
			def.text = b.text(pr.Value.Text, file, pr.Value.Line)
			b.checkSetValue(file, at, pr, &def, good, hasGood)
		}
		if def.bits = tables.BoolBits(def.text); def.bad && def.bits == 0 {
			def.bits = tables.BoolBits(def.good)
		}
		p := b.names.Add(pr.Name)
		byProp[p] = append(byProp[p], def)
	}
}

func (b *builder) checkSetValue(file int, at string, pr yamlfile.Property, def *setDef, good string, hasGood bool) {
	d := b.schema.Lookup(pr.Name)
	if d == nil {
		b.t.carry.values[at] = def.text
		return
	}
	_, err := d.Parse(def.text)
	if err == nil {
		b.t.carry.values[at] = def.text
		return
	}
	def.bad = true
	if hasGood {
		def.good = good
		b.t.carry.values[at] = good
	}
	b.find(file, pr.Value.Line, pr.Value.Col, finding.Error, "bad-value", "%s: %s; %s", d.Name, b.hide(d, pr.Value.Text, err), b.applies(d, good, hasGood))
}
