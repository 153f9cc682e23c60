package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// eventsBeat is how often a silent stream says that it lives: below the 30 s
	// after which proxies drop connections. `sluice watch` counts on it.
	eventsBeat = 15 * time.Second
	// eventsWrite bounds a write, eventsLast one that a drain waits for.
	eventsWrite = 10 * time.Second
	eventsLast  = time.Second
	// eventsChunk is what one write has of the events that a client has missed,
	// so that a slow connection need not carry all of them within eventsWrite.
	eventsChunk = 64 << 10
	// eventsRetry is how long browsers wait before they return.
	eventsRetry = 2 * time.Second
	// streamsRetry is the Retry-After, in seconds, of one that is refused.
	streamsRetry = "5"
)

// streamOf reads what a client wants to see.
func (s *Server) streamOf(r *http.Request) (*stream, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	st := &stream{queue: make(chan event, eventsQueued), actor: Actor(r.Context())}
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
		case "cluster":
			if st.cluster = values[0] == "true"; !st.cluster && values[0] != "false" {
				return nil, fail(http.StatusBadRequest, "bad_query", "cluster is true or false")
			}
		case "context", "user":
		default:
			return nil, fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (kinds, context, user, cluster)", key)
		}
	}
	if st.su, err = s.querySubject(query); err != nil {
		return nil, err
	}
	return st, nil
}

// streamEvents streams what happens, as server-sent events (HTML living standard, 9.2).
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	st, err := s.streamOf(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		secure(w.Header())
		return nil
	}
	others, end, err := s.joinOthers(r, st)
	if err != nil {
		w.Header().Set("Retry-After", streamsRetry)
		return err
	}
	defer end()
	missed, at, reset, err := s.Events.join(st, r.Header.Get("Last-Event-ID"))
	if err != nil {
		w.Header().Set("Retry-After", streamsRetry)
		return err
	}
	defer s.Events.leave(st)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	secure(w.Header())
	out := &streamWriter{w: w, control: http.NewResponseController(w)}
	defer out.hurry()
	defer context.AfterFunc(s.Events.drain, out.hurry)()
	out.text("retry: " + strconv.FormatInt(eventsRetry.Milliseconds(), 10) + "\nid: " + at)
	if reset {
		out.text("\nevent: " + eventReset + "\ndata: {}")
	}
	out.text("\n\n")
	for i := range missed {
		if s.Events.drain.Err() != nil {
			return nil
		}
		out.event(s.Events, &missed[i])
		missed[i].data = nil
		if out.buf.Len() >= eventsChunk && !out.send() {
			return nil
		}
	}
	if out.send() {
		s.follow(r, st, out, others)
	}
	return nil
}

// follow streams until the client leaves, is dropped or no longer admitted, or
// the server drains.
func (s *Server) follow(r *http.Request, st *stream, out *streamWriter, others <-chan []toldEvent) {
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for {
		// Before what waits: a drain is not held up by it.
		if s.Events.drain.Err() != nil {
			return
		}
		select {
		case ev, open := <-st.queue:
			if !open {
				s.Logger.Warn("a client that watches was dropped: it did not read", "client", r.RemoteAddr, "actor", Actor(r.Context()))
				return
			}
			st.waiting.Add(-int64(len(ev.data)))
			out.event(s.Events, &ev)
		case list := <-others:
			for i := range list {
				out.told(&list[i])
			}
		case <-beat.C:
			if !s.stillAdmitted(r) {
				return
			}
			out.text(":\n")
			// A client that wants little would else return with an id that is
			// no longer kept, although it missed nothing.
			if id, ok := s.Events.position(st); ok {
				out.text("id: " + id + "\n")
			}
			out.text("\n")
		case <-s.Events.drain.Done():
			return
		case <-r.Context().Done():
			return
		}
		if !out.send() {
			return
		}
	}
}

// streamWriter writes to one client, each time within a deadline.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer

	mu      sync.Mutex
	hurried bool // the server drains, or the handler has ended
}

func (o *streamWriter) text(s string) { o.buf.WriteString(s) }

func (o *streamWriter) event(e *Events, ev *event) {
	o.text("id: " + e.idOf(ev.number) + "\nevent: " + ev.kind + "\ndata: ")
	o.buf.Write(ev.data)
	o.text("\n\n")
}

// told writes an event of another member, which has no id here: a client that
// returns is told what happens there from then on.
func (o *streamWriter) told(ev *toldEvent) {
	o.text("event: " + ev.Kind + "\ndata: ")
	o.buf.Write(ev.Data)
	o.text("\n\n")
}

// send reports whether the client is still there.
func (o *streamWriter) send() bool {
	o.limit(eventsWrite, false)
	_, err := o.w.Write(o.buf.Bytes())
	if o.buf.Cap() > eventsChunk*2 {
		o.buf = bytes.Buffer{} // a long event was in it
	}
	o.buf.Reset()
	return err == nil && o.control.Flush() == nil
}

// hurry bounds the last write: one that hangs when the server drains, or the end
// of the answer, which net/http writes when the handler has returned. From then
// on the connection is not ours.
func (o *streamWriter) hurry() { o.limit(eventsLast, true) }

func (o *streamWriter) limit(d time.Duration, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.hurried {
		_ = o.control.SetWriteDeadline(time.Now().Add(d)) // every listener's connections have them
		o.hurried = last
	}
}
