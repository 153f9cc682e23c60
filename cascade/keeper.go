package cascade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/seed47708276/sluice/cascade/finding"
)

// keeper keeps the last good tree in the state folder, so that a restart beside
// a broken file serves what was served before:
//
//	lastgood/objects/SHA256   contents of one file, checked by its name
//	lastgood/manifest         SHA-256 of the rest of the file, then JSON
//
// Of each file it keeps the contents in force, and the last ones without any
// entry error, from which last good entries come. It only ever answers for
// files that exist: a file that was deleted stays deleted.
type keeper struct {
	dir string // "": keeps nothing
	log *slog.Logger

	mu      sync.Mutex // guards pending
	pending *keeping   // what is to be written; nil: nothing
	wake    chan struct{}

	disk  manifest            // as it was last written or read; Open, then run, use it
	files map[string]keptFile // by root and path; guarded by the engine's load lock
}

type manifest struct {
	Files []keptFile `json:"files"`
}

type keptFile struct {
	Root  string `json:"root"`
	Path  string `json:"path"`
	Good  string `json:"good"`  // digest of the contents in force
	Clean string `json:"clean"` // digest of the last contents without entry errors, "" if there were none
}

func (k *keptFile) key() string { return k.Root + "\x00" + k.Path }

func openKeeper(state string, log *slog.Logger) *keeper {
	k := &keeper{log: log, files: map[string]keptFile{}, wake: make(chan struct{}, 1)}
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
	return json.Unmarshal([]byte(rest), m)
}

// object reads kept contents back.
func (k *keeper) object(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(k.dir, "objects", name))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != name {
		return nil, errors.New("the contents do not match their checksum")
	}
	return b, nil
}

func (k *keeper) kept(set *fileSet, f *treeFile) (keptFile, bool) {
	kf, ok := k.files[set.roots[f.root]+"\x00"+f.rel]
	return kf, ok
}

// contents returns parsed kept contents, or nil.
func (k *keeper) contents(f *treeFile, name string) (*contents, []byte) {
	if name == "" {
		return nil, nil
	}
	b, err := k.object(name)
	if err != nil {
		k.log.Warn("last good contents cannot be used", "file", f.rel, "err", err)
		return nil, nil
	}
	c, _, ok := parse(f.kind, f.rel, b)
	if !ok {
		return nil, nil
	}
	return c, b
}

// restore puts the last good contents under files that are bad now.
func (k *keeper) restore(set *fileSet) {
	for _, f := range set.sorted() {
		if f.have != nil || k.dir == "" {
			continue
		}
		kf, ok := k.kept(set, f)
		if !ok {
			continue
		}
		if c, b := k.contents(f, kf.Good); c != nil {
			f.have, f.data, f.digest = c, b, sha256.Sum256(b)
		}
	}
}

// carry brings back the last good entries: it compiles the last clean contents
// of the files that exist, so that what is wrong now can fall back on them.
func (k *keeper) carry(set *fileSet, schema *Schema, names *nameEditor, getenv func(string) (string, bool)) carry {
	clean := newFileSet(set.roots)
	for key, f := range set.files {
		kf, ok := k.kept(set, f)
		if !ok || f.have == nil {
			continue
		}
		c := *f
		if c.have, _ = k.contents(f, kf.Clean); c.have != nil {
			clean.files[key] = &c
		}
	}
	if len(clean.files) == 0 {
		return newCarry()
	}
	return build(clean, schema, names, newCarry(), getenv).carry
}

// keeping is a manifest to write, with the objects that may be new.
type keeping struct {
	m       manifest
	objects map[string][]byte
}

// prepare notes what is to be kept, for write. The caller holds the engine's
// load lock.
func (k *keeper) prepare(set *fileSet, t *tree) {
	if k.dir == "" {
		for _, f := range set.files {
			f.data = nil
		}
		return
	}
	bad := map[string]bool{}
	for _, x := range t.findings {
		if x.Severity == finding.Error {
			bad[x.Path] = true
		}
	}
	w := &keeping{objects: map[string][]byte{}}
	now := map[string]keptFile{}
	for i, f := range set.sorted() {
		if f.have == nil {
			continue
		}
		kf := keptFile{Root: set.roots[f.root], Path: f.rel, Good: f.digest.String()}
		kf.Clean = k.files[kf.key()].Clean
		if !bad[t.files[i]] {
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
		if _, ok := now[key]; !ok && !slices.Contains(set.roots, kf.Root) {
			now[key] = kf
			w.m.Files = append(w.m.Files, kf)
		}
	}
	slices.SortFunc(w.m.Files, func(a, b keptFile) int { return strings.Compare(a.key(), b.key()) })
	k.files = now
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending != nil {
		// What could not be written yet may still be named.
		for _, f := range w.m.Files {
			for _, name := range []string{f.Good, f.Clean} {
				if data, ok := k.pending.objects[name]; ok {
					w.objects[name] = data
				}
			}
		}
	}
	k.pending = w
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes what is pending until ctx ends, and what is pending then.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			k.write()
			return
		case <-k.wake:
			k.write()
		}
	}
}

// write puts the pending tree on disk: objects first, then the manifest that
// names them, then it removes what no manifest names. A failure is logged and
// costs the fall-back only; the next change tries again.
func (k *keeper) write() {
	k.mu.Lock()
	w := k.pending
	k.pending = nil
	k.mu.Unlock()
	if w == nil || slices.Equal(w.m.Files, k.disk.Files) && len(w.objects) == 0 {
		return
	}
	if err := k.put(w); err != nil {
		k.log.Error("last good tree not saved", "folder", k.dir, "err", err)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.pending == nil {
			k.pending = w
		}
		return
	}
	k.disk = w.m
}

func (k *keeper) put(w *keeping) error {
	objects := filepath.Join(k.dir, "objects")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, f := range w.m.Files {
		wanted[f.Good], wanted[f.Clean] = true, true
	}
	for name, data := range w.objects {
		if !wanted[name] {
			continue
		}
		path := filepath.Join(objects, name)
		if fi, err := os.Stat(path); err == nil && fi.Size() == int64(len(data)) {
			continue
		}
		if err := WriteFile(path, data, 0o600); err != nil {
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
	entries, err := os.ReadDir(objects)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			if err := os.Remove(filepath.Join(objects, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteFile replaces a file so that a crash or power cut leaves the old or the
// new contents, never a mix: a temporary file beside it, fsync, rename, and
// fsync of the folder, without which the rename itself may be lost.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".sluice-*")
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
