package tree

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Folder is a folder of a root; dir is its slash path, "" for the root itself.
type Folder struct {
	Root int
	Dir  string
}

// holds reports whether a path of the root lies in the folder.
func (f Folder) holds(rel string) bool { return f.Dir == "" || strings.HasPrefix(rel, f.Dir+"/") }

// above lists the folders that a path lies in, the root last.
func above(rel string) []string {
	var out []string
	for dir := path.Dir(rel); ; dir = path.Dir(dir) {
		if dir == "." {
			return append(out, "")
		}
		out = append(out, dir)
	}
}

// guards are the folders that held files and hold none, of which it is not
// known that somebody wanted that: a volume may not be mounted. Their files keep
// what is in force until the folder has files again, or someone accepts it.
type guards struct {
	on      map[Folder]bool
	devices map[Folder]uint64 // of the folders that had files at the last scan
}

func newGuards() guards { return guards{on: map[Folder]bool{}, devices: map[Folder]uint64{}} }

// hides reports whether a guarded folder holds the path.
func (g *guards) hides(root int, rel string) bool {
	if len(g.on) == 0 {
		return false
	}
	return slices.ContainsFunc(above(rel), func(dir string) bool { return g.on[Folder{root, dir}] })
}

// guard decides which folders of a root are guarded after a walk, and reports
// them. With accept none is.
func (fs *Set) guard(root int, w *walk, accept bool) {
	full := map[string]bool{}
	for i := range w.files {
		for _, dir := range above(w.files[i].rel) {
			if full[dir] {
				break // and so are those above
			}
			full[dir] = true
		}
	}
	for f, device := range fs.guards.devices {
		if f.Root != root || full[f.Dir] {
			continue
		}
		// What is left where a volume was mounted is a folder of another device.
		if now, there := w.devices[f.Dir]; there && now != device {
			fs.guards.on[f] = true
		}
		delete(fs.guards.devices, f)
	}
	for dir := range full {
		fs.guards.devices[Folder{root, dir}] = w.devices[dir]
	}
	for _, f := range slices.SortedFunc(maps.Keys(fs.guards.on), func(a, b Folder) int { return strings.Compare(a.Dir, b.Dir) }) {
		if f.Root != root || w.hides(f.Dir+"/") {
			continue
		}
		held := 0
		for _, tf := range fs.Files {
			if tf.Root == root && f.holds(tf.Rel) && !accept && !full[f.Dir] {
				tf.Status, held = FileMissing, held+1
			}
		}
		if held == 0 {
			delete(fs.guards.on, f)
			continue
		}
		fs.Findings = append(fs.Findings, fs.guardFinding(f, held, w))
	}
}

func (fs *Set) guardFinding(f Folder, held int, w *walk) finding.Finding {
	state := "is empty"
	if _, there := w.devices[f.Dir]; !there {
		state = "is missing"
	}
	name := Display(f.Dir)
	if f.Dir == "" {
		name = filepath.ToSlash(fs.Roots[f.Root])
	}
	return finding.Finding{
		Path: name, Severity: finding.Error, Code: "folder-empty",
		Text: fmt.Sprintf("this folder held %d files and %s: they keep their last good contents; mount or fill it, or run `sluice reload --accept` to take it as it is", held, state),
	}
}

// RestoreFolders brings back what folders held that are empty, missing or
// unreadable at a start. A file that is gone from a folder with others was
// deleted, and stays so.
func (k *LastGood) RestoreFolders(set *Set) {
	if k.dir == "" {
		return
	}
	full := map[Folder]bool{}
	for _, f := range set.Files {
		for _, dir := range above(f.Rel) {
			full[Folder{f.Root, dir}] = true
		}
	}
	restored := false
	for _, kf := range k.files {
		root, rel := slices.Index(set.Roots, string(kf.Root)), string(kf.Path)
		if root < 0 || KindOf(rel) == kindNone || set.Files[FileKey(root, rel)] != nil {
			continue
		}
		in := Folder{root, above(rel)[0]}
		if full[in] && !set.lost(root, rel) {
			continue
		}
		tf := &File{Root: root, Rel: rel, Abs: filepath.Join(set.Roots[root], rel), Kind: KindOf(rel), Status: FileMissing}
		if k.RestoreFile(set, tf); tf.Have != nil {
			set.Files[FileKey(root, rel)], set.guards.on[in], restored = tf, true, true
			set.sorted = nil
		}
	}
	if restored {
		set.Scan(true) // which reports the folders
	}
}

// lost reports whether nothing can be told of what the path holds.
func (fs *Set) lost(root int, rel string) bool {
	return slices.ContainsFunc(fs.Unreadable, func(f Folder) bool { return f.Root == root && f.holds(rel) })
}

// HasLastGood reports whether some file of a folder has contents in force.
func (fs *Set) HasLastGood(f Folder) bool {
	for _, tf := range fs.Files {
		if tf.Root == f.Root && f.holds(tf.Rel) && tf.Have != nil {
			return true
		}
	}
	return false
}

// emptyRoot warns of a root without files: at a first start nothing tells it
// from a volume that is not mounted.
func emptyRoot(root string) finding.Finding {
	return finding.Finding{
		Path: filepath.ToSlash(root), Severity: finding.Warning, Code: "empty-root",
		Text: "this root holds no file that is read, so defaults apply: mount it, or correct --etc, if that is not meant",
	}
}
