package cascade

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// How long a change waits before it counts (docs/reference/cascade.md#reload).
// A reload that somebody asked for waits for none of them.
const (
	settleAge   = 100 * time.Millisecond // age of the last write
	settleMax   = 10 * time.Second       // after which a file that never settles is reported
	settleTries = 10                     // of a forced read, settleAge/5 apart
	removeHold  = 2 * time.Second        // absence of a file
	shrinkFloor = 10                     // keys from which losing half is suspicious
	growQuiet   = time.Second            // without a change, of a file that was cut and grows again
	growMax     = 30 * time.Second       // beyond shrinkHold, after which such a file counts as it is
	coarseAge   = 3 * time.Second        // up to which a time stamp of whole (FAT: two) seconds may be of a later write
)

// treeFile is one file of a root, with the contents that are in force.
type treeFile struct {
	root     int
	rel, abs string
	links    []string // on its way: see hops
	kind     kind

	digest   digest
	have     *contents // nil: none in force
	told     stamp     // of have, where an equal one says that nothing was written since; zero: none does
	data     []byte    // the bytes of have; dropped once they are persisted
	findings []finding.Finding
	status   string

	unused []byte    // contents that do not count, at most maxUnused; nil: none
	failed digest    // contents that failed to parse
	since  time.Time // when the present hold or absence began
	held   digest    // contents that are held
	last   stamp     // of the last read that was not settled yet
	looked digest    // contents of that read, where the stamps are coarse
	lookAt time.Time // when these contents were first seen
	from   time.Time // since when contents are held because they shrank; zero: they are not
	busy   time.Time // since when no read found it settled; zero: the last one did
}

// fileSet is every file of all roots. One goroutine at a time uses it.
type fileSet struct {
	roots      []string
	ids        []rootID             // of the roots, when they last had files
	files      map[string]*treeFile // by root number and path
	dirs, hops []string             // to watch, from the last scan: see walk
	findings   []finding.Finding    // about roots and folders
	now        func() time.Time
	shrinkHold time.Duration
	guards     guards
	unreadable []folder                               // what the last scan could not read
	whole      func(path string, links []string) bool // of a file that was put into place, see arrivals; nil: nobody watches
	ended      func() bool                            // nobody waits for the scan any more; nil: somebody does
	readAll    bool                                   // the next scan reads files whose stamps say that they are as they were
}

func newFileSet(roots []string) *fileSet {
	return &fileSet{roots: roots, ids: make([]rootID, len(roots)), files: map[string]*treeFile{}, now: time.Now, shrinkHold: 3 * time.Second, guards: newGuards()}
}

func fileKey(root int, rel string) string { return fmt.Sprintf("%d/%s", root, rel) }

// scan reads everything again. changed tells whether the contents in force or
// anything to report are others than before; again is when a file that has not
// settled is to be looked at, 0 where all have. With force no hold applies.
func (fs *fileSet) scan(force bool) (changed bool, again time.Duration) {
	return fs.scanAll(force, false)
}

// scanAll is scan; with accept folders that are empty or missing are taken as
// they are.
func (fs *fileSet) scanAll(force, accept bool) (changed bool, again time.Duration) {
	before := slices.Clone(fs.findings)
	defer func() { fs.readAll = false }()
	fs.findings, fs.dirs, fs.hops, fs.unreadable = nil, nil, nil, nil
	wait := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	for i, root := range fs.roots {
		w, err := fs.walk(i, force)
		if w != nil {
			fs.dirs, fs.hops = append(fs.dirs, w.dirs...), append(fs.hops, w.hops...)
		}
		if err != nil {
			fs.findings = append(fs.findings, finding.Finding{
				Path: filepath.ToSlash(root), Severity: finding.Error, Code: "root",
				Text: fmt.Sprintf("this root cannot be read (%v)%s; mount it, or correct --etc", cause(err), keepsLastGood),
			})
			fs.unreadable = append(fs.unreadable, folder{root: i})
			fs.unknown(i, func(string) bool { return true })
			continue
		}
		fs.findings = append(fs.findings, w.findings...)
		for _, dir := range w.unreadable {
			fs.unreadable = append(fs.unreadable, folder{i, dir})
		}
		fs.guard(i, w, accept)
		hidden := func(rel string) bool { return w.hides(rel) || fs.guards.hides(i, rel) }
		fs.unknown(i, hidden)
		if len(w.files) == 0 && len(w.unreadable) == 0 && !fs.guards.on[folder{root: i}] {
			fs.findings = append(fs.findings, emptyRoot(root))
		}
		seen := make(map[string]bool, len(w.files))
		for j := range w.files {
			if fs.ended != nil && fs.ended() {
				return changed, again
			}
			f := &w.files[j]
			key := fileKey(i, f.rel)
			seen[key] = true
			tf := fs.files[key]
			if tf == nil {
				tf = &treeFile{root: i, rel: f.rel, kind: f.kind}
				fs.files[key] = tf
			}
			tf.abs, tf.links = f.abs, f.links
			if f.err == nil && !fs.readAll && tf.unread(f.st) {
				continue
			}
			c, d := fs.look(tf, f.err, force)
			changed = changed || c
			wait(d)
		}
		for key, tf := range fs.files {
			if tf.root != i || seen[key] || hidden(tf.rel) {
				continue
			}
			c, d := fs.absent(key, tf, force)
			changed = changed || c
			wait(d)
		}
	}
	return changed || !slices.Equal(before, fs.findings), again
}

