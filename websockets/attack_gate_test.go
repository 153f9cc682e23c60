package websockets

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"
)

// quiet is a connection in memory whose client never says anything, keeps what
// it is told, and goes when it is told to.
type quiet struct {
	mu     sync.Mutex
	told   []byte
	over   chan struct{} // closed when nothing more can be read
	ending error         // what Read returns then
}

func newQuiet() *quiet { return &quiet{over: make(chan struct{})} }

func (q *quiet) Read([]byte) (int, error) {
	<-q.over
	return 0, q.ending
}

func (q *quiet) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = append(q.told, p...)
	if bytes.Contains(p, []byte{finBit | opClose}) {
		q.endLocked(io.EOF)
	}
	return len(p), nil
}

func (q *quiet) endLocked(err error) {
	if q.ending == nil {
		q.ending = err
		close(q.over)
	}
}

func (q *quiet) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLocked(net.ErrClosed)
	return nil
}

// SetReadDeadline ends reading when the time has passed, as the server's end of
// a socket does it.
func (q *quiet) SetReadDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.IsZero() && time.Until(t) <= 0 {
		q.endLocked(os.ErrDeadlineExceeded)
	}
	return nil
}

func (q *quiet) SetWriteDeadline(time.Time) error { return nil }
func (q *quiet) SetDeadline(t time.Time) error    { return q.SetReadDeadline(t) }
func (q *quiet) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "quiet", Net: "pipe"} }
func (q *quiet) RemoteAddr() net.Addr             { return q.LocalAddr() }

// heard returns what the client has been told since the last call.
func (q *quiet) heard() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	told := q.told
	q.told = nil
	return told
}

// response is what a handshake answers on a quiet connection.
type response struct {
	*httptest.ResponseRecorder
	conn *quiet
}

func (r response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r.conn, bufio.NewReadWriter(bufio.NewReader(r.conn), bufio.NewWriter(r.conn)), nil
}

// crowd connects users 1 to n of context 9, one socket each, without a network.
func (w *world) crowd(n int) []*quiet {
	w.t.Helper()
	w.configure(func(c *Config) { c.PingInterval = time.Hour }) // it takes a while, and nobody pings
	conns := make([]*quiet, n)
	for i := range conns {
		s := w.login(9, uint32(i+1))
		req := httptest.NewRequest(http.MethodGet, eio3+"&session="+s.ID, nil)
		req.Header = header(s)
		for name, value := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			req.Header.Set(name, value)
		}
		conns[i] = newQuiet()
		resp := response{httptest.NewRecorder(), conns[i]}
		w.server.ServeHTTP(resp, req)
		if resp.Code != http.StatusSwitchingProtocols {
			w.t.Fatalf("user %d: status %d %s", i+1, resp.Code, resp.Body)
		}
	}
	until(w.t, "all have their first packets", func() bool { return w.server.Stats().FramesOut == int64(2*n) })
	for _, q := range conns {
		q.heard()
	}
	return conns
}

// Of a crowd, Recheck asks for everyone once and touches only those whose
// answer has changed.
func TestRecheckTouchesOnlyTheChanged(t *testing.T) {
	users := rounds(2_000, 100_000)
	const each = 1000 // user whose answer changes
	w := newWorld(t)
	conns := w.crowd(users)
	changed := int64(users / each)
	asked := func() int {
		w.gate.mu.Lock()
		defer w.gate.mu.Unlock()
		return w.gate.asked
	}
	recheck := func(wantUsers, wantClosed int) {
		t.Helper()
		before := asked()
		start := time.Now()
		if n, closed := w.server.Recheck(); n != wantUsers || closed != wantClosed {
			t.Errorf("asked for %d users and closed %d sockets, want %d and %d", n, closed, wantUsers, wantClosed)
		}
		t.Logf("%d users in %v", wantUsers, time.Since(start))
		if n := asked() - before; n != wantUsers {
			t.Errorf("the gate was asked %d times, want %d", n, wantUsers)
		}
	}
	recheck(users, 0)
	reasons := []Reason{SwitchedOff, ContextDisabled, ContextUnknown, UserDisabled, UserUnknown}
	for u := each; u <= users; u += each {
		w.gate.refuse(9, uint32(u), reasons[u/each%len(reasons)])
	}
	before := w.server.Stats()
	recheck(users, int(changed))
	expectClosed(t, w.server, before, map[Closing]int64{endsDisabled: changed})
	want := farewells[CauseDisabled][0]
	for i, q := range conns {
		heard := q.heard()
		switch refused := (i+1)%each == 0; {
		case refused && !bytes.Equal(heard, want):
			t.Fatalf("user %d was told %q, want %q", i+1, heard, want)
		case !refused && len(heard) != 0:
			t.Fatalf("user %d was told %q", i+1, heard)
		}
	}
	recheck(users-int(changed), 0)
	for u := each; u <= users; u += each {
		w.gate.allow(9, uint32(u))
	}
	recheck(users-int(changed), 0)
	st := w.server.Stats()
	if st.Rechecks != 4 || st.RecheckClosed != changed || st.RecheckUsers != int64(4*users)-2*changed {
		t.Errorf("%d rechecks of %d users closed %d", st.Rechecks, st.RecheckUsers, st.RecheckClosed)
	}
	if n, err := w.server.SendToContext(9, Message{Name: "e"}, Target{}); n != users-int(changed) || err != nil {
		t.Errorf("%d sockets left (%v), want %d", n, err, users-int(changed))
	}
}

// The time from a change to the last question for 100,000 connected users, none
// of whose answers has changed.
func BenchmarkRecheck(b *testing.B) {
	const users = 100_000
	w := newWorld(b)
	w.crowd(users)
	start := time.Now()
	for b.Loop() {
		if n, closed := w.server.Recheck(); n != users || closed != 0 {
			b.Fatalf("asked for %d users and closed %d sockets", n, closed)
		}
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds())/float64(b.N), "ms/100k-users")
}
