package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// rootFS is what a root is listed and read through: the disk, or an overlay.
type rootFS interface {
	fs.StatFS
	fs.ReadDirFS
}

// disk is a folder of the disk; "" takes names as paths. os.DirFS would do but
// for names that are no UTF-8, which a tree may have.
type disk string

func (d disk) path(name string) string {
	if d == "" {
		return name
	}
	return filepath.Join(string(d), filepath.FromSlash(name))
}

// Open never waits for what turns out to be a pipe or a device.
func (d disk) Open(name string) (fs.File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d disk) Stat(name string) (fs.FileInfo, error)      { return os.Stat(d.path(name)) }
func (d disk) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(d.path(name)) }

// overlay is a root as it would be with other files: those are in memory,
// everything else is read from what lies below, and nothing is written. What a load
// ignores is not there.
type overlay struct {
	below   rootFS                     // nil: nothing
	files   map[string]string          // texts by slash path
	gone    map[string]bool            // files of below that are not there
	folders map[string]map[string]bool // of the files, up to the root: what each holds
}

func newOverlay(below rootFS) *overlay {
	return &overlay{below: below, files: map[string]string{}, gone: map[string]bool{}, folders: map[string]map[string]bool{".": {}}}
}

// Bounds of a name, as Linux has them for what is saved.
const (
	maxNameBytes = 255
	maxPathBytes = 4095
)

// put has a file hold a text. It fails where no file can be.
func (o *overlay) put(name, text string) error {
	if len(name) > maxPathBytes || slices.ContainsFunc(strings.Split(name, "/"), func(s string) bool { return len(s) > maxNameBytes }) {
		return syscall.ENAMETOOLONG
	}
	if fi, err := o.Stat(name); err == nil && fi.IsDir() {
		return syscall.EISDIR
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		fi, err := o.Stat(dir)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case err == nil && !fi.IsDir():
			return syscall.ENOTDIR
		}
	}
	o.files[name] = text
	for p := name; p != "."; p = path.Dir(p) {
		dir := path.Dir(p)
		if o.folders[dir] == nil {
			o.folders[dir] = map[string]bool{}
		}
		o.folders[dir][path.Base(p)] = true
	}
	return nil
}

// remove has a file of below be gone. It fails where there is none.
func (o *overlay) remove(name string) error {
	fi, err := o.Stat(name)
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return syscall.EISDIR
	}
	o.gone[name] = true
	return nil
}

// covers reports whether nothing that is below has the name, whatever is there.
func (o *overlay) covers(name string) bool {
	if o.below == nil {
		return true
	}
	for p := name; p != "."; p = path.Dir(p) {
		if o.gone[p] || Ignored(path.Base(p)) {
			return true
		}
	}
	return false
}

// Stat follows links that are below.
func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	if !cleanName(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	if text, ok := o.files[name]; ok {
		return layered{path.Base(name), int64(len(text)), 0}, nil
	}
	err := error(&fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist})
	if !o.covers(name) {
		var fi fs.FileInfo
		if fi, err = o.below.Stat(name); err == nil {
			return fi, nil
		}
	}
	if o.folders[name] != nil {
		return layered{path.Base(name), 0, fs.ModeDir}, nil
	}
	return nil, err
}

// ReadDir lists a folder, sorted by name.
func (o *overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	fi, err := o.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	entries := map[string]fs.DirEntry{}
	if _, above := fi.(layered); !above {
		below, err := o.below.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range below {
			if !o.covers(path.Join(name, e.Name())) {
				entries[e.Name()] = e
			}
		}
	}
	for child := range o.folders[name] {
		fi, err := o.Stat(path.Join(name, child))
		if err != nil {
			return nil, err
		}
		// A folder that is below too stays a link where it is one.
		if _, above := fi.(layered); above || entries[child] == nil {
			entries[child] = fs.FileInfoToDirEntry(fi)
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) }), nil
}

// Open opens a file or a folder.
func (o *overlay) Open(name string) (fs.File, error) {
	fi, err := o.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case fi.IsDir():
		entries, err := o.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &layeredFolder{fi: fi, rest: entries}, nil
	}
	if text, ok := o.files[name]; ok {
		return &layeredFile{Reader: strings.NewReader(text), fi: fi}, nil
	}
	return o.below.Open(name)
}

// cleanName reports whether a name is a slash path that stays below a root and has
// one spelling.
func cleanName(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name
}

// layered is a file or a folder that only the overlay has. It has no inode.
type layered struct {
	name string
	size int64
	mode fs.FileMode
}

func (l layered) Name() string       { return l.name }
func (l layered) Size() int64        { return l.size }
func (l layered) Mode() fs.FileMode  { return l.mode }
func (l layered) ModTime() time.Time { return time.Time{} }
func (l layered) IsDir() bool        { return l.mode.IsDir() }
func (l layered) Sys() any           { return nil }

type layeredFile struct {
	*strings.Reader
	fi fs.FileInfo
}

func (f *layeredFile) Stat() (fs.FileInfo, error) { return f.fi, nil }
func (f *layeredFile) Close() error               { return nil }

// layeredFolder is a folder that is open, with the entries that are not read yet.
type layeredFolder struct {
	fi   fs.FileInfo
	rest []fs.DirEntry
}

func (d *layeredFolder) Stat() (fs.FileInfo, error) { return d.fi, nil }
func (d *layeredFolder) Close() error               { return nil }

func (d *layeredFolder) Read([]byte) (int, error) {
	return 0, fmt.Errorf("%s: %w", d.fi.Name(), syscall.EISDIR)
}

func (d *layeredFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out, nil
}