// errEmptied tells a root that is another folder than the one that had files,
// and is empty: what is left where a volume was mounted.
var errEmptied = errors.New("an empty folder has taken its place; `sluice reload` accepts that")

// walk lists a root. With an error there may be a walk, whose folders are to be
// watched.
func (fs *fileSet) walk(i int, force bool) (*walk, error) {
	w, err := walkRoot(fs.roots[i])
	switch {
	case err != nil:
		return nil, err
	case len(w.files) > 0 || force:
		fs.ids[i] = w.root
	case fs.ids[i] != w.root && fs.ids[i] != rootID{}:
		return w, errEmptied
	}
	return w, nil
}

// unknown restarts the absence of files of which nothing can be told now: a
// folder that comes back may take a moment to fill.
func (fs *fileSet) unknown(root int, hidden func(rel string) bool) {
	for _, tf := range fs.files {
		if tf.root == root && tf.status == FileMissing && hidden(tf.rel) {
			tf.since = time.Time{}
		}
	}
}

// hides reports whether the path lies in a folder that could not be read.
func (w *walk) hides(rel string) bool {
	return slices.ContainsFunc(w.unreadable, func(dir string) bool { return strings.HasPrefix(rel, dir+"/") })
}

func (fs *fileSet) absent(key string, tf *treeFile, force bool) (changed bool, again time.Duration) {
	now := fs.now()
	if tf.status != FileMissing {
		tf.status, tf.since, changed = FileMissing, time.Time{}, true
	}
	if tf.since.IsZero() {
		tf.since = now
	}
	if left := tf.since.Add(removeHold).Sub(now); left > 0 && !force && tf.have != nil {
		return changed, left
	}
	delete(fs.files, key)
	return true, 0
}

// look reads one file and decides what is in force.
func (fs *fileSet) look(tf *treeFile, err error, force bool) (changed bool, again time.Duration) {
	var data []byte
	var st stamp
	tf.told = stamp{}
	if tf.status == FileMissing {
		tf.since = time.Time{} // it is there, whatever it holds
	}
	if err == nil {
		data, st, err = readFile(tf.abs, limitOf(tf.kind))
	}
	// Whoever asks for a reload has saved, so it cannot take long.
	for try := 0; force && errors.Is(err, errMoving) && try < settleTries; try++ {
		time.Sleep(settleAge / 5)
		data, st, err = readFile(tf.abs, limitOf(tf.kind))
	}
	switch {
	case errors.Is(err, errMoving) && !force:
		return fs.unsettled(tf, st, settleAge)
	case errors.Is(err, os.ErrNotExist) && tf.kind != kindDirectory:
		return false, settleAge // removed since the folder was read: the next scan decides
	}
	if err != nil {
		tf.busy = time.Time{}
		return fs.fail(tf, digest{}, []finding.Finding{{
			Path: tf.rel, Severity: finding.Error, Code: "unreadable", Text: "the file cannot be read: " + err.Error() + deniedHint(tf.abs, err),
		}}), 0
	}
	sum := digest(sha256.Sum256(data))
	defer func() {
		if tf.status == FileOK && sum == tf.digest && fs.tells(tf.abs, st) {
			tf.told = st
		}
		if tf.unused = nil; tf.status == FileFailed || tf.status == FileHeld {
			tf.unused = data[:min(len(data), maxUnused)]
		}
	}()
	if tf.have != nil && sum == tf.digest {
		changed = tf.status != FileOK
		tf.status, tf.findings, tf.busy, tf.from = FileOK, tf.have.findings, time.Time{}, time.Time{}
		return changed, 0
	}
	// A write that is under way shows as a young file. An age below zero (a
	// clock that was set back, a touch into the future) says nothing: then two
	// equal looks in a row do.
	if age := fs.now().Sub(st.mtime); !force && age < settleAge && (tf.last != st || age >= 0) {
		if left := min(settleAge-max(age, 0), fs.putLeft(tf, st)); left > 0 {
			return fs.unsettled(tf, st, left)
		}
	}
	if left := fs.lookTwice(tf, st, sum); left > 0 && !force {
		return false, left
	}
	tf.busy = time.Time{}
	if tf.status == FileFailed && sum == tf.failed {
		return false, 0
	}
	c, findings, ok := parse(tf.kind, tf.rel, data)
	if !ok {
		return fs.fail(tf, sum, findings), 0
	}
	if left := fs.hold(tf, c, len(data), sum); left > 0 && !force {
		return fs.holdReport(tf, len(data), c.keys), left
	}
	tf.have, tf.digest, tf.data = c, sum, data
	tf.status, tf.findings, tf.from = FileOK, c.findings, time.Time{}
	return true, 0
}

