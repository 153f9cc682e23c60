package cascade

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// FuzzTree replaces the files of a good tree by anything: nothing panics, the
// neighbour keeps its value, findings stay one line, and all ways to a value
// agree.
func FuzzTree(f *testing.F) {
	for _, pattern := range []string{"testdata/corpus/*/*.txtar", "testdata/golden/*.txtar"} {
		paths, err := filepath.Glob(pattern)
		must(f, err)
		for _, p := range paths {
			ar, err := txtar.ParseFile(p)
			must(f, err)
			var props, sets, meta []byte
			for _, file := range ar.Files {
				switch rel := strings.TrimPrefix(file.Name, "etc/"); tree.KindOf(rel) {
				case tree.KindProperties:
					props = file.Data
				case tree.KindSets:
					sets = file.Data
				case tree.KindMeta, tree.KindSettings:
					meta = file.Data
				}
			}
			f.Add(props, sets, meta, []byte(nil))
		}
	}
	f.Add([]byte("a={{file<p.properties> a}}\n"), []byte("a:\n  withTags: '{{env SLUICE_TEST}}'\n"), []byte("p: {final: \"{{NONE}}\"}\n"),
		[]byte("contexts:\n  - id: 1\n    config: {neighbour: {value: x, final: user, expires: 2020-01-01T00:00:00Z}}\n"))
	schema := testSchema(f)
	f.Fuzz(func(t *testing.T, props, sets, meta, directory []byte) {
		set := tree.NewSet([]string{"/etc"})
		add := func(rel string, data []byte) {
			tf := &tree.File{Rel: rel, Kind: tree.KindOf(rel)}
			if c, fs, ok := tree.Parse(tf.Kind, rel, data); ok {
				tf.Have, tf.Findings, tf.Status = c, fs, FileOK
			} else {
				tf.Findings, tf.Status = fs, FileFailed
				if len(fs) == 0 {
					t.Fatalf("%s is refused without a reason", rel)
				}
			}
			set.Files[tree.FileKey(0, rel)] = tf
		}
		add("p.properties", props)
		add("contextSets/s.yml", sets)
		add("meta/m.yml", meta)
		add("settings/s.yml", meta)
		add("zz.properties", []byte("neighbour=1\n"))
		sn := &Snapshot{schema: schema, names: tables.NewNames(schema.names()), tables: tables.New(len(schema.decls)), memo: tables.Memo{}.Next(len(schema.decls), 0)}
		if dir, _, ok := tree.Parse(tree.KindDirectory, "d.yml", directory); ok {
			batch, _, _ := directoryBatch("d.yml", dir.Directory, schema)
			must(t, sn.load(SourceLoad{Batch: batch}, set.Now()))
		}
		before := newCarry()
		for range 2 { // the second time with what the first one carries
			ed := sn.names.Edit()
			sn.tree = build(set, schema, ed, before, testEnv)
			sn.names, before, sn.memo = ed.Table(), sn.tree.carry, tables.Memo{}.Next(len(schema.decls), 0)
			for _, f := range sn.Findings() {
				if strings.ContainsFunc(f.String(), unicode.IsControl) {
					t.Errorf("finding %q", f.String())
				}
			}
			for _, su := range []Subject{{}, {Context: 1}, {Context: 1, User: 2}, {Context: 7}} {
				for i, name := range sn.Names(su) {
					if i == 50 {
						break
					}
					if err := consistent(sn, su, name); err != nil {
						t.Error(err)
					}
				}
			}
			sn.Lint()
		}
		if sn.tree.server.at(scopesID) == nil {
			p, _ := sn.names.ID("neighbour")
			if _, inMeta := sn.tree.meta[p]; sn.tree.server.at(p).text != "1" && !inMeta {
				e := sn.tree.server.at(p)
				if sn.tree.files[e.file-1] == "zz.properties" {
					t.Errorf("the neighbour is %q", e.text)
				}
			}
		}
	})
}
