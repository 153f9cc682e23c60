package httpapi

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/testkit"
)

// piped is a server of nothing but streams, in virtual time.
type piped struct {
	t    *testing.T
	s    *Server
	http *http.Server
	net  *testkit.Pipes
	logs testkit.Log
}

func streamsIn(t *testing.T, f func(t *testing.T, p *piped)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &piped{t: t, net: testkit.NewPipes()}
		p.s = &Server{Options: Options{Logger: slog.New(slog.NewTextHandler(&p.logs, nil))}, Events: events.New("me")}
		p.http = &http.Server{Handler: p.s.handle(p.s.streamEvents), ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, &peer{editor: true})
		}}
		var serving sync.WaitGroup
		serving.Go(func() { _ = p.http.Serve(p.net) }) // until Close
		f(t, p)
		p.s.Events.End()
		_ = p.http.Close() // its clients are not asked
		serving.Wait()
	})
}

// dial asks for the stream and has read the answer's head and the first block.
func (p *piped) dial(last string) *tail {
	p.t.Helper()
	client := p.net.Dial()
	p.t.Cleanup(func() { _ = client.Close() })
	req, err := http.NewRequest(http.MethodGet, "http://sluice/admin/v1/events", nil)
	must(p.t, err)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	must(p.t, req.Write(client))
	res, err := http.ReadResponse(bufio.NewReader(client), req)
	must(p.t, err)
	s := &tail{t: p.t, res: res, lines: bufio.NewScanner(res.Body)}
	s.lines.Buffer(nil, 2*events.MaxQueuedBytes)
	if last == "" {
		s.block("retry: 2000", "id: ")
	}
	return s
}

// block reads up to an empty line, and compares how the lines begin.
func (s *tail) block(want ...string) {
	s.t.Helper()
	for i := 0; s.lines.Scan() && s.lines.Text() != ""; i++ {
		if i >= len(want) || !strings.HasPrefix(s.lines.Text(), want[i]) {
			s.t.Errorf("line %d is %q, want %q", i, s.lines.Text(), want)
		}
		if id, ok := strings.CutPrefix(s.lines.Text(), "id: "); ok {
			s.last = id
		}
	}
}

// A silent stream says each 15 s that it lives, and where it is.
func TestStreamBeats(t *testing.T) {
	streamsIn(t, func(t *testing.T, p *piped) {
		s := p.dial("")
		began := time.Now()
		s.block(":", "id: me-0")
		if d := time.Since(began); d != eventsBeat {
			t.Errorf("the first beat came after %v", d)
		}
		p.s.Events.Publish(events.Member, cascade.Subject{}, "x")
		s.want("member", `"x"`)
		s.block()
		s.block(":", "id: me-1")
		if d := time.Since(began); d != 2*eventsBeat {
			t.Errorf("the second beat came after %v", d)
		}
	})
}

