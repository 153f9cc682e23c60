package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// NameError tells why a candidate file cannot have its name.
type NameError struct{ Name, Why string }

func (e *NameError) Error() string { return fmt.Sprintf("%.200q %s", e.Name, e.Why) }

// WithFiles is the set as it would be with some files in the place of its own: by
// slash path their text, nil where one is gone. A name is that of the last root that
// has it, and where none has it a new file of the last root. What is parsed is
// shared and not read again while it is the same; a scan of either set does not
// change the other. A wrong name is a *NameError.
func (fs *Set) WithFiles(files map[string]*string) (*Set, error) {
	next := *fs
	next.ids, next.Findings, next.Unreadable = slices.Clone(fs.ids), slices.Clone(fs.Findings), slices.Clone(fs.Unreadable)
	next.guards = guards{on: maps.Clone(fs.guards.on), devices: maps.Clone(fs.guards.devices)}
	next.Files, next.sorted, next.Whole = make(map[string]*File, len(fs.Files)), nil, nil
	for key, f := range fs.Files {
		own := *f
		next.Files[key] = &own
	}
	for _, root := range fs.Roots {
		next.over = append(next.over, newOverlay(disk(root)))
	}
	return &next, next.place(files)
}

// OnlyFiles is a set of one root that has these files and nothing else.
func OnlyFiles(files map[string]*string) (*Set, error) {
	next := NewSet([]string{"candidate"})
	next.over = []*overlay{newOverlay(nil)}
	return next, next.place(files)
}

// place puts candidate files over the roots.
func (fs *Set) place(files map[string]*string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !cleanName(name) || strings.Contains(name, `\`) || name == "." || strings.ContainsFunc(name, unicode.IsControl) {
			return &NameError{name, "is no path below a root: write it like contextSets/brand.yml"}
		}
		o, found := fs.over[len(fs.over)-1], false
		for _, over := range fs.over {
			if _, err := over.Stat(name); err == nil {
				o, found = over, true
			}
		}
		text, err := files[name], error(nil)
		switch {
		case text == nil && !found:
			return &NameError{name, "is not there, so it cannot go"}
		case text == nil:
			err = o.remove(name)
		default:
			err = o.put(name, *text)
		}
		if errors.As(err, new(syscall.Errno)) {
			return &NameError{name, fmt.Sprintf("cannot be a file (%s): compare it with the other paths", Cause(err))}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Unreached is a *NameError for a candidate file that the last scan should have
// found and did not: nothing would read it there.
func (fs *Set) Unreached() error {
	for i, o := range fs.over {
		for _, name := range slices.Sorted(maps.Keys(o.files)) {
			switch {
			case fs.Files[FileKey(i, name)] != nil, KindOf(name) == kindNone, slices.ContainsFunc(strings.Split(name, "/"), Ignored):
			case fs.lost(i, name):
				return &NameError{name, "lies where nothing can be read now: `sluice check` on the machine of the server says why"}
			default:
				return &NameError{name, "is not read there: a link on its way leads back to a folder above it, or its folder is too deep; use the path of the folder itself"}
			}
		}
	}
	return nil
}

// list walks a root, or what lies over it.
func (fs *Set) list(i int) (*walk, error) {
	if fs.over == nil {
		return walkRoot(fs.Roots[i])
	}
	return walkOverlay(fs.Roots[i], fs.over[i])
}

// walkOverlay lists the files of a root with what lies over it.
func walkOverlay(root string, o *overlay) (*walk, error) {
	fi, err := o.Stat(".")
	if err != nil {
		return nil, err
	}
	if o.below == nil {
		return listFiles(o, rootID{}, "")
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	return listFiles(o, rootIDOf(root, fi), real)
}

// read reads a file of the set from where it is listed.
func (fs *Set) read(tf *File) ([]byte, stamp, error) {
	if fs.over == nil {
		return ReadFile(tf.Abs, LimitOf(tf.Kind))
	}
	return readFrom(fs.over[tf.Root], tf.Rel, LimitOf(tf.Kind))
}

var _ fs.FS = (*overlay)(nil)
