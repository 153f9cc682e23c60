package tree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Bounds of a tree. The existing product ships some 600 files in a depth of 4;
// beyond these bounds a root points at the wrong folder.
const (
	MaxFiles   = 20_000
	MaxFolders = 5_000 // counted as often as links lead to them
	MaxDepth   = 32
)

// Kind is how a file of the tree is read.
type Kind uint8

const (
	kindNone Kind = iota
	KindProperties
	KindSets
	KindMeta
	KindSettings
	KindDirectory // not of a tree: a DirectoryFile
)

// KindOf decides by the slash path below the root.
func KindOf(rel string) Kind {
	switch ext := strings.ToLower(filepath.Ext(rel)); ext {
	case ".properties":
		return KindProperties
	case ".yml", ".yaml":
		switch top, _, _ := strings.Cut(rel, "/"); top {
		case "contextSets":
			return KindSets
		case "meta":
			return KindMeta
		case "settings":
			return KindSettings
		}
	}
	return kindNone
}

// leftovers are endings that editors and package managers leave behind.
var leftovers = []string{".swp", ".swo", ".swx", ".orig", ".bak"}

// Ignored reports names that are never part of a tree: hidden ones, leftovers,
// and the admin master password file of the existing system.
func Ignored(name string) bool {
	if strings.HasPrefix(name, ".") || name == "mpasswd" || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#") {
		return true
	}
	// Only the ending tells: a.rpm.properties is a file like any other.
	ext := strings.ToLower(filepath.Ext(name))
	return slices.Contains(leftovers, ext) || strings.HasPrefix(ext, ".dpkg-") || strings.HasPrefix(ext, ".rpm")
}

// found is a file of the tree, or the reason why what has its name is none.
type found struct {
	rel, abs string
	kind     Kind
	err      error
	links    []string // on its way below the root: see hops
	st       stamp    // without err
}

// walk is one pass over a root.
type walk struct {
	fsys       rootFS
	root       rootID
	files      []found
	dirs       []string          // real paths of the folders to watch
	hops       []string          // links, and what they lead to: see hops
	through    []string          // those on the way to the folder that is read
	devices    map[string]uint64 // of the folders, by slash path
	unreadable []string          // slash paths whose contents are not known now
	findings   []finding.Finding
}

type inode struct{ dev, ino uint64 }

func inodeOf(fi fs.FileInfo) inode {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return inode{uint64(st.Dev), st.Ino}
	}
	return inode{}
}

// rootID tells a folder from another that was made later, which may get the
// number of the one before.
type rootID struct {
	inode
	born birth
}

func rootIDOf(path string, fi fs.FileInfo) rootID {
	return rootID{inodeOf(fi), birthOf(path)}
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
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	return listFiles(disk(real), rootIDOf(root, fi), real)
}

// listFiles lists what a file system holds, which has its root at abs, a real path.
func listFiles(fsys rootFS, root rootID, abs string) (*walk, error) {
	w := &walk{fsys: fsys, root: root, devices: map[string]uint64{"": root.dev}}
	if err := w.dir(abs, "", []inode{root.inode}); err != nil {
		return nil, err
	}
	slices.SortFunc(w.files, func(a, b found) int { return strings.Compare(a.rel, b.rel) })
	return w, nil
}

