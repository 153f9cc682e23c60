package tree

import (
	"maps"
	"os"
	"slices"
	"time"
)

// maxTouched is how many files are looked at one by one: with more of them the
// folders are read.
const maxTouched = 256

// touched is what events named since the last load began. The lock of the watcher
// guards it.
type touched struct {
	paths map[string]bool // of files, by the real path of their folder
	more  bool            // something else happened, or too much
}

func (t *touched) file(path string) {
	if t.more {
		return
	}
	if t.paths == nil {
		t.paths = map[string]bool{}
	}
	if t.paths[path] = true; len(t.paths) > maxTouched {
		t.other()
	}
}

func (t *touched) other() { t.paths, t.more = nil, true }

// take returns the files, and whether they are all that happened, and begins anew.
func (t *touched) take() (paths []string, only bool) {
	paths, only = slices.Sorted(maps.Keys(t.paths)), !t.more
	*t = touched{}
	return paths, only
}

// ScanSome is Scan for files that events named, and those that had not settled when it
// was last called. ok is false where it cannot tell all that there is to tell, and did
// nothing: a file came or went, is a link or has another name, or something is not as
// it should be anywhere. Then Scan tells.
func (fs *Set) ScanSome(paths []string) (changed bool, again time.Duration, ok bool) {
	paths = append(slices.Clone(paths), fs.later...)
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if !fs.calm || fs.ReadAll || len(paths) == 0 || len(fs.guards.on) > 0 {
		return false, 0, false
	}
	files := make([]*File, len(paths))
	for i, path := range paths {
		if files[i] = fs.at(path); files[i] == nil || !plain(path) {
			return false, 0, false
		}
	}
	fs.later = nil
	for i, tf := range files {
		c, wait := fs.Look(tf, nil, false)
		changed = changed || c
		if wait > 0 {
			fs.later = append(fs.later, paths[i])
			if again == 0 || wait < again {
				again = wait
			}
		}
	}
	return changed, again, true
}

// at is the one file of the last scan that has the path; nil: there is none, or more
// than one.
func (fs *Set) at(path string) *File {
	if fs.byPath == nil {
		fs.byPath = make(map[string]*File, len(fs.Files))
		for _, tf := range fs.Files {
			if _, twice := fs.byPath[tf.Abs]; twice {
				fs.byPath[tf.Abs] = nil
				continue
			}
			fs.byPath[tf.Abs] = tf
		}
	}
	return fs.byPath[path]
}

// plain reports whether a path is that of a regular file with one name.
func plain(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode().IsRegular() && stampOf(fi).names == 1
}
