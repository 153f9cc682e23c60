package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
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
	EventConfig    = "config"    // files were read and something changed
	EventOverride  = "override"  // an override was set or removed
	EventDirectory = "directory" // a context or a user was
	EventToken     = "token"     // a token was made or removed
	EventSocket    = "socket"    // of this member, was opened or closed
	EventMember    = "member"    // joined, left, lost or back; see Seen
	EventClosing   = "closing"   // switched off here alone while the store cannot be asked, or no longer
	// eventReset comes first where events are missing before those that follow.
	eventReset = "reset"
)

var eventKinds = []string{EventConfig, EventOverride, EventDirectory, EventToken, EventSocket, EventMember, EventClosing}

const (
	// eventsKept is how many events a client that was away gets when it returns:
	// some seconds of a busy member's sockets, days of an administrator's work.
	// eventsKeptBytes bounds them where values are long.
	eventsKept      = 4096
	eventsKeptBytes = 16 << 20
	// maxStreams bounds the clients, the other two what waits for one of them:
	// one that does not read is dropped, and returns with its last id. A single
	// event may have more bytes.
	maxStreams = 100
	// maxStreamsEach is what one token or system user may have of them, so that
	// nobody keeps the others from watching.
	maxStreamsEach    = 25
	eventsQueued      = 1024
	eventsQueuedBytes = 4 << 20
	// eventsPatience is how long sockets are still followed when the last client
	// has left.
	eventsPatience = 2 * time.Minute
)

// event is one that is kept.
type event struct {
	number uint64
	kind   string
	su     cascade.Subject // whom it concerns; zero: all
	data   []byte          // JSON
}

// Events hands what happens to those who watch. The zero value is not usable.
type Events struct {
	id       string // of this process, before each number
	watchers atomic.Int32
	left     atomic.Int64 // when the last one left, Unix ns
	dropped  atomic.Int64
	counts   map[string]*atomic.Int64
	// drain ends when the server drains.
	drain context.Context
	end   context.CancelFunc

	mu      sync.Mutex
	last    uint64
	kept    []event // the last one has the number last
	bytes   int     // of data in kept
	streams map[*stream]bool
}

// stream is one who watches.
type stream struct {
	kinds   []string // nil: all
	su      cascade.Subject
	actor   string       // who watches
	cluster bool         // what happens on other members as well
	queue   chan event   // closed by who removes it
	waiting atomic.Int64 // bytes of data in queue
}

func newEvents(id string) *Events {
	e := &Events{id: id, streams: make(map[*stream]bool), counts: make(map[string]*atomic.Int64)}
	e.drain, e.end = context.WithCancel(context.Background())
	for _, k := range eventKinds {
		e.counts[k] = new(atomic.Int64)
	}
	return e
}

// Watched reports whether anybody watches, or may return and want to know what
// was meanwhile.
func (e *Events) Watched() bool {
	return e.watchers.Load() > 0 || time.Since(time.Unix(0, e.left.Load())) < eventsPatience
}

// Publish keeps an event, and hands it to those who watch. It never blocks.
// data is its JSON; su whom it concerns.
func (e *Events) Publish(kind string, su cascade.Subject, data any) {
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
	ev := event{number: e.last, kind: kind, su: su, data: text}
	e.keep(ev)
	for st := range e.streams {
		if st.wants(&ev) && !st.push(ev) {
			e.dropped.Add(1)
			e.removeLocked(st)
		}
	}
}

// keep forgets the oldest where there are too many. The caller holds mu.
func (e *Events) keep(ev event) {
	e.kept = append(e.kept, ev)
	e.bytes += len(ev.data)
	gone := 0
	for len(e.kept)-gone > eventsKept || e.bytes > eventsKeptBytes {
		e.bytes -= len(e.kept[gone].data)
		gone++
	}
	clear(e.kept[:gone]) // their data is no longer held
	e.kept = e.kept[gone:]
}

// push queues an event; where it does not fit, the client is too slow.
func (st *stream) push(ev event) bool {
	size := int64(len(ev.data))
	if waiting := st.waiting.Add(size); waiting > eventsQueuedBytes && waiting > size {
		return false
	}
	select {
	case st.queue <- ev:
		return true
	default:
		return false
	}
}

func (st *stream) wants(ev *event) bool {
	return (st.kinds == nil || slices.Contains(st.kinds, ev.kind)) &&
		(st.su.Context == 0 || ev.su.Context == st.su.Context && (st.su.User == 0 || ev.su.User == 0 || ev.su.User == st.su.User))
}

// ofLocked counts the streams of one who watches.
func (e *Events) ofLocked(actor string) (n int) {
	for st := range e.streams {
		if st.actor == actor {
			n++
		}
	}
	return n
}

// join adds a stream that goes on after the event with this id; an empty id is
// that of now. missed came since, and at is the id before the first of them;
// reset tells that more did, which are not kept: those of another process too.
func (e *Events) join(st *stream, after string) (missed []event, at string, reset bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.drain.Err() != nil:
		return nil, "", false, fail(http.StatusServiceUnavailable, "draining", "this member drains: watch another, or this one when it is back")
	case e.ofLocked(st.actor) >= maxStreamsEach:
		return nil, "", false, fail(http.StatusTooManyRequests, "too_many_streams", "%s watches %d times already: end one of them first", st.actor, maxStreamsEach)
	case len(e.streams) >= maxStreams:
		return nil, "", false, fail(http.StatusServiceUnavailable, "too_many_streams", "this member streams to %d clients already: try again, or watch another", maxStreams)
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
func (e *Events) placeOf(after string) (from uint64, reset bool) {
	id, text, _ := strings.Cut(after, "-")
	from, err := strconv.ParseUint(text, 10, 64)
	first := e.last - uint64(len(e.kept)) // before those that are kept
	if id != e.id || err != nil || from > e.last || from < first {
		return first, true
	}
	return from, false
}

// position is the id that a stream has come to where nothing waits for it: it
// may be far beyond the last event that it wanted. Who takes from the queue asks.
func (e *Events) position(st *stream) (id string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.idOf(e.last), e.streams[st] && len(st.queue) == 0
}

func (e *Events) idOf(number uint64) string { return e.id + "-" + strconv.FormatUint(number, 10) }

func (e *Events) leave(st *stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removeLocked(st)
}

func (e *Events) removeLocked(st *stream) {
	if e.streams[st] {
		delete(e.streams, st)
		e.watchers.Add(-1)
		e.left.Store(time.Now().UnixNano())
		close(st.queue)
	}
}