// dir reads one folder; abs is its real path.
func (w *walk) dir(abs, rel string, above []inode) error {
	if len(w.dirs) >= MaxFolders {
		return errTooManyFolders
	}
	w.dirs = append(w.dirs, abs)
	entries, err := w.fsys.ReadDir(cmp.Or(rel, "."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if Ignored(e.Name()) {
			continue
		}
		if err := w.entry(filepath.Join(abs, e.Name()), strings.TrimPrefix(rel+"/"+e.Name(), "/"), e, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(abs, rel string, e fs.DirEntry, above []inode) error {
	k := KindOf(rel)
	link := e.Type()&fs.ModeSymlink != 0
	if k == kindNone && !link && !e.IsDir() {
		return nil
	}
	end, links := abs, w.through
	if link {
		h := hopsFrom(filepath.Dir(abs), e.Name())
		w.hops, end, links = append(w.hops, h...), h[len(h)-1], slices.Concat(links, h)
	}
	fi, err := w.fsys.Stat(rel)
	switch {
	case err != nil && errors.Is(err, fs.ErrNotExist) && !link:
		return nil // removed since the folder was read
	case err != nil && k != kindNone:
		return w.add(found{rel: rel, abs: abs, kind: k, err: linkError(err, link)})
	case err != nil:
		w.lost(rel, err, link)
		return nil
	case fi.IsDir():
		if k != kindNone {
			err := errors.New("it is a folder, not a regular file: rename it")
			if err := w.add(found{rel: rel, abs: abs, kind: k, err: err}); err != nil {
				return err
			}
		}
		before := w.through
		w.through = links
		err := w.folder(end, rel, inodeOf(fi), link, above)
		w.through = before
		return err
	case k == kindNone:
		return nil
	case !fi.Mode().IsRegular():
		return w.add(found{rel: rel, abs: abs, kind: k, err: fmt.Errorf("it is %s, not a regular file", modeName(fi.Mode()))})
	}
	return w.add(found{rel: rel, abs: abs, kind: k, links: links, st: stampOf(fi)})
}

// folder reads a folder below the root, or what a link to one leads to; abs is
// its real path.
func (w *walk) folder(abs, rel string, id inode, link bool, above []inode) error {
	// A folder of an overlay has no inode, and no link leads to it.
	if id != (inode{}) && slices.Contains(above, id) {
		w.warn(rel, "link-loop", "this link leads back to a folder that it is in, and is not followed: remove it")
		return nil
	}
	if len(above) >= MaxDepth {
		w.warn(rel, "too-deep", fmt.Sprintf("folders below %d levels are not read", MaxDepth))
		return nil
	}
	w.devices[rel] = id.dev
	err := w.dir(abs, rel, append(slices.Clone(above), id))
	switch {
	case errors.Is(err, errTooManyFiles) || errors.Is(err, errTooManyFolders):
		return err
	case err != nil:
		w.lost(rel, err, link)
	}
	return nil
}

// lost notes that what a folder holds cannot be told now: unlike one that was
// removed, it keeps everything.
func (w *walk) lost(rel string, err error, link bool) {
	switch {
	case errors.Is(err, fs.ErrNotExist) && (!link || looksLikeFile(rel)):
		return
	case errors.Is(err, syscall.ELOOP):
		w.warn(rel, "link-loop", linkError(err, link).Error()+": remove it")
		return
	}
	w.unreadable = append(w.unreadable, rel)
	w.findings = append(w.findings, finding.Finding{
		Path: Display(rel), Severity: finding.Error, Code: "unreadable",
		Text: fmt.Sprintf("the folder cannot be read (%v)%s; %s", linkError(err, link), KeepsLastGood, lostHint(err, link)),
	})
}

// KeepsLastGood is in the findings of roots and folders that are not read.
const KeepsLastGood = ": its files keep their last good contents"

func lostHint(err error, link bool) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that Sluice runs as read it"
	case link:
		return "mount what it leads to, or remove the link"
	}
	return "mount or repair it"
}

// looksLikeFile tells a link to a file that is not read anyway, such as
// as-config.xml, from one to a folder.
func looksLikeFile(rel string) bool {
	ext := filepath.Ext(rel)
	return ext != "" && ext != ".d"
}

var (
	errTooManyFiles   = fmt.Errorf("more than %d files: is this the right folder?", MaxFiles)
	errTooManyFolders = fmt.Errorf("more than %d folders, links counted: is this the right folder?", MaxFolders)
)

func (w *walk) add(f found) error {
	if len(w.files) >= MaxFiles {
		return errTooManyFiles
	}
	w.files = append(w.files, f)
	return nil
}

func (w *walk) warn(rel, code, text string) {
	w.findings = append(w.findings, finding.Finding{Path: Display(rel), Severity: finding.Warning, Code: code, Text: text})
}

// maxHops is where the kernel gives a path up as a loop.
const maxHops = 40

// Hops lists what decides which file a path is: the links on the way and what
// is at the end, or the first thing that is missing. Each is in a real folder.
// A change of one makes no event in the folder of the path itself.
func Hops(path string) []string { return hopsFrom("/", filepath.Clean(path)) }

// hopsFrom is hops below a folder whose path is real.
func hopsFrom(cur, path string) []string {
	var out []string
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			cur = filepath.Dir(cur)
			continue
		}
		next := filepath.Join(cur, name)
		fi, err := os.Lstat(next)
		switch {
		case err != nil:
			return append(out, next)
		case fi.Mode()&fs.ModeSymlink == 0:
			cur = next
			continue
		}
		out = append(out, next)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxHops {
			return out
		}
		if filepath.IsAbs(target) {
			cur = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return append(out, cur)
}

// Display is a path as findings show it: a name may hold anything but a slash,
// and a line of output stays a line.
func Display(rel string) string {
	if strings.ContainsFunc(rel, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }) {
		return strconv.Quote(rel)
	}
	return rel
}

func linkError(err error, link bool) error {
	switch {
	case errors.Is(err, syscall.ELOOP):
		return errors.New("this link leads to itself")
	case errors.Is(err, fs.ErrNotExist) && link:
		return errors.New("this link leads to nothing")
	}
	return Cause(err)
}

// Cause drops the operation and the absolute path of a file system error: the
// finding names the file already.
func Cause(err error) error {
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
