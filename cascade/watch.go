package cascade

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Timing of the reload (design.md, Reload).
const (
	quietTime    = 100 * time.Millisecond // after the last event
	quietMax     = time.Second            // after the first event
	fallbackScan = 5 * time.Second        // between scans while the kernel reports no events
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

// Run watches the roots and the source until ctx ends. Any event arms a quiet
// timer, after which everything is read again; a slow rescan finds what the
// kernel does not report. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	var saving sync.WaitGroup
	saving.Go(func() { e.kept.run(ctx) })
	defer saving.Wait()
	w := newWatcher(e)
	defer w.close()
	kicks := w.kicks
	w.sync(e.watchDirs())
	// A change between Open and the first watch made no event.
	quiet := time.NewTimer(quietTime)
	again, rescan, expiry := newStoppedTimer(), time.NewTimer(e.rescanEvery()), newStoppedTimer()
	defer func() {
		for _, t := range []*time.Timer{quiet, again, rescan, expiry} {
			t.Stop()
		}
	}()
	var first time.Time
	load := func() {
		first = time.Time{}
		_, wait := e.reload(false)
		if w.sync(e.watchDirs()) {
			// New folders may have changed before they were watched.
			wait = min(max(wait, quietTime), quietTime)
		}
		if wait > 0 {
			again.Reset(wait)
		}
		rescan.Reset(e.rescanEvery())
	}
	e.armExpiry(expiry)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-kicks:
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			quiet.Reset(max(0, min(quietTime, first.Add(quietMax).Sub(now))))
		case <-quiet.C:
			load()
		case <-again.C:
			load()
		case <-rescan.C:
			load()
		case <-expiry.C:
			e.expire()
		case <-e.wake:
			e.armExpiry(expiry)
		}
	}
}

func newStoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// maxExpirySleep bounds the wait for the next expiry, so that a clock that is
// set does not delay one for ever.
const maxExpirySleep = time.Minute

func (e *Engine) armExpiry(t *time.Timer) {
	at := time.UnixMilli(e.Snapshot().tables.nextExpiry)
	t.Reset(max(0, min(time.Until(at), maxExpirySleep)))
}

func (e *Engine) rescanEvery() time.Duration {
	v, _ := e.Snapshot().Get(Subject{}, PropRescan)
	every, _ := v.Effective.(time.Duration)
	if e.watchMode.Load().Mode == WatchRescan {
		return min(every, fallbackScan)
	}
	return every
}

// watchDirs lists the folders to watch, and those of which only events that
// name a root count.
func (e *Engine) watchDirs() (tree, parents []string) {
	e.load.Lock()
	defer e.load.Unlock()
	tree = append(tree, e.set.dirs...)
	if e.opt.Source != nil {
		tree = append(tree, e.opt.Source.Dirs()...)
	}
	for _, r := range e.opt.Roots {
		parents = append(parents, filepath.Dir(r))
		if target, err := filepath.EvalSymlinks(r); err == nil && target != r {
			parents = append(parents, filepath.Dir(target))
		}
	}
	return tree, parents
}

// watcher turns file system events into kicks. Its goroutine only filters:
// the receive loop of fsnotify must never wait for a reload.
type watcher struct {
	e     *Engine
	fs    *fsnotify.Watcher
	kicks chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex
	have  map[string]inode // what is watched
	tree  map[string]bool
	roots map[string]bool
}

func newWatcher(e *Engine) *watcher {
	w := &watcher{e: e, kicks: make(chan struct{}, 1)}
	w.start()
	return w
}

// start opens an inotify instance, if the kernel has one left.
func (w *watcher) start() {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.problem(err)
		return
	}
	w.mu.Lock()
	w.fs, w.have = fs, map[string]inode{}
	w.mu.Unlock()
	w.done.Add(1)
	go w.pump(fs)
}

func (w *watcher) pump(fs *fsnotify.Watcher) {
	defer w.done.Done()
	for {
		select {
		case ev, ok := <-fs.Events:
			if !ok {
				return
			}
			if !w.relevant(ev.Name) {
				continue
			}
		case err, ok := <-fs.Errors:
			if !ok {
				return
			}
			// Lost events (an overflowing queue among them) count as one.
			w.e.log.Warn("file events lost, reading everything again", "err", err)
		}
		select {
		case w.kicks <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) relevant(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tree[filepath.Dir(name)] || w.tree[name] || w.roots[name]
}

// sync watches what is to be watched now, and reports whether it added any. A
// folder that was replaced under its name is watched anew.
func (w *watcher) sync(tree, parents []string) (added bool) {
	if w.fs == nil {
		if w.start(); w.fs == nil {
			return false
		}
	}
	w.mu.Lock()
	w.tree, w.roots = map[string]bool{}, map[string]bool{}
	want := map[string]bool{}
	for _, d := range tree {
		w.tree[d], want[d] = true, true
	}
	for _, d := range parents {
		want[d] = true
	}
	for _, r := range w.e.opt.Roots {
		w.roots[r] = true
		if target, err := filepath.EvalSymlinks(r); err == nil {
			w.roots[target] = true
		}
	}
	w.mu.Unlock()
	for d := range w.have {
		if !want[d] {
			w.drop(d)
		}
	}
	var failed error
	for d := range want {
		id, err := statInode(d)
		if err != nil {
			w.drop(d)
			continue
		}
		if old, ok := w.have[d]; ok && old == id {
			continue
		}
		w.drop(d)
		if err := w.fs.Add(d); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		w.have[d], added = id, true
	}
	if failed != nil {
		w.problem(failed)
	} else {
		w.e.watchMode.Store(&WatchMode{Mode: WatchInotify})
	}
	return added
}

func (w *watcher) drop(dir string) {
	if _, ok := w.have[dir]; ok {
		delete(w.have, dir)
		// It fails where the kernel dropped the watch with the folder.
		if err := w.fs.Remove(dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
			w.e.log.Debug("watch not removed", "folder", dir, "err", err)
		}
	}
}

// problem notes that events cannot be had, once.
func (w *watcher) problem(err error) {
	m := WatchMode{Mode: WatchRescan, Problem: err.Error()}
	switch {
	case errors.Is(err, syscall.EMFILE):
		m.Problem += ": no inotify instance is left: raise fs.inotify.max_user_instances, or the limit of open files; until then everything is read again each " + fallbackScan.String()
	case errors.Is(err, syscall.ENOSPC):
		m.Problem += ": no inotify watch is left: raise fs.inotify.max_user_watches; until then everything is read again each " + fallbackScan.String()
	default:
		m.Problem += ": until this is solved everything is read again each " + fallbackScan.String()
	}
	if old := w.e.watchMode.Load(); old.Problem != m.Problem {
		w.e.log.Warn("files cannot be watched", "err", m.Problem)
	}
	w.e.watchMode.Store(&m)
}

func (w *watcher) close() {
	if w.fs != nil {
		if err := w.fs.Close(); err != nil {
			w.e.log.Debug("watcher not closed", "err", err)
		}
	}
	w.done.Wait()
	w.e.watchMode.Store(&WatchMode{Mode: WatchOff})
}

func statInode(path string) (inode, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}
