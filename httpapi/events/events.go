// Package events hands on what happens on a member to those who watch it, as
// server-sent events (HTML living standard, 9.2), and keeps the latest for those
// who come back.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// The kinds of events.
const (
	Config    = "config"    // files were read and something changed
	Override  = "override"  // an override was set or removed
	Directory = "directory" // a context or a user was
	Token     = "token"     // a token was made or removed
	Socket    = "socket"    // of this member, was opened or closed
	Member    = "member"    // joined, left, lost or back; see Seen
	Closing   = "closing"   // switched off here alone while the store cannot be asked, or no longer
	// Reset comes first where events are missing before those that follow.
	Reset = "reset"
)

// Kinds are those that somebody can ask for.
var Kinds = []string{Config, Override, Directory, Token, Socket, Member, Closing}

const (
	// maxKept is how many events a client that was away gets when it returns:
	// some seconds of a busy member's sockets, days of an administrator's work.
	// maxKeptBytes bounds them where values are long.
	maxKept      = 4096
	maxKeptBytes = 16 << 20
	// MaxStreams bounds the clients that watch.
	MaxStreams = 100
	// MaxStreamsEach is what one token or system user may have of them, so that
	// nobody keeps the others from watching.
	MaxStreamsEach = 25
	// MaxQueued and MaxQueuedBytes bound what waits for one client: one that does
	// not read is dropped, and returns with its last id. A single event may have
	// more bytes.
	MaxQueued      = 1024
	MaxQueuedBytes = 4 << 20
	// patience is how long sockets are still followed when the last client
	// has left.
	patience = 2 * time.Minute
)

// Why a stream does not begin.
var (
	ErrDraining     = errors.New("this member drains: watch another, or this one when it is back")
	ErrTooManyOfOne = errors.New("one who watches has too many streams")
	ErrTooMany      = errors.New("too many streams")
)

// Event is one that is kept.
type Event struct {
	number uint64
	kind   string
	su     cascade.Subject // whom it concerns; zero: all
	data   []byte          // JSON
}

// Log hands what happens to those who watch. The zero value is not usable.
type Log struct {
	id       string // of this process, before each number
	watchers atomic.Int32
	left     atomic.Int64 // when the last one left, Unix ns
	dropped  atomic.Int64
	counts   map[string]*atomic.Int64
	drain    context.Context // ends when the server drains
	end      context.CancelFunc

	mu      sync.Mutex
	last    uint64
	kept    []Event // the last one has the number last
	bytes   int     // of data in kept
	streams map[*Stream]bool
}

// Stream is one who watches.
type Stream struct {
	Kinds   []string        // nil: all
	Subject cascade.Subject // whom the events concern that are wanted; zero: all
	Actor   string          // who watches

	queue   chan Event   // closed by who removes it
	waiting atomic.Int64 // bytes of data in queue
}

// NewStream returns a stream that Join takes.
func NewStream() *Stream { return &Stream{queue: make(chan Event, MaxQueued)} }

// Queue has the events as they come. It is closed when the log drops the stream,
// because its client is too slow; who takes an event calls Taken.
func (st *Stream) Queue() <-chan Event { return st.queue }

// Taken makes room for others in the place of an event.
func (st *Stream) Taken(ev *Event) { st.waiting.Add(-int64(len(ev.data))) }

// New returns a log without events. id is of this process: it stands before the
// number of each event.
func New(id string) *Log {
	e := &Log{id: id, streams: make(map[*Stream]bool), counts: make(map[string]*atomic.Int64)}
	e.drain, e.end = context.WithCancel(context.Background())
	for _, k := range Kinds {
		e.counts[k] = new(atomic.Int64)
	}
	return e
}

// End ends all streams, and no more begin.
func (e *Log) End() { e.end() }

// Draining ends when End is called.
func (e *Log) Draining() context.Context { return e.drain }

// Watchers is how many watch.
func (e *Log) Watchers() int { return int(e.watchers.Load()) }

// Dropped is how many streams were ended because their client did not read.
func (e *Log) Dropped() int64 { return e.dropped.Load() }

// Counts is how many events there were, by kind.
func (e *Log) Counts() map[string]int64 {
	counts := make(map[string]int64, len(e.counts))
	for kind, n := range e.counts {
		counts[kind] = n.Load()
	}
	return counts
}

// Watched reports whether anybody watches, or may return and want to know what
// was meanwhile.
func (e *Log) Watched() bool {
	return e.watchers.Load() > 0 || time.Since(time.Unix(0, e.left.Load())) < patience
}

