package httpapi

import (
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
	EventMember    = "member"    // joined, left, lost or back
	// eventReset comes first where events are missing before those that follow.
	eventReset = "reset"
)

var eventKinds = []string{EventConfig, EventOverride, EventDirectory, EventToken, EventSocket, EventMember}

const (
	// eventsKept is how many events a client that was away gets when it returns:
	// some seconds of a busy member's sockets, days of an administrator's work.
	eventsKept = 4096
	// maxStreams bounds the clients, eventsQueued what waits for one of them:
	// one that does not read is dropped, and returns with its last id.
	maxStreams   = 100
	eventsQueued = 1024
	// eventsBeat is how often a silent stream says that it lives: below the 30 s
	// after which proxies drop connections; eventsWrite bounds a write.
	eventsBeat  = 15 * time.Second
	eventsWrite = 10 * time.Second
	// eventsRetry is how long browsers wait before they return.
	eventsRetry = 2 * time.Second
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

	mu      sync.Mutex
	last    uint64
	kept    []event // a ring once it is full
	streams map[*stream]bool
	ended   bool
}

// stream is one who watches.
type stream struct {
	kinds []string // nil: all
	su    cascade.Subject
	queue chan event // closed by who removes it
}

func newEvents(id string) *Events {
	e := &Events{id: id, streams: make(map[*stream]bool), counts: make(map[string]*atomic.Int64)}
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
	e.counts[kind].Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	e.last++
	ev := event{number: e.last, kind: kind, su: su, data: text}
	if len(e.kept) < eventsKept {
		e.kept = append(e.kept, ev)
	} else {
		e.kept[(e.last-1)%eventsKept] = ev
	}
	for st := range e.streams {
		if !st.wants(&ev) {
			continue
		}
		select {
		case st.queue <- ev:
		default:
			e.dropped.Add(1)
			e.removeLocked(st)
		}
	}
}

func (st *stream) wants(ev *event) bool {
	return (st.kinds == nil || slices.Contains(st.kinds, ev.kind)) &&
		(st.su.Context == 0 || ev.su.Context == st.su.Context && (st.su.User == 0 || ev.su.User == 0 || ev.su.User == st.su.User))
}

// join adds a stream that goes on after the event with this id; reset tells that
// some before it are gone. ok is false where there is no room or no more time.
func (e *Events) join(st *stream, after string) (missed []event, reset, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || len(e.streams) >= maxStreams {
		return nil, false, false
	}
	e.streams[st] = true
	e.watchers.Add(1)
	if after == "" {
		return nil, false, true
	}
	id, text, _ := strings.Cut(after, "-")
	from, err := strconv.ParseUint(text, 10, 64)
	if id != e.id || err != nil || from > e.last {
		return nil, true, true
	}
	reset = e.last-from > uint64(len(e.kept))
	for n := max(from, e.last-uint64(len(e.kept))) + 1; n <= e.last; n++ {
		if ev := &e.kept[(n-1)%eventsKept]; st.wants(ev) {
			missed = append(missed, *ev)
		}
	}
	return missed, reset, true
}

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

// end ends all streams: the server drains.
func (e *Events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for st := range e.streams {
		e.removeLocked(st)
	}
}

// streamOf reads what a client wants to see.
func streamOf(r *http.Request) (*stream, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	st := &stream{queue: make(chan event, eventsQueued)}
	for key, values := range query {
		if len(values) != 1 {
			return nil, fail(http.StatusBadRequest, "bad_query", "%.100q stands twice: leave one out", key)
		}
		switch key {
		case "kinds":
			st.kinds = commaList(values[0])
			for _, k := range st.kinds {
				if !slices.Contains(eventKinds, k) {
					return nil, fail(http.StatusBadRequest, "bad_query", "there is no kind %.100q (%s)", k, strings.Join(eventKinds, ", "))
				}
			}
		case "context":
			st.su.Context, err = cascade.ParseID(values[0])
		case "user":
			st.su.User, err = cascade.ParseID(values[0])
		default:
			return nil, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (kinds, context, user)", key)
		}
		if err != nil {
			return nil, fail(http.StatusBadRequest, "bad_id", "%s: %s", key, err)
		}
	}
	if st.su.User != 0 && st.su.Context == 0 {
		return nil, fail(http.StatusBadRequest, "bad_id", "a user belongs to a context: name it with ?context=")
	}
	return st, nil
}

// streamEvents streams what happens, as server-sent events (HTML living standard, 9.2).
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	st, err := streamOf(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		secure(w.Header())
		return nil
	}
	missed, reset, ok := s.Events.join(st, r.Header.Get("Last-Event-ID"))
	if !ok {
		w.Header().Set("Retry-After", "5")
		return fail(http.StatusServiceUnavailable, "too_many_streams", "this member streams to %d clients already, or drains: try again, or ask another", maxStreams)
	}
	defer s.Events.leave(st)
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	secure(w.Header())
	// Whoever cannot be written to has left.
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventsWrite))
		_, err := w.Write([]byte(text))
		return err == nil && control.Flush() == nil
	}
	text := "retry: " + strconv.FormatInt(eventsRetry.Milliseconds(), 10) + "\n\n"
	if reset {
		text += "event: " + eventReset + "\ndata: {}\n\n"
	}
	for i := range missed {
		text += s.Events.text(&missed[i])
	}
	if !send(text) {
		return nil
	}
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for {
		select {
		case ev, open := <-st.queue:
			if !open || !send(s.Events.text(&ev)) {
				return nil
			}
		case <-beat.C:
			if !s.stillAdmitted(r) || !send(": \n\n") {
				return nil
			}
		case <-r.Context().Done():
			return nil
		}
	}
}

func (e *Events) text(ev *event) string {
	return "id: " + e.id + "-" + strconv.FormatUint(ev.number, 10) + "\nevent: " + ev.kind + "\ndata: " + string(ev.data) + "\n\n"
}
