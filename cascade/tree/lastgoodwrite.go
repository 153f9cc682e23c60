package tree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

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
