package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// LastGood has the last good tree in the state folder, so that a restart beside
// a broken file serves what was served before:
//
//	lastgood/objects/SHA256   contents of one file, checked by its name
//	lastgood/manifest         SHA-256 of the rest of the file, then JSON
//
// Of each file it keeps the contents in force, and the last ones without any
// entry error, from which last good entries come. It only ever answers for
// files that exist: a file that was deleted stays deleted.
type LastGood struct {
	dir string // "": keeps nothing
	log *slog.Logger

	mu      sync.Mutex // guards pending and problem
	pending *unwritten // what is to be written; nil: nothing
	problem string     // why the last write failed
	wake    chan struct{}

	disk  manifest            // as it was last written or read; Open, then run, use it
	files map[string]GoodFile // by root and path; guarded by the engine's load lock
	Held  *HeldChange         // what is held; guarded by the engine's load lock
}

type manifest struct {
	Files []GoodFile  `json:"files"`
	Held  *HeldChange `json:"held,omitempty"`
}

// GoodFile names the contents that are kept of one file.
type GoodFile struct {
	Root  rawPath `json:"root"`
	Path  rawPath `json:"path"`
	Good  string  `json:"good"`  // digest of the contents in force
	Clean string  `json:"clean"` // digest of the last contents without entry errors, "" if there were none
}

func (k *GoodFile) key() string { return string(k.Root + "\x00" + k.Path) }

// rawPath is a path in JSON, percent-encoded: a file name need not be UTF-8.
type rawPath string

// MarshalText encodes the path.
func (p rawPath) MarshalText() ([]byte, error) {
	return []byte((&url.URL{Path: string(p)}).EscapedPath()), nil
}

// UnmarshalText decodes it.
func (p *rawPath) UnmarshalText(b []byte) error {
	s, err := url.PathUnescape(string(b))
	*p = rawPath(s)
	return err
}

// OpenLastGood reads what the state folder ("": there is none) has of another start. What
// cannot be used is logged, and costs the fall-back only.
func OpenLastGood(state string, log *slog.Logger) *LastGood {
	k := &LastGood{log: log, files: map[string]GoodFile{}, wake: make(chan struct{}, 1)}
	if state == "" {
		return k
	}
	k.dir = filepath.Join(state, "lastgood")
	b, err := os.ReadFile(filepath.Join(k.dir, "manifest"))
	if errors.Is(err, fs.ErrNotExist) {
		return k
	}
	if err == nil {
		err = k.disk.decode(b)
	}
	if err != nil {
		log.Warn("last good tree cannot be used", "folder", k.dir, "err", err)
		return k
	}
	for _, f := range k.disk.Files {
		k.files[f.key()] = f
	}
	k.Held = k.disk.Held
	return k
}

func (m *manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return append([]byte(hex.EncodeToString(sum[:])+"\n"), b...), nil
}

func (m *manifest) decode(b []byte) error {
	head, rest, ok := strings.Cut(string(b), "\n")
	sum := sha256.Sum256([]byte(rest))
	if !ok || head != hex.EncodeToString(sum[:]) {
		return errors.New("the manifest does not match its checksum")
	}
	if err := json.Unmarshal([]byte(rest), m); err != nil || m.Held == nil {
		return err
	}
	return m.Held.compact()
}

// Object reads kept contents back.
func (k *LastGood) Object(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(k.dir, "objects", name))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != name {
		return nil, errors.New("the contents do not match their checksum")
	}
	return b, nil
}

// Find tells what is kept of a file.
func (k *LastGood) Find(set *Set, f *File) (GoodFile, bool) {
	kf, ok := k.files[set.lastGoodKey(f)]
	return kf, ok
}

// lastGoodKey is the key under which the last good contents of a file are found. The directory file belongs to no
// root.
func (fs *Set) lastGoodKey(f *File) string {
	if f.Kind == KindDirectory {
		return "\x00" + f.Abs
	}
	return fs.Roots[f.Root] + "\x00" + f.Rel
}

// contents returns parsed kept contents, or nil.
func (k *LastGood) contents(f *File, name string) (*Contents, []byte) {
	if name == "" {
		return nil, nil
	}
	b, err := k.Object(name)
	if err != nil {
		k.log.Warn("last good contents cannot be used", "file", f.Rel, "err", err)
		return nil, nil
	}
	c, fs, ok := Parse(f.Kind, f.Rel, b)
	if !ok {
		k.log.Warn("last good contents cannot be used", "file", f.Rel, "err", fs[0].Text)
		return nil, nil
	}
	return c, b
}

// Restore puts the last good contents under files that are bad now.
func (k *LastGood) Restore(set *Set) {
	for _, f := range set.Sorted() {
		k.RestoreFile(set, f)
	}
}

// RestoreFile puts the last good contents under a file that is bad now.
func (k *LastGood) RestoreFile(set *Set, f *File) {
	kf, ok := k.Find(set, f)
	if f.Have != nil || k.dir == "" || !ok {
		return
	}
	if c, b := k.contents(f, kf.Good); c != nil {
		f.Have, f.data, f.Digest = c, b, sha256.Sum256(b)
	}
}

// Clean returns the last contents of a file without entry errors, or nil.
func (k *LastGood) Clean(set *Set, f *File) *Contents {
	kf, ok := k.Find(set, f)
	if k.dir == "" || !ok {
		return nil
	}
	c, _ := k.contents(f, kf.Clean)
	return c
}

// CleanFiles are the files that exist, with the last contents of each that had no
// entry error; same reports whether all of them are in force.
func (k *LastGood) CleanFiles(set *Set) (clean *Set, same bool) {
	clean, same = NewSet(set.Roots), true
	for key, f := range set.Files {
		kf, ok := k.Find(set, f)
		if !ok || f.Have == nil {
			continue
		}
		c := *f
		if kf.Clean != f.Digest.String() {
			same = false
			c.Have, _ = k.contents(f, kf.Clean)
		}
		if c.Have != nil {
			clean.Files[key] = &c
		}
	}
	return clean, same
}

// Has reports whether there are last good files of a root.
func (k *LastGood) Has(root string) bool {
	for _, kf := range k.files {
		if string(kf.Root) == root {
			return true
		}
	}
	return false
}