// One that does not read holds no goroutine for longer than a write may take,
// and returns with what it missed.
func TestStreamNotRead(t *testing.T) {
	streamsIn(t, func(t *testing.T, p *piped) {
		s := p.dial("")
		p.s.Events.Publish(events.Member, cascade.Subject{}, 1)
		s.want("member 1")
		s.block()
		at := s.last
		for i := range 5 {
			p.s.Events.Publish(events.Member, cascade.Subject{}, i+2)
		}
		time.Sleep(events.WriteTimeout - time.Millisecond)
		synctest.Wait()
		if p.s.Events.Watchers() != 1 {
			t.Error("it was given up before its time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if p.s.Events.Watchers() != 0 {
			t.Error("it still holds a goroutine")
		}
		again := p.dial(at)
		for _, want := range []string{"2", "3", "4", "5", "6"} {
			again.want("member " + want)
		}
	})
}

// One that reads too slowly is dropped when its queue is full, in events or in
// bytes; that is counted, and logged once it has what was queued.
func TestStreamSlow(t *testing.T) {
	long := strings.Repeat("x", events.MaxQueuedBytes/4)
	for name, c := range map[string]struct {
		data any
		fit  int
	}{"events": {1, events.MaxQueued}, "bytes": {long, 3}} {
		t.Run(name, func(t *testing.T) {
			streamsIn(t, func(t *testing.T, p *piped) {
				s := p.dial("")
				p.s.Events.Publish(events.Member, cascade.Subject{}, "first")
				synctest.Wait() // its write hangs, and nothing is queued
				for range c.fit {
					p.s.Events.Publish(events.Member, cascade.Subject{}, c.data)
				}
				if p.s.Events.Dropped() != 0 {
					t.Error("dropped although it fits")
				}
				p.s.Events.Publish(events.Member, cascade.Subject{}, c.data)
				if p.s.Events.Dropped() != 1 || p.s.Events.Watchers() != 0 {
					t.Error("not dropped")
				}
				got := 0
				for s.next() != "end" {
					got++
				}
				if got != c.fit+1 {
					t.Errorf("%d events came, want %d", got, c.fit+1)
				}
				synctest.Wait()
				if !strings.Contains(p.logs.String(), "did not read") {
					t.Errorf("the log has %q", p.logs.String())
				}
			})
		})
	}
	// What was read does not count, and a single event may be longer.
	streamsIn(t, func(t *testing.T, p *piped) {
		s := p.dial("")
		for range 6 {
			p.s.Events.Publish(events.Member, cascade.Subject{}, long)
			s.want("member")
		}
		p.s.Events.Publish(events.Member, cascade.Subject{}, strings.Repeat("x", events.MaxQueuedBytes+1))
		s.want("member")
	})
}

// A drain ends all streams: at once those that read, cleanly, and within
// events.LastWrite those that do not, whatever waits for them.
func TestStreamDrain(t *testing.T) {
	streamsIn(t, func(t *testing.T, p *piped) {
		reads, hangs := p.dial(""), p.dial("")
		p.s.Events.Publish(events.Member, cascade.Subject{}, 1)
		reads.want("member 1")
		for i := range 100 {
			p.s.Events.Publish(events.Member, cascade.Subject{}, i)
		}
		for range 100 {
			reads.want("member")
		}
		synctest.Wait() // one handler waits for events, the other for its client
		began := time.Now()
		p.s.Events.End()
		if got := reads.next(); got != "end" || reads.lines.Err() != nil || time.Since(began) != 0 {
			t.Errorf("got %s, %v after %v", got, reads.lines.Err(), time.Since(began))
		}
		if err := p.http.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 2*events.LastWrite {
			t.Errorf("a client that does not read held the shutdown for %v", d)
		}
		_ = hangs // until then
		p.s.Events.Publish(events.Member, cascade.Subject{}, 1)
		if n := p.s.Events.Counts()[events.Member]; n != 101 {
			t.Errorf("%d events counted", n)
		}
	})
}

// A stream that nobody is left to read ends.
func TestStreamLeaves(t *testing.T) {
	w := newWorld(t, tree)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.admin.URL+"/admin/v1/events", nil)
	must(t, err)
	res, err := w.client.Do(req)
	must(t, err)
	defer res.Body.Close()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	w.wantMetric("sluice_event_streams", "1")
	cancel()
	w.poll("the stream ends", func() bool { return w.server.Events.Watchers() == 0 })
	w.server.SetReady(false)
	w.ask("GET", "/admin/v1/events", "").refused(t, 503, "draining")
}

// Streams have a bound, and who is refused learns when to come back.
func TestStreamsBound(t *testing.T) {
	w := newWorld(t, tree)
	join := func(n int, actor string) {
		for range n {
			st := events.NewStream()
			st.Actor = actor
			_, _, _, err := w.server.Events.Join(st, "")
			must(t, err)
		}
	}
	join(events.MaxStreamsEach, me)
	a := w.ask("GET", "/admin/v1/events", "")
	a.refused(t, 429, "too_many_streams")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	join(1, "somebody else")
	for i := range events.MaxStreams - events.MaxStreamsEach - 1 {
		join(1, strconv.Itoa(i))
	}
	w.server.Tokens = &memoryTokens{}
	w.admin = w.tcp
	a = w.ask("GET", "/admin/v1/events", "", w.server.Tokens.(*memoryTokens).give(t, "late", auth.Viewer, time.Time{}))
	a.refused(t, 503, "too_many_streams")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
