package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// figure is one thing that is measured: one or more numbers of one run.
type figure struct {
	name    string
	columns []column
	run     func(p peer) ([]float64, error)
}

// column is a number with its aim against Socket.IO in the same run.
type column struct {
	name   string
	factor float64 // of Socket.IO's number
	more   bool    // at least, else at most
	limit  float64 // at most, whatever the peers reach; 0: none
}

var figures = []figure{
	{"idle", []column{{name: "resident KiB per idle socket", factor: 0.5}}, idle},
	{"hold", []column{{name: "CPU us per idle socket and second", factor: 0.5}}, hold},
	{"accept", []column{{name: "CPU us per handshake", factor: 0.5}}, accept},
	{"fanout16", []column{{name: "deliveries/s, 16 messages in flight", factor: 8, more: true}}, func(p peer) ([]float64, error) { return fanout(p, 16) }},
	{"fanout1", []column{{name: "deliveries/s, 1 message in flight", factor: 1.4, more: true}}, func(p peer) ([]float64, error) { return fanout(p, 1) }},
	{"user", []column{{name: "deliveries/s to users of 2 sockets", factor: 1.7, more: true}, {name: "p50 ms"}, {name: "p99 ms", factor: 0.5}}, toUsers},
	{"slow", []column{{name: "p50 ms of healthy sockets"}, {name: "p99 ms of healthy sockets", limit: 4}}, slow},
}

// The protocol of the figures (shared/speed.md).
const (
	payloadBytes = 128
	idPlaces     = 9
	idleSockets  = 10_000
	dialing      = 128 // handshakes in flight
	longPing     = 25 * time.Second
	settle       = 2500 * time.Millisecond
	// A socket is connected once for each of these handshakes; the limit of
	// descriptors is 20,000 a process.
	handshakes = 15_000
)

// userOf is the user of socket i; users have two sockets where perUser is 2.
func userOf(i int) int { return i%userCount + 1 }

var userCount int

// open starts a peer and connects n sockets of so many users.
func open(p peer, n, users int, ping time.Duration) (*child, *clients, float64, error) {
	userCount = users
	server, err := p.start(users, ping)
	if err != nil {
		return nil, nil, 0, err
	}
	c, err := newClients(n, server.dialect)
	if err != nil {
		server.stop()
		return nil, nil, 0, err
	}
	before := resident(server.pid())
	if err := connect(server, c); err != nil {
		c.close()
		server.stop()
		return nil, nil, 0, err
	}
	return server, c, before, nil
}

func connect(server *child, c *clients) error {
	next := 0
	for c.ready < len(c.list) {
		for next < len(c.list) && next-c.ready < dialing {
			if err := c.dial(next, server.port, server.request(next)); err != nil {
				return err
			}
			next++
		}
		if err := c.poll(100 * time.Millisecond); err != nil {
			return err
		}
		if c.lost > 0 {
			return errors.New("a socket was closed while others connect")
		}
	}
	return nil
}

// rest serves the sockets for a while.
func rest(c *clients, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := c.poll(10 * time.Millisecond); err != nil {
			return err
		}
	}
	if c.lost > 0 {
		return fmt.Errorf("%d sockets were closed", c.lost)
	}
	return nil
}

func idle(p peer) ([]float64, error) {
	server, c, before, err := open(p, idleSockets, idleSockets, longPing)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	defer c.close()
	if err := rest(c, settle); err != nil {
		return nil, err
	}
	return []float64{(resident(server.pid()) - before) / idleSockets}, nil
}

func hold(p peer) ([]float64, error) {
	const ping, dur = 5 * time.Second, 15 * time.Second
	server, c, _, err := open(p, idleSockets, idleSockets, ping)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	defer c.close()
	if err := rest(c, ping); err != nil {
		return nil, err
	}
	start := cpuTime(server.pid())
	if err := rest(c, dur); err != nil {
		return nil, err
	}
	return []float64{float64((cpuTime(server.pid()) - start).Microseconds()) / idleSockets / dur.Seconds()}, nil
}

func accept(p peer) ([]float64, error) {
	userCount = handshakes
	server, err := p.start(handshakes, longPing)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	c, err := newClients(handshakes, server.dialect)
	if err != nil {
		return nil, err
	}
	defer c.close()
	start := cpuTime(server.pid())
	if err := connect(server, c); err != nil {
		return nil, err
	}
	return []float64{float64((cpuTime(server.pid()) - start).Microseconds()) / handshakes}, nil
}

// ledger follows messages by their numbers.
type ledger struct {
	mu    sync.Mutex
	sent  map[int]*entry
	next  int
	total int64
	delay []time.Duration // of deliveries, where it is kept
	keep  bool
	twice int
}

type entry struct {
	at   time.Time
	left int
	done chan struct{} // gets or gives one when all have it
	take bool
}

// add numbers a message that want sockets are to get. When they all have it,
// one value is put into done, or taken from it.
func (l *ledger) add(want int, done chan struct{}, take bool) (id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	l.sent[l.next] = &entry{at: time.Now(), left: want, done: done, take: take}
	return l.next
}

