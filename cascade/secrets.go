package cascade

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/secret"
	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// Mask is what stands for a secret value in every output.
const Mask = secret.Mask

// secrets is what a schema knows of what must not be shown.
type secrets struct {
	patterns  atomic.Pointer[[]string] // of PropSecrets, as last read
	digestKey atomic.Pointer[[]byte]
}

// Secret reports whether values of the property are masked, but for numbers,
// booleans and durations where only an earlier part of the name says so.
func (s *Schema) Secret(name string) bool {
	if name == PropSecrets {
		return false
	}
	return s.declaredSecret(name) || secret.Find(name) != secret.Nowhere || secret.Match(name, s.secretPatterns())
}

func (s *Schema) declaredSecret(name string) bool {
	d := s.Lookup(name)
	return d != nil && d.Secret
}

// Hides reports whether nothing of a value of the property may be shown.
func (s *Schema) Hides(name, value string) bool {
	if name == PropSecrets {
		return false // it only looks like one
	}
	return s.declaredSecret(name) || secret.Hides(name, value, s.secretPatterns())
}

// Show returns a value as it may be shown: see secret.Show.
func (s *Schema) Show(name, value string) string {
	if name == PropSecrets {
		return value
	}
	if s.declaredSecret(name) {
		return Mask
	}
	return secret.Show(name, value, s.secretPatterns())
}

// Masks reports whether some of a value may not be shown.
func (s *Schema) Masks(name, value string) bool { return s.Show(name, value) != value }

func (s *secrets) secretPatterns() []string {
	if p := s.patterns.Load(); p != nil {
		return *p
	}
	return nil
}

// patterns takes up the patterns of the files: before anything is compiled, whose
// findings may show values. One that cannot be read hides nothing, and the
// property has an error.
func (e *Engine) patterns() {
	text := ""
	for _, f := range e.set.Sorted() {
		if f.Have == nil {
			continue
		}
		for _, en := range f.Have.Entries {
			if en.Key == PropSecrets {
				text = en.Value
			}
		}
	}
	list := slices.DeleteFunc(splitList(text), func(p string) bool { return secret.CheckPattern(p) != nil })
	e.hidden = &list
	e.opt.Schema.patterns.Store(&list)
}

// patternLines are the lines of a YAML file with values that only a pattern
// masks: the reader of the file does not know of it.
func (b *builder) patternLines(f *tree.File) map[int]bool {
	patterns := b.schema.secretPatterns()
	if len(patterns) == 0 || len(f.Findings) == 0 || f.Have == nil {
		return nil
	}
	lines := map[int]bool{}
	note := func(name string, v *yamlfile.Value) {
		if v != nil && secret.Match(name, patterns) {
			lines[v.Line] = true
		}
	}
	for i := range f.Have.Blocks {
		for j := range f.Have.Blocks[i].Properties {
			p := &f.Have.Blocks[i].Properties[j]
			note(p.Name, &p.Value)
		}
	}
	for i := range f.Have.Meta {
		note(f.Have.Meta[i].Property, f.Have.Meta[i].Value)
	}
	for i := range f.Have.Settings {
		note(f.Have.Settings[i].Name, &f.Have.Settings[i].Value)
	}
	return lines
}

// SetDigestKey makes the digests that are shown keyed ones, so that nobody who
// sees one can try out which contents have it. Members of a cluster need the
// same key: their digests are compared.
func (s *Schema) SetDigestKey(key []byte) {
	k := slices.Clone(key)
	s.digestKey.Store(&k)
}

// shownDigest is a digest as it is shown.
func (s *secrets) shownDigest(digest string) string {
	k := s.digestKey.Load()
	if k == nil || digest == "" {
		return digest
	}
	sum := hmac.New(sha256.New, *k)
	sum.Write([]byte(digest)) // never fails
	return hex.EncodeToString(sum.Sum(nil))
}

// everybody is the permission to read that all users of the machine have.
const everybody = 0o004

// LooseSecrets warns of files with secrets that everybody may read, once a file.
func (e *Engine) LooseSecrets() []finding.Finding {
	e.load.Lock()
	defer e.load.Unlock()
	sn := e.Snapshot()
	var out []finding.Finding
	for i, f := range e.set.Sorted() {
		if f.Have == nil || i >= len(sn.tree.files) {
			continue
		}
		fi, err := os.Stat(f.Abs)
		if err != nil || fi.Mode()&everybody == 0 {
			continue // what cannot be read has a finding of its own
		}
		name, line, more := "", 0, 0
		note := func(n string, v string, at int) {
			switch {
			case v == "" || strings.Contains(v, "{{") || !e.opt.Schema.Masks(n, v):
			case name == "":
				name, line = n, at
			default:
				more++
			}
		}
		for _, en := range f.Have.Entries {
			note(en.Key, en.Value, en.Line)
		}
		for _, b := range f.Have.Blocks {
			for _, p := range b.Properties {
				note(p.Name, p.Value.Text, p.Value.Line)
			}
		}
		for _, m := range f.Have.Meta {
			if m.Value != nil {
				note(m.Property, m.Value.Text, m.Value.Line)
			}
		}
		for _, p := range f.Have.Settings {
			note(p.Name, p.Value.Text, p.Value.Line)
		}
		if name == "" {
			continue
		}
		and := ""
		if more > 0 {
			and = fmt.Sprintf(" and %d more", more)
		}
		out = append(out, finding.Finding{
			Path: sn.tree.files[i], Line: line, Severity: finding.Warning, Code: "readable-secret",
			Text: fmt.Sprintf("everybody may read this file (mode %04o), and it holds the secret %s%s: chmod 640, with the group that Sluice runs as", fi.Mode().Perm(), finding.Quote(name), and),
		})
	}
	return out
}