// stampAge is how old the last change of a file is at least when an equal stamp
// tells that nothing was written since: clocks of file systems go in steps of some
// milliseconds.
const stampAge = time.Second

// tells reports whether an equal stamp will say that the file is as it was read.
func (fs *fileSet) tells(path string, st stamp) bool {
	return st.ctime%int64(time.Second) != 0 && fs.now().Sub(time.Unix(0, st.ctime)) >= stampAge && stampsTell(path)
}

// unread reports whether a file need not be read: it is in force, and its stamp
// says that it is as it was.
func (tf *treeFile) unread(st stamp) bool {
	return tf.told != stamp{} && tf.told == st && tf.status == FileOK && tf.have != nil
}

// putLeft returns how much longer a young file waits that was put into place
// whole. The time of its last change is the first of two looks: a file system
// sets it with each write, so one that is as old as the wait says that the file
// was the same then. Another name of a file may be written without an event.
func (fs *fileSet) putLeft(tf *treeFile, st stamp) time.Duration {
	rest := fs.now().Sub(time.Unix(0, st.ctime))
	if st.ctime == 0 || rest < 0 || st.size == 0 || st.names != 1 || fs.whole == nil || !fs.whole(tf.abs, tf.links) {
		return settleAge
	}
	return putQuiet - rest
}

// unsettled leaves a file for another look, and reports one that is written
// all the time.
func (fs *fileSet) unsettled(tf *treeFile, st stamp, again time.Duration) (bool, time.Duration) {
	tf.last = st
	now := fs.now()
	if tf.busy.IsZero() {
		tf.busy = now
	}
	if now.Sub(tf.busy) < settleMax || tf.status == FileHeld && tf.held == (digest{}) {
		return false, again
	}
	tf.status, tf.held = FileHeld, digest{}
	tf.findings = []finding.Finding{{
		Path: tf.rel, Severity: finding.Warning, Code: "held",
		Text: "the file is written all the time and never settles: stop that, or run `sluice reload` to read it as it is",
	}}
	return true, again
}

func (fs *fileSet) fail(tf *treeFile, sum digest, findings []finding.Finding) (changed bool) {
	changed = tf.status != FileFailed || tf.failed != sum || !slices.Equal(tf.findings, findings)
	tf.status, tf.failed, tf.findings = FileFailed, sum, findings
	return changed
}

// lookTwice returns how much longer contents wait for a second look that finds
// them the same. Where time stamps have whole seconds, as FAT and some network
// file systems have them, their age says nothing of the last one.
func (fs *fileSet) lookTwice(tf *treeFile, st stamp, sum digest) time.Duration {
	const second = int64(time.Second)
	now := fs.now()
	whole := st.mtime.Nanosecond() == 0 && (st.ctime%second == 0 || now.Sub(st.mtime) < coarseAge)
	if !whole {
		return 0
	}
	if tf.looked != sum || tf.last != st || tf.lookAt.IsZero() {
		tf.looked, tf.last, tf.lookAt = sum, st, now
	}
	return tf.lookAt.Add(settleAge).Sub(now)
}

// hold returns how much longer suspicious contents wait: those that shrank, and
// what grows from them until it is quiet, so that a file that is written again
// from its start is not taken half-way.
func (fs *fileSet) hold(tf *treeFile, c *contents, size int, sum digest) time.Duration {
	if tf.have == nil {
		return 0
	}
	shrank := size == 0 || tf.have.keys >= shrinkFloor && 2*c.keys < tf.have.keys
	if !shrank && tf.from.IsZero() {
		return 0
	}
	now := fs.now()
	if tf.from.IsZero() {
		tf.from = now
	}
	if tf.status != FileHeld || tf.held != sum {
		tf.held, tf.since = sum, now
	}
	wait := fs.shrinkHold
	if !shrank {
		wait = min(wait, growQuiet)
	}
	return min(tf.since.Add(wait).Sub(now), tf.from.Add(fs.shrinkHold+growMax).Sub(now))
}

func (fs *fileSet) holdReport(tf *treeFile, size, keys int) (changed bool) {
	what := "lost more than half of its keys"
	switch {
	case size == 0:
		what = "became empty"
	case 2*keys >= tf.have.keys:
		what = "was cut and grows again"
	}
	findings := []finding.Finding{{
		Path: tf.rel, Severity: finding.Warning, Code: "held",
		Text: fmt.Sprintf("the file %s: if it stays so it counts after %s; run `sluice reload` to apply it now", what, fs.shrinkHold),
	}}
	changed = tf.status != FileHeld || !slices.Equal(tf.findings, findings)
	tf.status, tf.findings = FileHeld, findings
	return changed
}

// sorted lists the files in the order in which they count: the later wins.
func (fs *fileSet) sorted() []*treeFile {
	out := make([]*treeFile, 0, len(fs.files))
	for _, f := range fs.files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *treeFile) int {
		if a.root != b.root {
			return a.root - b.root
		}
		return strings.Compare(a.rel, b.rel)
	})
	return out
}

// maxUnused bounds the text that is kept of a file that is not used as it is now:
// an explanation looks for one line of it. Trees have few such files.
const maxUnused = 1 << 20
