package cascade

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Bounds of a tree. The existing product ships some 600 files in a depth of 4;
// beyond these bounds a root points at the wrong folder.
const (
	MaxFiles = 20_000
	MaxDepth = 32
)

// kind is how a file of the tree is read.
type kind uint8

const (
	kindNone kind = iota
	kindProperties
	kindSets
	kindMeta
	kindSettings
	kindDirectory // not of a tree: a DirectoryFile
)

// kindOf decides by the slash path below the root.
func kindOf(rel string) kind {
	switch ext := strings.ToLower(filepath.Ext(rel)); ext {
	case ".properties":
		return kindProperties
	case ".yml", ".yaml":
		switch top, _, _ := strings.Cut(rel, "/"); top {
		case "contextSets":
			return kindSets
		case "meta":
			return kindMeta
		case "settings":
			return kindSettings
		}
	}
	return kindNone
}

// leftovers are endings that editors and package managers leave behind.
var leftovers = []string{"~", ".swp", ".swo", ".swx", ".orig", ".bak"}

// ignored reports names that are never part of a tree: hidden ones, leftovers,
// and the admin master password file of the existing system.
func ignored(name string) bool {
	if strings.HasPrefix(name, ".") || name == "mpasswd" || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") {
		return true
	}
	lower := strings.ToLower(name)
	return slices.ContainsFunc(leftovers, func(s string) bool { return strings.HasSuffix(lower, s) }) ||
		strings.Contains(lower, ".dpkg-") || strings.Contains(lower, ".rpm")
}

// found is a file of the tree, or the reason why what has its name is none.
type found struct {
	rel, abs string
	kind     kind
	err      error
}

// walk is one pass over a root.
type walk struct {
	files      []found
	dirs       []string // folders to watch, and those that links point into
	unreadable []string // slash paths whose contents are not known now; "" is the root
	findings   []finding.Finding
}

type inode struct{ dev, ino uint64 }

func inodeOf(fi fs.FileInfo) inode {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return inode{uint64(st.Dev), st.Ino}
	}
	return inode{}
}

// walkRoot lists the files of one root, sorted bytewise by their slash paths.
// An error means that the root itself cannot be read.
func walkRoot(root string) (*walk, error) {
	fi, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", root)
	}
	w := &walk{}
	if err := w.dir(root, "", []inode{inodeOf(fi)}); err != nil {
		return nil, err
	}
	slices.SortFunc(w.files, func(a, b found) int { return strings.Compare(a.rel, b.rel) })
	return w, nil
}

func (w *walk) dir(abs, rel string, above []inode) error {
	w.dirs = append(w.dirs, abs)
	entries, err := os.ReadDir(abs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ignored(e.Name()) {
			continue
		}
		if err := w.entry(filepath.Join(abs, e.Name()), strings.TrimPrefix(rel+"/"+e.Name(), "/"), e, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(abs, rel string, e fs.DirEntry, above []inode) error {
	k := kindOf(rel)
	fi, err := os.Stat(abs)
	link := e.Type()&fs.ModeSymlink != 0
	switch {
	case err != nil:
		if k != kindNone && !(errors.Is(err, fs.ErrNotExist) && !link) {
			w.add(found{rel, abs, k, linkError(err, link)})
		}
		return nil
	case fi.IsDir():
		id := inodeOf(fi)
		if slices.Contains(above, id) {
			w.warn(rel, "link-loop", "this link leads back to a folder that it is in, and is not followed: remove it")
			return nil
		}
		if len(above) >= MaxDepth {
			w.warn(rel, "too-deep", fmt.Sprintf("folders below %d levels are not read", MaxDepth))
			return nil
		}
		if err := w.dir(abs, rel, append(slices.Clone(above), id)); err != nil {
			if errors.Is(err, errTooManyFiles) {
				return err
			}
			w.unreadable = append(w.unreadable, rel)
			w.findings = append(w.findings, finding.Finding{
				Path: rel, Severity: finding.Error, Code: "unreadable",
				Text: fmt.Sprintf("the folder cannot be read (%v): its files keep their last good contents", cause(err)),
			})
		}
		if link {
			w.watchTarget(abs)
		}
		return nil
	case k == kindNone:
		return nil
	case !fi.Mode().IsRegular():
		return w.add(found{rel, abs, k, fmt.Errorf("it is %s, not a regular file", modeName(fi.Mode()))})
	}
	if link {
		w.watchTarget(abs)
	}
	return w.add(found{rel, abs, k, nil})
}

var errTooManyFiles = fmt.Errorf("more than %d files: is this the right folder?", MaxFiles)

func (w *walk) add(f found) error {
	if len(w.files) >= MaxFiles {
		return errTooManyFiles
	}
	w.files = append(w.files, f)
	return nil
}

func (w *walk) warn(rel, code, text string) {
	w.findings = append(w.findings, finding.Finding{Path: rel, Severity: finding.Warning, Code: code, Text: text})
}

// watchTarget notes the folder that a link's target stands in: a change there
// causes no event in the folder of the link.
func (w *walk) watchTarget(link string) {
	if target, err := filepath.EvalSymlinks(link); err == nil {
		w.dirs = append(w.dirs, filepath.Dir(target))
	}
}

func linkError(err error, link bool) error {
	switch {
	case errors.Is(err, syscall.ELOOP):
		return errors.New("this link leads to itself")
	case errors.Is(err, fs.ErrNotExist) && link:
		return errors.New("this link leads to nothing")
	}
	return cause(err)
}

// cause drops the operation and the absolute path of a file system error: the
// finding names the file already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func modeName(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something"
}
