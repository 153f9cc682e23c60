package tree

import (
	"errors"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Of a look at the events.
const (
	catchUpTime = QuietTime    // after which the events count as late
	caughtUpFor = PutQuiet / 2 // what is older may miss the event of a write that is PutQuiet old
)

// marker is a pipe that is watched as the folders are: events come in the order
// of what they tell of, so with that of a write to it all earlier ones came.
type marker struct {
	path string
	fd   int // both ends, so that it takes one descriptor
	seen chan struct{}
	at   time.Time // when the events were last caught up with
}

func newMarker(n *fsnotify.Watcher) (*marker, error) {
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	fd, err := unix.Open(ownDescriptor(ends[0]), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err = errors.Join(err, unix.Close(ends[0]), unix.Close(ends[1])); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	m := &marker{path: ownDescriptor(fd), fd: fd, seen: make(chan struct{}, 1)}
	if err := n.Add(m.path); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func ownDescriptor(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func (m *marker) close() error { return unix.Close(m.fd) }

// reached tells that the pump is at the marker.
func (m *marker) reached() {
	select {
	case m.seen <- struct{}{}:
	default:
	}
}

// pass has the pump come by the marker; the caller waits for seen.
func (m *marker) pass() error {
	var b [1]byte
	if _, err := unix.Write(m.fd, b[:]); err != nil {
		return err
	}
	_, err := unix.Read(m.fd, b[:])
	return err
}

// caughtUp waits until all events up to now were taken, and reports whether they
// were. One caller at a time.
func (w *Watcher) caughtUp() bool {
	w.mu.Lock()
	m := w.mark
	w.mu.Unlock()
	if m == nil {
		return false
	}
	start := time.Now()
	if start.Sub(m.at) < caughtUpFor {
		return true
	}
	err := m.pass()
	if err == nil {
		late := time.NewTimer(catchUpTime)
		defer late.Stop()
		select {
		case <-m.seen:
			m.at = start
			return true
		case <-late.C:
		}
	}
	// Another marker: an event of this one may be on its way.
	w.log.Debug("file events are late", "err", err)
	w.unmark()
	w.remark()
	return false
}

// remark makes a marker. Without one every file waits as written ones do.
func (w *Watcher) remark() {
	m, err := newMarker(w.fs)
	if err != nil {
		w.log.Debug("no marker for file events", "err", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark = m
}

func (w *Watcher) unmark() {
	w.mu.Lock()
	m := w.mark
	w.mark = nil
	w.mu.Unlock()
	if m == nil {
		return
	}
	err := w.fs.Remove(m.path)
	if err = errors.Join(err, m.close()); err != nil {
		w.log.Debug("marker not removed", "err", err)
	}
}
