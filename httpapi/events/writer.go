package events

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// WriteTimeout bounds a write, LastWrite one that a drain waits for.
	WriteTimeout = 10 * time.Second
	LastWrite    = time.Second
	// chunk is what one write has of the events that a client has missed, so that
	// a slow connection need not carry all of them within WriteTimeout.
	chunk = 64 << 10
	// retry is how long browsers wait before they return.
	retry = 2 * time.Second
)

// Writer writes to one client, each time within a deadline.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer

	mu      sync.Mutex
	hurried bool // the server drains, or the handler has ended
}

// NewWriter returns one that has written nothing.
func NewWriter(w http.ResponseWriter) *Writer {
	return &Writer{w: w, control: http.NewResponseController(w)}
}

// Begin says how long browsers wait before they return, and where the stream
// begins.
func (o *Writer) Begin(at string, reset bool) {
	o.Text("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\nid: " + at)
	if reset {
		o.Text("\nevent: " + Reset + "\ndata: {}")
	}
	o.Text("\n\n")
}

// Full reports whether what there is should be sent before more is added.
func (o *Writer) Full() bool { return o.buf.Len() >= chunk }

// Text adds lines of the protocol.
func (o *Writer) Text(s string) { o.buf.WriteString(s) }

// Event adds an event of this member.
func (o *Writer) Event(e *Log, ev *Event) {
	o.Text("id: " + e.idOf(ev.number) + "\nevent: " + ev.kind + "\ndata: ")
	o.buf.Write(ev.data)
	o.Text("\n\n")
}

// Told adds an event of another member, which has no id here: a client that
// returns is told what happens there from then on.
func (o *Writer) Told(ev *Told) {
	o.Text("event: " + ev.Kind + "\ndata: ")
	o.buf.Write(ev.Data)
	o.Text("\n\n")
}

// Send writes what there is, and reports whether the client is still there.
func (o *Writer) Send() bool {
	o.limit(WriteTimeout, false)
	_, err := o.w.Write(o.buf.Bytes())
	if o.buf.Cap() > chunk*2 {
		o.buf = bytes.Buffer{} // a long event was in it
	}
	o.buf.Reset()
	return err == nil && o.control.Flush() == nil
}

// Hurry bounds the last write: one that hangs when the server drains, or the end
// of the answer, which net/http writes when the handler has returned. From then
// on the connection is not ours.
func (o *Writer) Hurry() { o.limit(LastWrite, true) }

func (o *Writer) limit(d time.Duration, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.hurried {
		_ = o.control.SetWriteDeadline(time.Now().Add(d)) // every listener's connections have them
		o.hurried = last
	}
}
