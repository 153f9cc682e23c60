package cascade

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// sumLines are what a file adds to the digests of a tree; "": nothing.
type sumLines struct {
	all    string
	shared string // without the properties that are one member's own
}

// sumLines are those of a file whose properties have numbers.
func (b *builder) sumLines(f *tree.File) sumLines {
	if f.Have == nil {
		return sumLines{}
	}
	l := sumLines{all: fmt.Sprintf("%d\x00%s\x00%s\n", f.Root, f.Rel, f.Digest)}
	own := 0
	for _, p := range f.Have.IDs {
		if b.local(p) {
			own++
		}
	}
	if own == 0 {
		l.shared = l.all
		return l
	}
	if own == len(f.Have.Entries) {
		return l
	}
	var rest strings.Builder
	fmt.Fprintf(&rest, "%d\x00%s\n", f.Root, f.Rel)
	for i, e := range f.Have.Entries {
		if !b.local(f.Have.IDs[i]) {
			fmt.Fprintf(&rest, "%q\x00%q\n", e.Key, e.Value)
		}
	}
	l.shared = rest.String()
	return l
}

// digests adds up what the files add.
func (b *builder) digests() {
	all, shared := sha256.New(), sha256.New()
	var buf []byte
	for _, l := range b.t.made.sums {
		buf = append(buf[:0], l.all...)
		all.Write(buf) // a hash takes all
		if l.shared != l.all {
			buf = append(buf[:0], l.shared...)
		}
		shared.Write(buf)
	}
	b.t.digest, b.t.shared = hex.EncodeToString(all.Sum(nil)), hex.EncodeToString(shared.Sum(nil))
}

// isSetting reports whether what a file sets is a setting of clients.
func isSetting(f *tree.File) bool { return strings.HasPrefix(f.Rel, "settings/") }

// server collects the values of the properties and settings files.
func (b *builder) server() {
	for i := range b.files {
		b.serverFile(i)
	}
	b.preferences()
}

// serverFile takes the values of a file, where no later one has set them.
func (b *builder) serverFile(file int) {
	f := b.files[file]
	if f.Have == nil {
		return
	}
	b.tokens = false
	for j := range f.Have.Entries {
		e := &f.Have.Entries[j]
		b.setServer(f.Have.IDs[j], trimIf(b.text(e.Value, file, e.Line), e.Value), file, e.Line)
	}
	for _, e := range f.Have.Settings {
		if e.Value.Defined && !e.Value.Invalid {
			b.setServer(b.names.Add(e.Name), b.text(e.Value.Text, file, e.Value.Line), file, e.Value.Line)
		}
	}
	if b.tokens {
		b.t.made.tokens = append(b.t.made.tokens, file)
	}
}

// setServer sets a value of the server scope, unless one of a later file is there, or
// one of the metadata, which go over all others.
func (b *builder) setServer(p uint32, text string, file, line int) {
	kind := b.files[file].Kind
	if v := b.values.at(p); v != nil {
		winner := int(v.file) - 1
		if over := b.files[winner].Kind == tree.KindMeta; over && kind != tree.KindMeta || over == (kind == tree.KindMeta) && winner > file {
			return
		}
	}
	if b.from != nil {
		b.t.made.touched = append(b.t.made.touched, p)
	}
	b.values.set(p, serverVal{text: text, file: uint32(file + 1), line: uint32(line), bits: tables.BoolBits(text)})
}

// trimIf trims a value whose tokens were replaced: values are trimmed, wherever
// their text came from.
func trimIf(out, in string) string {
	if out == in {
		return out
	}
	return tables.Trim(out)
}

// preferences is what the folder settings says of properties
// (docs/reference/cascade.md#metadata): clients see one at a path of its own
// name, and do not change it.
func (b *builder) preferences() {
	note := func(p uint32, name string) {
		yes := true
		b.t.meta[p] = &metaInfo{preferencePath: name, protected: &yes}
	}
	for _, i := range b.t.made.settings {
		c := b.files[i].Have
		if c == nil {
			continue
		}
		for j := range c.Entries {
			note(c.IDs[j], c.Entries[j].Key)
		}
		for _, e := range c.Settings {
			if e.Value.Defined && !e.Value.Invalid {
				note(b.names.Add(e.Name), e.Name)
			}
		}
	}
}