// got is called for each delivery.
func (l *ledger) got(payload []byte, at time.Time) {
	id := 0
	for _, d := range payload[:idPlaces] {
		id = id*10 + int(d-'0')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.sent[id]
	if e == nil {
		l.twice++
		return
	}
	l.total++
	if l.keep {
		l.delay = append(l.delay, at.Sub(e.at))
	}
	if e.left--; e.left == 0 {
		delete(l.sent, id)
		switch {
		case e.take:
			<-e.done
		case e.done != nil:
			e.done <- struct{}{}
		}
	}
}

func payload(id, size int) string {
	return fmt.Sprintf("%0*d", idPlaces, id) + strings.Repeat("x", size-idPlaces)
}

// measure runs publishers while the sockets are served, and returns the
// deliveries and the seconds of the part after the warm-up.
func measure(c *clients, l *ledger, publishers int, publish func(stop func() bool) error) (int64, float64, error) {
	const warmUp, dur, drain = time.Second, 5 * time.Second, 30 * time.Second
	c.message = func(_ int, data []byte, at time.Time) { l.got(data, at) }
	var stopped atomic.Bool
	errs := make(chan error, publishers)
	for range publishers {
		go func() { errs <- publish(stopped.Load) }()
	}
	left := publishers
	serve := func(d time.Duration, until func() bool) error {
		for end := time.Now().Add(d); time.Now().Before(end) && !until(); {
			if err := c.poll(5 * time.Millisecond); err != nil {
				return err
			}
			select {
			case err := <-errs:
				if left--; err != nil {
					return err
				}
			default:
			}
		}
		return nil
	}
	never := func() bool { return false }
	if err := serve(warmUp, never); err != nil {
		return 0, 0, err
	}
	l.mu.Lock()
	first, start := l.total, time.Now()
	l.delay = nil
	l.mu.Unlock()
	if err := serve(dur, never); err != nil {
		return 0, 0, err
	}
	l.mu.Lock()
	n, took := l.total-first, time.Since(start).Seconds()
	l.mu.Unlock()
	stopped.Store(true)
	err := serve(drain, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return left == 0 && len(l.sent) == 0
	})
	if err == nil && (len(l.sent) > 0 || l.twice > 0 || c.lost > 0) {
		err = fmt.Errorf("%d messages did not reach all their sockets, %d deliveries too many, %d sockets lost", len(l.sent), l.twice, c.lost)
	}
	return n, took, err
}

func fanout(p peer, inFlight int) ([]float64, error) {
	const sockets = 5_000
	server, c, _, err := open(p, sockets, sockets, longPing)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	defer c.close()
	l := &ledger{sent: map[int]*entry{}}
	n, took, err := measure(c, l, inFlight, func(stop func() bool) error {
		done := make(chan struct{}, 1)
		for !stop() {
			id := l.add(sockets, done, false)
			if err := server.post([]message{{0, payload(id, payloadBytes)}}); err != nil {
				return err
			}
			<-done
		}
		return nil
	})
	return []float64{float64(n) / took}, err
}

func toUsers(p peer) ([]float64, error) {
	const users, perUser, window, batch, publishers = 5_000, 2, 1024, 32, 8
	server, c, _, err := open(p, users*perUser, users, longPing)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	defer c.close()
	l := &ledger{sent: map[int]*entry{}, keep: true}
	tokens := make(chan struct{}, window)
	n, took, err := measure(c, l, publishers, func(stop func() bool) error {
		for !stop() {
			var list []message
			for range batch {
				tokens <- struct{}{}
				id := l.add(perUser, tokens, true)
				list = append(list, message{1 + rand.IntN(users), payload(id, payloadBytes)})
			}
			if err := server.post(list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p50, p99 := quantiles(l.delay)
	return []float64{float64(n) / took, p50, p99}, nil
}

func slow(p peer) ([]float64, error) {
	const sockets, stalled, size, perSecond, dur = 200, 50, 4096, 300, 15 * time.Second
	server, c, _, err := open(p, sockets, sockets, longPing)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	defer c.close()
	for i := range stalled {
		if err := c.ignore(i * sockets / stalled); err != nil {
			return nil, err
		}
	}
	l := &ledger{sent: map[int]*entry{}, keep: true}
	c.message = func(_ int, data []byte, at time.Time) { l.got(data, at) }
	posted := make(chan error, 1)
	go func() {
		var err error
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for end := time.Now().Add(dur); err == nil && time.Now().Before(end); {
			<-tick.C
			id := l.add(sockets-stalled, nil, false)
			err = server.post([]message{{0, payload(id, size)}})
		}
		posted <- err
	}()
	for waiting := true; waiting; {
		if err := c.poll(5 * time.Millisecond); err != nil {
			return nil, err
		}
		select {
		case err = <-posted:
			waiting = false
		default:
		}
	}
	if err == nil {
		err = rest(c, time.Second)
	}
	if err == nil && len(l.sent) > 0 {
		err = fmt.Errorf("%d messages did not reach all healthy sockets", len(l.sent))
	}
	p50, p99 := quantiles(l.delay)
	return []float64{p50, p99}, err
}

// quantiles are in milliseconds.
func quantiles(d []time.Duration) (p50, p99 float64) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	ms := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))].Microseconds()) / 1000 }
	return ms(0.5), ms(0.99)
}
