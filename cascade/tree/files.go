package tree

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
	SettleAge   = 100 * time.Millisecond // age of the last write
	settleMax   = 10 * time.Second       // after which a file that never settles is reported
	settleTries = 10                     // of a forced read, SettleAge/5 apart
	RemoveHold  = 2 * time.Second        // absence of a file
	shrinkFloor = 10                     // keys from which losing half is suspicious
	growQuiet   = time.Second            // without a change, of a file that was cut and grows again
	GrowMax     = 30 * time.Second       // beyond ShrinkHold, after which such a file counts as it is
	coarseAge   = 3 * time.Second        // up to which a time stamp of whole (FAT: two) seconds may be of a later write
)

// File is one file of a root, with the contents that are in force.
type File struct {
	Root     int
	Rel, Abs string
	Links    []string // on its way: see hops
	Kind     Kind

	Digest   Digest
	Have     *Contents // nil: none in force
	told     stamp     // of have, where an equal one says that nothing was written since; zero: none does
	data     []byte    // the bytes of have; dropped once they are persisted
	Findings []finding.Finding
	Status   string

	Unused []byte    // contents that do not count, at most maxUnused; nil: none
	failed Digest    // contents that failed to parse
	since  time.Time // when the present hold or absence began
	held   Digest    // contents that are held
	last   stamp     // of the last read that was not settled yet
	looked Digest    // contents of that read, where the stamps are coarse
	lookAt time.Time // when these contents were first seen
	from   time.Time // since when contents are held because they shrank; zero: they are not
	busy   time.Time // since when no read found it settled; zero: the last one did
}

// Set is every file of all roots. One goroutine at a time uses it.
type Set struct {
	Roots      []string
	ids        []rootID          // of the roots, when they last had files
	Files      map[string]*File  // by root number and path
	dirs, hops []string          // to watch, from the last scan: see walk
	Findings   []finding.Finding // about roots and folders
	Now        func() time.Time
	ShrinkHold time.Duration
	guards     guards
	sorted     []*File                                // see Sorted; nil: a file came or went
	calm       bool                                   // the last scan left nothing to look at again, and nothing to report of folders
	later      []string                               // files that had not settled at the last ScanSome
	byPath     map[string]*File                       // those of the last scan, see at; nil: not made yet
	Unreadable []Folder                               // what the last scan could not read
	Whole      func(path string, links []string) bool // of a file that was put into place, see arrivals; nil: nobody watches
	Ended      func() bool                            // nobody waits for the scan any more; nil: somebody does
	over       []*overlay                             // of each root, see WithFiles; nil: the roots are read as they are
	ReadAll    bool                                   // the next scan reads files whose stamps say that they are as they were
}

// NewSet is the files of some roots, none of which is read yet: see Scan.
func NewSet(roots []string) *Set {
	return &Set{Roots: roots, ids: make([]rootID, len(roots)), Files: map[string]*File{}, Now: time.Now, ShrinkHold: 3 * time.Second, guards: newGuards()}
}

// FileKey is the key of a file in Set.Files.
func FileKey(root int, rel string) string { return fmt.Sprintf("%d/%s", root, rel) }

// Scan reads everything again. changed tells whether the contents in force or
// anything to report are others than before; again is when a file that has not
// settled is to be looked at, 0 where all have. With force no hold applies.
func (fs *Set) Scan(force bool) (changed bool, again time.Duration) {
	return fs.ScanAll(force, false)
}

// ScanAll is scan; with accept folders that are empty or missing are taken as
// they are.
func (fs *Set) ScanAll(force, accept bool) (changed bool, again time.Duration) {
	before := slices.Clone(fs.Findings)
	fs.calm, fs.later, fs.byPath = false, nil, nil
	defer func() { fs.ReadAll = false }()
	fs.Findings, fs.dirs, fs.hops, fs.Unreadable = nil, nil, nil, nil
	wait := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	for i, root := range fs.Roots {
		w, err := fs.walk(i, force)
		if w != nil {
			fs.dirs, fs.hops = append(fs.dirs, w.dirs...), append(fs.hops, w.hops...)
		}
		if err != nil {
			fs.Findings = append(fs.Findings, finding.Finding{
				Path: filepath.ToSlash(root), Severity: finding.Error, Code: "root",
				Text: fmt.Sprintf("this root cannot be read (%v)%s; mount it, or correct --etc", Cause(err), KeepsLastGood),
			})
			fs.Unreadable = append(fs.Unreadable, Folder{Root: i})
			fs.unknown(i, func(string) bool { return true })
			continue
		}
		fs.Findings = append(fs.Findings, w.findings...)
		for _, dir := range w.unreadable {
			fs.Unreadable = append(fs.Unreadable, Folder{i, dir})
		}
		fs.guard(i, w, accept)
		hidden := func(rel string) bool { return w.hides(rel) || fs.guards.hides(i, rel) }
		fs.unknown(i, hidden)
		if len(w.files) == 0 && len(w.unreadable) == 0 && !fs.guards.on[Folder{Root: i}] {
			fs.Findings = append(fs.Findings, emptyRoot(root))
		}
		seen := make(map[string]bool, len(w.files))
		for j := range w.files {
			if fs.Ended != nil && fs.Ended() {
				return changed, again
			}
			f := &w.files[j]
			key := FileKey(i, f.rel)
			seen[key] = true
			tf := fs.Files[key]
			if tf == nil {
				tf = &File{Root: i, Rel: f.rel, Kind: f.kind}
				fs.Files[key], fs.sorted = tf, nil
			}
			tf.Abs, tf.Links = f.abs, f.links
			if f.err == nil && !fs.ReadAll && tf.unread(f.st) {
				continue
			}
			c, d := fs.Look(tf, f.err, force)
			changed = changed || c
			wait(d)
		}
		for key, tf := range fs.Files {
			if tf.Root != i || seen[key] || hidden(tf.Rel) {
				continue
			}
			c, d := fs.absent(key, tf, force)
			changed = changed || c
			wait(d)
		}
	}
	fs.calm = again == 0 && len(fs.Findings) == 0
	return changed || !slices.Equal(before, fs.Findings), again
}

