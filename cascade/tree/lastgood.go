package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
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

// unwritten is a manifest to write, with the objects that may be new.
type unwritten struct {
	m       manifest
	objects map[string][]byte
}

// Prepare notes what is to be kept of the trees and of the directory file (nil:
// there is none), for write. paths are those of the sorted files in findings. The
// caller holds the engine's load lock.
func (k *LastGood) Prepare(set *Set, paths []string, findings []finding.Finding, directory *File) {
	files := set.Sorted()
	paths = paths[:len(files):len(files)]
	if directory != nil {
		files, paths = append(files, directory), append(paths, directory.Rel)
	}
	if k.dir == "" {
		for _, f := range files {
			f.data = nil
		}
		return
	}
	bad := map[string]bool{}
	for _, x := range findings {
		if x.Severity == finding.Error {
			bad[x.Path] = true
		}
	}
	w := &unwritten{m: manifest{Held: k.Held}, objects: map[string][]byte{}}
	now := map[string]GoodFile{}
	for i, f := range files {
		if f.Have == nil {
			continue
		}
		root, path, _ := strings.Cut(set.lastGoodKey(f), "\x00")
		kf := GoodFile{Root: rawPath(root), Path: rawPath(path), Good: f.Digest.String()}
		kf.Clean = k.files[kf.key()].Clean
		if !bad[paths[i]] {
			kf.Clean = kf.Good
		}
		if f.data != nil {
			w.objects[kf.Good] = f.data
			f.data = nil
		}
		now[kf.key()] = kf
		w.m.Files = append(w.m.Files, kf)
	}
	// What other roots left here stays: the same folder may serve them again.
	for key, kf := range k.files {
		if _, ok := now[key]; !ok && !slices.Contains(set.Roots, string(kf.Root)) {
			now[key] = kf
			w.m.Files = append(w.m.Files, kf)
		}
	}
	slices.SortFunc(w.m.Files, func(a, b GoodFile) int { return strings.Compare(a.key(), b.key()) })
	k.files = now
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending != nil {
		w.inherit(k.pending)
	}
	k.pending = w
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// inherit takes over what could not be written yet and is still named.
func (w *unwritten) inherit(older *unwritten) {
	take := func(name string) {
		if data, ok := older.objects[name]; ok {
			w.objects[name] = data
		}
	}
	for _, f := range w.m.Files {
		take(f.Good)
		take(f.Clean)
	}
	w.m.Held.names(take)
}

// retryWrite is when a write that failed is tried again although nothing
// changed: a disk that was full may have room again.
const retryWrite = 30 * time.Second

// Run writes what is pending until ctx ends, and what is pending then.
func (k *LastGood) Run(ctx context.Context) {
	retry := time.NewTicker(retryWrite)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			k.Write()
			return
		case <-k.wake:
		case <-retry.C:
		}
		k.Write()
	}
}

// Write puts the pending tree on disk: objects first, then the manifest that
// names them, then it removes what no manifest names. A failure is logged,
// degrades the status, and costs the fall-back only.
func (k *LastGood) Write() {
	k.mu.Lock()
	w := k.pending
	k.pending = nil
	k.mu.Unlock()
	if w == nil || slices.Equal(w.m.Files, k.disk.Files) && w.m.Held.same(k.disk.Held) && len(w.objects) == 0 {
		return
	}
	err := k.put(w)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.disk, k.problem = w.m, ""
		return
	}
	if k.pending == nil {
		k.pending = w
	} else {
		k.pending.inherit(w)
	}
	if k.problem != err.Error() {
		k.log.Error("last good tree not saved", "folder", k.dir, "err", err)
	}
	k.problem = err.Error()
}

// Trouble is why the last good tree on disk is not that in force, or "".
func (k *LastGood) Trouble() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

func (k *LastGood) put(w *unwritten) error {
	objects := filepath.Join(k.dir, "objects")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, f := range w.m.Files {
		wanted[f.Good], wanted[f.Clean] = true, true
	}
	w.m.Held.names(func(name string) { wanted[name] = true })
	for name, data := range w.objects {
		if !wanted[name] {
			continue
		}
		if _, err := k.Object(name); err == nil {
			continue
		}
		if err := WriteFile(filepath.Join(objects, name), data, 0o600); err != nil {
			return err
		}
	}
	b, err := w.m.encode()
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(k.dir, "manifest"), b, 0o600); err != nil {
		return err
	}
	k.sweep(objects, func(name string) bool { return !wanted[name] })
	k.sweep(k.dir, func(name string) bool { return strings.HasPrefix(name, tempPrefix) })
	return nil
}

// sweep removes what nothing names any more, and temporary files of a process
// that was killed. What stays costs room, nothing else.
func (k *LastGood) sweep(dir string, old func(name string) bool) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if old(e.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		k.log.Warn("last good tree not cleaned up", "folder", dir, "err", err)
	}
}

const tempPrefix = ".sluice-"

// WriteFile replaces a file so that a crash or power cut leaves the old or the
// new contents, never a mix: a temporary file beside it, fsync, rename, and
// fsync of the folder, without which the rename itself may be lost.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	tmp := f.Name()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
