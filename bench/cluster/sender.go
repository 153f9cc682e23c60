package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// sender sends messages 1, 2, 3... to users 1, 2, 3... in turn. A text is the
// number, the time and a filler.
type sender interface {
	// begin tells to how many users, and with how large a filler.
	begin(users, filler int) error
	// rate sends so many a second from now on, each millisecond those that are
	// due; 0 sends no more.
	rate(perSecond int) error
	// upTo sends what is left of the first n as fast as it can.
	upTo(n int) error
	sent() (int, error)
	// failed is why nothing more is sent, or nil.
	failed() error
	close()
}

const (
	numberDigits = 9
	stampDigits  = 16
	head         = numberDigits + stampDigits
)

// monotonic is the clock that all processes of a machine share, and Node's
// process.hrtime.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // the clock is always there
	return t.Nano()
}

const (
	// streamLimit is where a stream of messages ends and the next begins: one
	// may have 64 MiB.
	streamLimit = 48 << 20
	// burst is how many messages are written at once where all are due.
	burst = 256
	tick  = time.Millisecond
)

// outlet is one of the ways in that a sender uses at a time.
type outlet interface {
	// add keeps a message until flush.
	add(user, number int, filler []byte)
	flush() error
	// end returns when all that was flushed is answered.
	end()
}

// streams sends through several outlets, each user's messages through the same
// one, so that they keep their order.
type streams struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   sync.WaitGroup
	lanes  []outlet
	wake   chan struct{}

	mu      sync.Mutex
	users   int
	filler  []byte
	number  int // of the last that was sent
	allowed int
	speed   int
	base    int // number when the speed was set
	since   time.Time
}

// newStreams sends through n outlets that open makes.
func newStreams(ctx context.Context, n int, open func(s *streams) outlet) *streams {
	s := &streams{wake: make(chan struct{}, 1), users: 1}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	for range n {
		s.lanes = append(s.lanes, open(s))
	}
	s.done.Go(s.run)
	return s
}

func (s *streams) close() {
	s.cancel(nil)
	s.done.Wait()
}

func (s *streams) failed() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

func (s *streams) set(change func()) error {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.failed()
}

func (s *streams) begin(users, filler int) error {
	return s.set(func() { s.users, s.filler = users, bytes.Repeat([]byte("x"), filler) })
}

func (s *streams) rate(perSecond int) error {
	return s.set(func() {
		s.speed, s.base, s.since = perSecond, s.number, time.Now()
		if perSecond == 0 {
			s.allowed = s.number
		}
	})
}

func (s *streams) upTo(n int) error { return s.set(func() { s.allowed = max(s.allowed, n) }) }

func (s *streams) sent() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number, s.failed()
}

func (s *streams) run() {
	defer func() {
		for _, l := range s.lanes {
			l.end()
		}
	}()
	for s.ctx.Err() == nil {
		more, waits := s.turn()
		for _, l := range s.lanes {
			if err := l.flush(); err != nil {
				s.cancel(fmt.Errorf("sending: %w", err))
				return
			}
		}
		switch {
		case more:
		case waits:
			select {
			case <-s.wake:
			case <-s.ctx.Done():
			}
		default:
			time.Sleep(tick)
		}
	}
}

// turn writes what may be sent into the lanes. It reports whether there is more,
// and whether there will be only after a change.
func (s *streams) turn() (more, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.speed > 0 {
		s.allowed = s.base + int(time.Since(s.since).Seconds()*float64(s.speed))
	}
	for range burst {
		if s.number >= s.allowed {
			return false, s.speed == 0
		}
		user := 1 + s.number%s.users
		s.number++
		s.lanes[user%len(s.lanes)].add(user, s.number, s.filler)
	}
	return true, false
}

// lane is one POST of a stream to a member of Sluice after the other.
type lane struct {
	s    *streams
	http *http.Client
	url  string
	out  []byte // lines that are not written yet

	body    *io.PipeWriter // nil: no stream is open
	written int
	ended   chan struct{} // closed when the answer is read
}

func (l *lane) add(user, number int, filler []byte) {
	l.out = fmt.Appendf(l.out, `{"context":%d,"user":%d,"name":"%s","args":["%0*d%0*d%s"]}`+"\n",
		sluice.ContextOf(user), user, sockets.Event, numberDigits, number, stampDigits, monotonic(), filler)
}

func (l *lane) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	if l.body != nil && l.written+len(l.out) > streamLimit {
		// All answers first, so that no message overtakes another.
		l.end()
	}
	if l.body == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	_, err := l.body.Write(l.out)
	l.written += len(l.out)
	l.out = l.out[:0]
	return err
}

func (l *lane) open() error {
	var from *io.PipeReader
	from, l.body = io.Pipe()
	l.written, l.ended = 0, make(chan struct{})
	req, err := http.NewRequestWithContext(l.s.ctx, http.MethodPost, l.url, from)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if err := sluice.Authorize(req); err != nil {
		return err
	}
	ended := l.ended
	l.s.done.Go(func() {
		defer close(ended)
		err := l.read(req)
		if err != nil && l.s.ctx.Err() == nil {
			l.s.cancel(fmt.Errorf("sending: %w", err))
		}
		_ = from.CloseWithError(io.ErrClosedPipe) // wakes a writer where the stream broke off
	})
	return nil
}

// read checks that each message was accepted.
func (l *lane) read(req *http.Request) error {
	r, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(r.Body) // goes into the error, as far as it came
		return fmt.Errorf("%s %.300s", r.Status, text)
	}
	for lines := bufio.NewReaderSize(r.Body, 64<<10); ; {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Contains(line, []byte(`"local":`)) {
			return fmt.Errorf("a message was refused: %.300s", line)
		}
	}
}

func (l *lane) end() {
	if l.body != nil {
		_ = l.body.Close() // never fails (io.Pipe)
		<-l.ended
		l.body = nil
	}
}
