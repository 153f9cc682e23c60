package tree

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// stampAge is how old the last change of a file is at least when an equal stamp
// tells that nothing was written since: clocks of file systems go in steps of some
// milliseconds.
const stampAge = time.Second

// tells reports whether an equal stamp will say that the file is as it was read.
func (fs *Set) tells(path string, st stamp) bool {
	return st.ctime%int64(time.Second) != 0 && fs.Now().Sub(time.Unix(0, st.ctime)) >= stampAge && stampsTell(path)
}

// unread reports whether a file need not be read: it is in force, and its stamp
// says that it is as it was.
func (tf *File) unread(st stamp) bool {
	return tf.told != stamp{} && tf.told == st && tf.Status == FileOK && tf.Have != nil
}

// putLeft returns how much longer a young file waits that was put into place
// whole. The time of its last change is the first of two looks: a file system
// sets it with each write, so one that is as old as the wait says that the file
// was the same then. Another name of a file may be written without an event.
func (fs *Set) putLeft(tf *File, st stamp) time.Duration {
	rest := fs.Now().Sub(time.Unix(0, st.ctime))
	if st.ctime == 0 || rest < 0 || st.size == 0 || st.names != 1 || fs.Whole == nil || !fs.Whole(tf.Abs, tf.Links) {
		return SettleAge
	}
	return PutQuiet - rest
}

// unsettled leaves a file for another look, and reports one that is written
// all the time.
func (fs *Set) unsettled(tf *File, st stamp, again time.Duration) (bool, time.Duration) {
	tf.last = st
	now := fs.Now()
	if tf.busy.IsZero() {
		tf.busy = now
	}
	if now.Sub(tf.busy) < settleMax || tf.Status == FileHeld && tf.held == (Digest{}) {
		return false, again
	}
	tf.Status, tf.held = FileHeld, Digest{}
	tf.Findings = []finding.Finding{{
		Path: tf.Rel, Severity: finding.Warning, Code: "held",
		Text: "the file is written all the time and never settles: stop that, or run `sluice reload` to read it as it is",
	}}
	return true, again
}

// lookTwice returns how much longer contents wait for a second look that finds
// them the same. Where time stamps have whole seconds, as FAT and some network
// file systems have them, their age says nothing of the last one.
func (fs *Set) lookTwice(tf *File, st stamp, sum Digest) time.Duration {
	const second = int64(time.Second)
	now := fs.Now()
	whole := st.mtime.Nanosecond() == 0 && (st.ctime%second == 0 || now.Sub(st.mtime) < coarseAge)
	if !whole {
		return 0
	}
	if tf.looked != sum || tf.last != st || tf.lookAt.IsZero() {
		tf.looked, tf.last, tf.lookAt = sum, st, now
	}
	return tf.lookAt.Add(SettleAge).Sub(now)
}

// hold returns how much longer suspicious contents wait: those that shrank, and
// what grows from them until it is quiet, so that a file that is written again
// from its start is not taken half-way.
func (fs *Set) hold(tf *File, c *Contents, size int, sum Digest) time.Duration {
	if tf.Have == nil {
		return 0
	}
	shrank := size == 0 || tf.Have.keys >= shrinkFloor && 2*c.keys < tf.Have.keys
	if !shrank && tf.from.IsZero() {
		return 0
	}
	now := fs.Now()
	if tf.from.IsZero() {
		tf.from = now
	}
	if tf.Status != FileHeld || tf.held != sum {
		tf.held, tf.since = sum, now
	}
	wait := fs.ShrinkHold
	if !shrank {
		wait = min(wait, growQuiet)
	}
	return min(tf.since.Add(wait).Sub(now), tf.from.Add(fs.ShrinkHold+GrowMax).Sub(now))
}

func (fs *Set) holdReport(tf *File, size, keys int) (changed bool) {
	what := "lost more than half of its keys"
	switch {
	case size == 0:
		what = "became empty"
	case 2*keys >= tf.Have.keys:
		what = "was cut and grows again"
	}
	findings := []finding.Finding{{
		Path: tf.Rel, Severity: finding.Warning, Code: "held",
		Text: fmt.Sprintf("the file %s: if it stays so it counts after %s; run `sluice reload` to apply it now", what, fs.ShrinkHold),
	}}
	changed = tf.Status != FileHeld || !slices.Equal(tf.Findings, findings)
	tf.Status, tf.Findings = FileHeld, findings
	return changed
}
