package tree

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// maxArrivals bounds what is remembered of events by path. Beyond it everything
// is forgotten, and files that were put into place wait as written ones do.
const maxArrivals = 2 * MaxFiles

// arrivals tells files that were put into place whole, by a rename or by the
// swap of a link, from files that are still written. The kernel reports a file
// that is moved in from an unwatched folder as it does one that is made there:
// what tells them apart is that no write follows. The lock of the watcher
// guards it.
type arrivals struct {
	// came has what was put or written where events are reported, by real path:
	// true until it is written.
	came map[string]bool

	// Of the events since the last load began; wrote counts new folders too.
	wrote, gone, put bool
}

// rested tells whether the events ask for no more than the quiet time of files
// that are put into place. What is gone may be on its way back, written anew,
// unless something else was put where it counts.
func (a *arrivals) rested() bool { return !a.wrote && (!a.gone || a.put) }

func (a *arrivals) note(path string, op fsnotify.Op, folder bool) {
	if len(a.came) >= maxArrivals || a.came == nil {
		a.came = map[string]bool{}
	}
	switch {
	case op.Has(fsnotify.Write):
		a.came[path], a.wrote = false, true
	case op.Has(fsnotify.Create) && folder:
		a.wrote = true // no event tells what is in it
	case op.Has(fsnotify.Create):
		a.came[path], a.put = true, true
	case op.Has(fsnotify.Remove), op.Has(fsnotify.Rename):
		delete(a.came, path)
		a.gone = true
	}
}

// lost is called where events were lost: anything may have been written.
func (a *arrivals) lost() { a.came, a.wrote = nil, true }

// forget drops what lies in folders of which events were not reported for a time.
func (a *arrivals) forget(dirs map[string]bool) {
	for p := range a.came {
		if dirs[filepath.Dir(p)] {
			delete(a.came, p)
		}
	}
}

// Whole reports whether the file was put into place, itself or by one of the
// links that lead to it, and was not written since.
func (w *Watcher) Whole(path string, links []string) bool {
	if !w.put(path, links) {
		return false
	}
	// The event of a write may be on its way.
	return w.caughtUp() && w.put(path, links)
}

func (w *Watcher) put(path string, links []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	put, known := w.seen.came[path]
	if known && !put {
		return false
	}
	for _, l := range links {
		came, known := w.seen.came[l]
		if known && !came {
			return false
		}
		put = put || came
	}
	return put
}

// take notes an event, and reports whether it can concern a tree. Editors make,
// write and remove files beside those of the tree, which cannot.
func (w *Watcher) take(ev fsnotify.Event) bool {
	named, counts := w.concerns(ev.Name)
	if !counts || !named && !ev.Has(fsnotify.Create) {
		return false // folders and links that count are known by name
	}
	folder := false
	if ev.Has(fsnotify.Create) {
		fi, err := os.Lstat(ev.Name)
		if !named && (err != nil || fi.Mode().IsRegular()) {
			return false
		}
		folder = err == nil && fi.IsDir()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.note(ev.Name, ev.Op, folder)
	if s := w.want[filepath.Dir(ev.Name)]; !named || folder || w.shared || w.want[ev.Name] != nil || s == nil || !s.all || s.names[filepath.Base(ev.Name)] {
		w.files.other()
	} else {
		w.files.file(ev.Name)
	}
	return true
}

// concerns tells whether a path is of a tree or may be; named, whether its name
// already says so.
func (w *Watcher) concerns(path string) (named, counts bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mark != nil && w.mark.path == path {
		w.mark.reached()
		return false, false
	}
	if w.want[path] != nil {
		return true, true // what is watched itself
	}
	s, name := w.want[filepath.Dir(path)], filepath.Base(path)
	switch {
	case s == nil:
		return false, false
	case s.names[name]:
		return true, true
	case !s.all || Ignored(name):
		return false, false
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".properties", ".yml", ".yaml":
		return true, true
	}
	return false, true
}
