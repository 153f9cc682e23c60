package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Timing of the reload (docs/reference/cascade.md#reload).
const (
	QuietTime    = 100 * time.Millisecond // after the last event
	PutQuiet     = 20 * time.Millisecond  // after the last event, where files were only put into place
	QuietMax     = time.Second            // after the first event
	FallbackScan = 5 * time.Second        // between scans while there are no events, or a folder cannot be read
)

// WatchMode tells how changes are noticed.
type WatchMode struct {
	Mode    string `json:"mode"`
	Problem string `json:"problem,omitempty"` // why it is not inotify, and what to do
}

// The modes.
const (
	WatchOff     = "off"
	WatchInotify = "inotify"
	WatchRescan  = "rescan" // no events: everything is read again each few seconds
)

// Watcher turns file system events into kicks. Its goroutine only filters:
// the receive loop of fsnotify must never wait for a reload.
type Watcher struct {
	roots []string
	log   *slog.Logger
	mode  *atomic.Pointer[WatchMode] // kept as it is now
	fs    *fsnotify.Watcher
	Kicks chan struct{}
	done  sync.WaitGroup

	have map[string]inode // what is watched; Run's goroutine only

	mu     sync.Mutex
	want   map[string]*watched // what is to be watched, by real path
	paths  []string            // of want, and the roots: what mounts may concern
	mounts map[string]string   // those that do, as last seen: see mountPoints
	seen   arrivals
	files  touched
	shared bool    // two names of want are one folder, whose events name one of them
	mark   *marker // nil: there is none
}

// watched is a folder with a watch. Two names of one folder share it, as they
// share the watch of the kernel.
type watched struct {
	id    inode
	all   bool            // every event counts
	names map[string]bool // those that name one of these count
}

// NewWatcher watches nothing yet: see sync. mode is what it tells its mode to.
func NewWatcher(roots []string, mode *atomic.Pointer[WatchMode], log *slog.Logger) *Watcher {
	w := &Watcher{roots: roots, mode: mode, log: log, Kicks: make(chan struct{}, 1)}
	w.start()
	return w
}

// start opens an inotify instance, if the kernel has one left.
func (w *Watcher) start() {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		w.problem(err)
		return
	}
	w.fs, w.have = n, map[string]inode{}
	w.remark()
	w.done.Go(func() { w.pump(n) })
}

func (w *Watcher) pump(n *fsnotify.Watcher) {
	for {
		select {
		case ev, ok := <-n.Events:
			if !ok {
				return
			}
			if !w.take(ev) {
				continue
			}
		case err, ok := <-n.Errors:
			if !ok {
				return
			}
			// Lost events (an overflowing queue among them) count as one.
			w.log.Warn("file events lost, reading everything again", "err", err)
			w.mu.Lock()
			w.seen.lost()
			w.files.other()
			w.mu.Unlock()
		}
		w.kick()
	}
}

func (w *Watcher) kick() {
	select {
	case w.Kicks <- struct{}{}:
	default:
	}
}

// NextBurst begins the events of the next load, and returns the files that those since
// the last one named; only tells that they said nothing else.
func (w *Watcher) NextBurst() (files []string, only bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.wrote, w.seen.gone, w.seen.put = false, false, false
	return w.files.take()
}

// Quiet is how long after the last event everything is read.
func (w *Watcher) Quiet() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen.rested() {
		return PutQuiet
	}
	return QuietTime
}

// plan works out which folders to watch, and for what; shared tells that two of them
// are one.
func plan(tree, names []string) (want map[string]*watched, shared bool) {
	want = map[string]*watched{}
	byID := map[inode]*watched{}
	add := func(dir string) *watched {
		if s := want[dir]; s != nil {
			return s
		}
		id, err := statInode(dir)
		if err != nil {
			return &watched{} // gone again: the folder above reports it
		}
		s := byID[id]
		if s == nil {
			s = &watched{id: id, names: map[string]bool{}}
			byID[id], want[dir] = s, s
		} else {
			shared = true
		}
		return s
	}
	// Sorted, so that of two names for a folder the same is watched each time.
	slices.Sort(tree)
	for _, dir := range tree {
		add(dir).all = true
	}
	for _, path := range names {
		if s := add(filepath.Dir(path)); s.names != nil {
			s.names[filepath.Base(path)] = true
		}
	}
	return want, shared
}