// errEmptied tells a root that is another folder than the one that had files,
// and is empty: what is left where a volume was mounted.
var errEmptied = errors.New("an empty folder has taken its place; `sluice reload` accepts that")

// walk lists a root. With an error there may be a walk, whose folders are to be
// watched.
func (fs *Set) walk(i int, force bool) (*walk, error) {
	w, err := fs.list(i)
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
func (fs *Set) unknown(root int, hidden func(rel string) bool) {
	for _, tf := range fs.Files {
		if tf.Root == root && tf.Status == FileMissing && hidden(tf.Rel) {
			tf.since = time.Time{}
		}
	}
}

// hides reports whether the path lies in a folder that could not be read.
func (w *walk) hides(rel string) bool {
	return slices.ContainsFunc(w.unreadable, func(dir string) bool { return strings.HasPrefix(rel, dir+"/") })
}

func (fs *Set) absent(key string, tf *File, force bool) (changed bool, again time.Duration) {
	now := fs.Now()
	if tf.Status != FileMissing {
		tf.Status, tf.since, changed = FileMissing, time.Time{}, true
	}
	if tf.since.IsZero() {
		tf.since = now
	}
	if left := tf.since.Add(RemoveHold).Sub(now); left > 0 && !force && tf.Have != nil {
		return changed, left
	}
	delete(fs.Files, key)
	fs.sorted = nil
	return true, 0
}

// Look reads one file and decides what is in force.
func (fs *Set) Look(tf *File, err error, force bool) (changed bool, again time.Duration) {
	var data []byte
	var st stamp
	tf.told = stamp{}
	if tf.Status == FileMissing {
		tf.since = time.Time{} // it is there, whatever it holds
	}
	if err == nil {
		data, st, err = fs.read(tf)
	}
	// Whoever asks for a reload has saved, so it cannot take long.
	for try := 0; force && errors.Is(err, errMoving) && try < settleTries; try++ {
		time.Sleep(SettleAge / 5)
		data, st, err = fs.read(tf)
	}
	switch {
	case errors.Is(err, errMoving) && !force:
		return fs.unsettled(tf, st, SettleAge)
	case errors.Is(err, os.ErrNotExist) && tf.Kind != KindDirectory:
		return false, SettleAge // removed since the folder was read: the next scan decides
	}
	if err != nil {
		tf.busy = time.Time{}
		return fs.fail(tf, Digest{}, []finding.Finding{{
			Path: tf.Rel, Severity: finding.Error, Code: "unreadable", Text: "the file cannot be read: " + err.Error() + deniedHint(tf.Abs, err),
		}}), 0
	}
	sum := Digest(sha256.Sum256(data))
	defer func() {
		if tf.Status == FileOK && sum == tf.Digest && fs.tells(tf.Abs, st) {
			tf.told = st
		}
		if tf.Unused = nil; tf.Status == FileFailed || tf.Status == FileHeld {
			tf.Unused = data[:min(len(data), maxUnused)]
		}
	}()
	if tf.Have != nil && sum == tf.Digest {
		changed = tf.Status != FileOK
		tf.Status, tf.Findings, tf.busy, tf.from = FileOK, tf.Have.Findings, time.Time{}, time.Time{}
		return changed, 0
	}
	// A write that is under way shows as a young file. An age below zero (a
	// clock that was set back, a touch into the future) says nothing: then two
	// equal looks in a row do.
	if age := fs.Now().Sub(st.mtime); !force && age < SettleAge && (tf.last != st || age >= 0) {
		if left := min(SettleAge-max(age, 0), fs.putLeft(tf, st)); left > 0 {
			return fs.unsettled(tf, st, left)
		}
	}
	if left := fs.lookTwice(tf, st, sum); left > 0 && !force {
		return false, left
	}
	tf.busy = time.Time{}
	if tf.Status == FileFailed && sum == tf.failed {
		return false, 0
	}
	c, findings, ok := Parse(tf.Kind, tf.Rel, data)
	if !ok {
		return fs.fail(tf, sum, findings), 0
	}
	if left := fs.hold(tf, c, len(data), sum); left > 0 && !force {
		return fs.holdReport(tf, len(data), c.keys), left
	}
	tf.Have, tf.Digest, tf.data = c, sum, data
	tf.Status, tf.Findings, tf.from = FileOK, c.Findings, time.Time{}
	return true, 0
}

func (fs *Set) fail(tf *File, sum Digest, findings []finding.Finding) (changed bool) {
	changed = tf.Status != FileFailed || tf.failed != sum || !slices.Equal(tf.Findings, findings)
	tf.Status, tf.failed, tf.Findings = FileFailed, sum, findings
	return changed
}

// Sorted lists the files in the order in which they count: the later wins. It is the
// same list until a file comes or goes, and nobody changes it.
func (fs *Set) Sorted() []*File {
	if fs.sorted != nil && len(fs.sorted) == len(fs.Files) {
		return fs.sorted
	}
	out := make([]*File, 0, len(fs.Files))
	for _, f := range fs.Files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *File) int {
		if a.Root != b.Root {
			return a.Root - b.Root
		}
		return strings.Compare(a.Rel, b.Rel)
	})
	fs.sorted = slices.Clip(out)
	return fs.sorted
}

// maxUnused bounds the text that is kept of a file that is not used as it is now:
// an explanation looks for one line of it. Trees have few such files.
const maxUnused = 1 << 20