// Publish keeps an event, and hands it to those who watch. It never blocks.
// data is its JSON; su whom it concerns.
func (e *Log) Publish(kind string, su cascade.Subject, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		return // of the program's own types, which can be
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.drain.Err() != nil {
		return
	}
	e.counts[kind].Add(1)
	e.last++
	ev := Event{number: e.last, kind: kind, su: su, data: text}
	e.keep(ev)
	for st := range e.streams {
		if st.wants(&ev) && !st.push(ev) {
			e.dropped.Add(1)
			e.removeLocked(st)
		}
	}
}

// keep forgets the oldest where there are too many. The caller holds mu.
func (e *Log) keep(ev Event) {
	e.kept = append(e.kept, ev)
	e.bytes += len(ev.data)
	gone := 0
	for len(e.kept)-gone > maxKept || e.bytes > maxKeptBytes {
		e.bytes -= len(e.kept[gone].data)
		gone++
	}
	clear(e.kept[:gone]) // their data is no longer held
	e.kept = e.kept[gone:]
}

// push queues an event; where it does not fit, the client is too slow.
func (st *Stream) push(ev Event) bool {
	size := int64(len(ev.data))
	if waiting := st.waiting.Add(size); waiting > MaxQueuedBytes && waiting > size {
		return false
	}
	select {
	case st.queue <- ev:
		return true
	default:
		return false
	}
}

func (st *Stream) wants(ev *Event) bool {
	return (st.Kinds == nil || slices.Contains(st.Kinds, ev.kind)) &&
		(st.Subject.Context == 0 || ev.su.Context == st.Subject.Context && (st.Subject.User == 0 || ev.su.User == 0 || ev.su.User == st.Subject.User))
}

// ofLocked counts the streams of one who watches.
func (e *Log) ofLocked(actor string) (n int) {
	for st := range e.streams {
		if st.Actor == actor {
			n++
		}
	}
	return n
}

// Join adds a stream that goes on after the event with this id; an empty id is
// that of now. missed came since, and at is the id before the first of them;
// reset tells that more did, which are not kept: those of another process too.
func (e *Log) Join(st *Stream, after string) (missed []Event, at string, reset bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.drain.Err() != nil:
		return nil, "", false, ErrDraining
	case e.ofLocked(st.Actor) >= MaxStreamsEach:
		return nil, "", false, ErrTooManyOfOne
	case len(e.streams) >= MaxStreams:
		return nil, "", false, ErrTooMany
	}
	e.streams[st] = true
	e.watchers.Add(1)
	if after == "" {
		return nil, e.idOf(e.last), false, nil
	}
	from, reset := e.placeOf(after)
	for _, ev := range e.kept[from-(e.last-uint64(len(e.kept))):] {
		if st.wants(&ev) {
			missed = append(missed, ev)
		}
	}
	return missed, e.idOf(from), reset, nil
}

// placeOf is the number behind which to go on after an id; reset tells that what
// came between is not kept. The caller holds mu.
func (e *Log) placeOf(after string) (from uint64, reset bool) {
	id, text, _ := strings.Cut(after, "-")
	from, err := strconv.ParseUint(text, 10, 64)
	first := e.last - uint64(len(e.kept)) // before those that are kept
	if id != e.id || err != nil || from > e.last || from < first {
		return first, true
	}
	return from, false
}

// Position is the id that a stream has come to where nothing waits for it: it
// may be far beyond the last event that it wanted. Who takes from the queue asks.
func (e *Log) Position(st *Stream) (id string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.idOf(e.last), e.streams[st] && len(st.queue) == 0
}

func (e *Log) idOf(number uint64) string { return e.id + "-" + strconv.FormatUint(number, 10) }

// Leave ends a stream.
func (e *Log) Leave(st *Stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removeLocked(st)
}

func (e *Log) removeLocked(st *Stream) {
	if e.streams[st] {
		delete(e.streams, st)
		e.watchers.Add(-1)
		e.left.Store(time.Now().UnixNano())
		close(st.queue)
	}
}

// Answer is what has happened here, as another member is told.
type Answer struct {
	Next   string `json:"next"`            // id to ask from, the next time
	Reset  bool   `json:"reset,omitempty"` // some are missing before these
	Events []Told `json:"events"`
}

// Told is an event as another member tells it.
type Told struct {
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
}

// Since is what a stream would get after an id, which keeps events coming as if
// somebody watched.
func (e *Log) Since(st *Stream, after string) Answer {
	e.left.Store(time.Now().UnixNano())
	e.mu.Lock()
	defer e.mu.Unlock()
	a := Answer{Next: e.idOf(e.last), Events: []Told{}}
	if after == "" {
		return a
	}
	from, reset := e.placeOf(after)
	a.Reset = reset
	for _, ev := range e.kept[from-(e.last-uint64(len(e.kept))):] {
		if st.wants(&ev) {
			a.Events = append(a.Events, Told{ev.kind, ev.data})
		}
	}
	return a
}