// Sync watches what is to be watched now, and reports whether it added any. A
// folder that was replaced under its name is watched anew.
func (w *Watcher) Sync(tree, names []string) bool {
	if w.fs == nil {
		if w.start(); w.fs == nil {
			return false
		}
	}
	want, shared := plan(tree, names)
	w.mu.Lock()
	w.want, w.shared = want, shared
	w.mu.Unlock()
	w.noteMounts()
	for d, id := range w.have {
		if s := want[d]; s == nil || s.id != id {
			w.drop(d)
		}
	}
	// A folder that was removed or moved lost its watch, and a new one under
	// its name may have its inode.
	alive := map[string]bool{}
	for _, d := range w.fs.WatchList() {
		alive[d] = true
	}
	var failed error
	anew := map[string]bool{}
	// In order, so that where watches run out it is the same folders each time.
	for _, d := range slices.Sorted(maps.Keys(want)) {
		s := want[d]
		if alive[d] {
			continue
		}
		if err := w.fs.Add(d); err != nil {
			if !errors.Is(err, fs.ErrNotExist) && failed == nil {
				failed = fmt.Errorf("%s: %w", d, err)
			}
			continue
		}
		w.have[d], anew[d] = s.id, true
	}
	w.mu.Lock()
	w.seen.forget(anew)
	if len(anew) > 0 {
		w.files.other() // they may have changed before they were watched
	}
	w.mu.Unlock()
	if failed != nil {
		w.problem(failed)
	} else {
		w.mode.Store(&WatchMode{Mode: WatchInotify})
	}
	return len(anew) > 0
}

func (w *Watcher) drop(dir string) {
	delete(w.have, dir)
	// It fails where the kernel dropped the watch with the folder.
	if err := w.fs.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		w.log.Debug("watch not removed", "folder", dir, "err", err)
	}
}

// problem notes that events cannot be had, once.
func (w *Watcher) problem(err error) {
	m := WatchMode{Mode: WatchRescan, Problem: err.Error()}
	switch {
	case errors.Is(err, syscall.EMFILE):
		m.Problem += ": no inotify instance is left: raise fs.inotify.max_user_instances, or the limit of open files; until then everything is read again each " + FallbackScan.String()
	case errors.Is(err, syscall.ENOSPC):
		m.Problem += ": no inotify watch is left: raise fs.inotify.max_user_watches; until then everything is read again each " + FallbackScan.String()
	default:
		m.Problem += ": until this is solved everything is read again each " + FallbackScan.String()
	}
	if old := w.mode.Load(); old.Problem != m.Problem {
		w.log.Warn("files cannot be watched", "err", m.Problem)
	}
	w.mode.Store(&m)
}

// Close ends the watch, and waits for its goroutine.
func (w *Watcher) Close() {
	if w.fs != nil {
		w.unmark()
		if err := w.fs.Close(); err != nil {
			w.log.Debug("watcher not closed", "err", err)
		}
	}
	w.done.Wait()
	w.mode.Store(&WatchMode{Mode: WatchOff})
}

func statInode(path string) (inode, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

// Watched lists the folders of the last scan, the links that led to files, and the
// files.
func (fs *Set) Watched() (dirs, links, files []string) {
	for _, f := range fs.Files {
		files = append(files, f.Abs)
	}
	return slices.Clone(fs.dirs), slices.Clone(fs.hops), files
}

// WaysTo lists what decides which files or folders the paths are.
func WaysTo(paths []string) (names []string) {
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			names = append(names, Hops(abs)...)
		}
	}
	return names
}
