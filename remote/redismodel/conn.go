package redismodel

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. A reader takes what the client sends at once, as the
// kernel does, and a worker answers it.
type conn struct {
	s    *Server
	line *Line
	pipe net.Conn // the server's end
	rng  *rand.Rand

	epoch int  // of the server that it leads to
	reset bool // the client sees ECONNRESET when it is cut, else the end of the stream
	late  bool // what was sent into a black hole arrives although its sender has gone
	gone  chan struct{}
	torn  atomic.Bool // cut: nothing that was sent arrives any more

	mu    sync.Mutex
	queue [][]string
	wake  chan struct{}

	// Of the worker.
	version int // of RESP
	authed  bool
	multi   bool
	broken  bool // the transaction has a command that does not fit
	queued  [][]string
	watched map[string]uint64
}

// accept makes a connection. The server is locked.
func (s *Server) accept(l *Line) net.Conn {
	client, pipe := net.Pipe()
	l.number++
	c := &conn{
		s: s, line: l, pipe: pipe, epoch: s.epoch, version: 2, rng: rand.New(rand.NewPCG(s.opts.Seed, l.id<<32|l.number)),
		gone: make(chan struct{}), wake: make(chan struct{}, 1), authed: s.users["default"] == "",
	}
	if _, known := s.users["default"]; !known {
		c.authed = false
	}
	c.late, c.reset = c.rng.IntN(2) == 0, c.rng.IntN(2) == 0
	s.conns[c] = true
	refused := s.full
	s.work.Go(c.read)
	s.work.Go(func() {
		if refused {
			_, _ = io.WriteString(pipe, "-ERR max number of clients reached\r\n") // the client may have gone
			c.torn.Store(true)
		} else {
			c.work()
		}
		_ = pipe.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
	return &clientEnd{Conn: client, c: c}
}

// cut ends the connection; what is on its way is lost.
func (c *conn) cut() {
	c.torn.Store(true)
	_ = c.pipe.Close() // the reader and the worker notice
}

// readSize is more than most pipelines have.
const readSize = 64 << 10

func (c *conn) read() {
	defer close(c.gone)
	r := bufio.NewReaderSize(c.pipe, readSize)
	var batch [][]string // what has come together
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		if len(args) > 0 {
			batch = append(batch, args)
		}
		if r.Buffered() > 0 {
			continue
		}
		c.mu.Lock()
		c.queue = append(c.queue, batch...)
		c.mu.Unlock()
		batch = nil
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// next waits for commands; none: the client has gone.
func (c *conn) next() [][]string {
	for {
		c.s.mu.Lock()
		changed, hole := c.s.changed, c.line.up
		held := hole || c.s.frozen
		c.s.mu.Unlock()
		c.mu.Lock()
		batch := c.queue
		if !held {
			c.queue = nil
		}
		c.mu.Unlock()
		left := false
		select {
		case <-c.gone:
			left = true
		default:
		}
		switch {
		case c.torn.Load(), left && len(batch) == 0, left && hole && !c.late:
			return nil
		case len(batch) > 0 && !held:
			return batch
		}
		gone := c.gone
		if left {
			gone = nil
		}
		select {
		case <-c.wake:
		case <-gone:
		case <-changed:
		}
	}
}

// latency is how long a batch takes.
func (c *conn) latency() time.Duration {
	most := int64(c.s.opts.Latency)
	if c.rng.IntN(50) == 0 {
		most *= 50
	}
	return time.Duration(1 + c.rng.Int64N(most))
}

func (c *conn) work() {
	var out bytes.Buffer
	for {
		batch := c.next()
		if batch == nil {
			return
		}
		time.Sleep(c.latency())
		if c.torn.Load() && !c.late {
			return
		}
		c.s.mu.Lock()
		f := c.s.faults
		c.s.mu.Unlock()
		stop, lose := len(batch), false
		if !blocks(batch[0]) && !login(batch[0]) {
			switch p := c.rng.Float64(); {
			case p < f.drop:
				lose = true
			case p < f.drop+f.cut:
				stop, lose = c.rng.IntN(len(batch)), true
			}
		}
		out.Reset()
		for i, args := range batch[:stop] {
			if i > 0 && c.rng.IntN(8) == 0 { // others come in between
				time.Sleep(c.latency())
			}
			answer := c.do(args)
			if c.rng.Float64() < f.shorten {
				answer = shorter(args, answer)
			}
			encode(&out, answer, c.version)
		}
		if lose {
			c.s.mu.Lock()
			if stop == len(batch) {
				c.s.counts.Dropped++
			} else {
				c.s.counts.Cut++
			}
			c.s.mu.Unlock()
			c.cut()
			return
		}
		if !c.passable() {
			return
		}
		if _, err := c.pipe.Write(out.Bytes()); err != nil {
			return
		}
	}
}

// passable waits while what the server sends goes nowhere.
func (c *conn) passable() bool {
	for {
		c.s.mu.Lock()
		changed, held := c.s.changed, c.line.down || c.s.frozen
		c.s.mu.Unlock()
		if !held {
			return !c.torn.Load()
		}
		select {
		case <-changed:
		case <-c.gone:
			return false
		}
	}
}

func login(args []string) bool {
	name := strings.ToLower(args[0])
	return name == "hello" || name == "auth" || name == "select" || name == "client"
}

// shorter cuts answers whose length the question says; those that tell what is
// there have none.
func shorter(args []string, answer any) any {
	list, ok := answer.(array)
	switch strings.ToLower(args[0]) {
	case "mget", "hmget", "time", "eval", "evalsha":
		if ok && len(list) > 0 {
			return list[:len(list)-1]
		}
	}
	return answer
}

// do answers one command.
func (c *conn) do(args []string) any {
	name := strings.ToLower(args[0])
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.epoch != c.s.epoch { // that server is dead
		c.torn.Store(true)
		return nil
	}
	c.s.counts.Commands++
	switch name {
	case "hello":
		return c.hello(args)
	case "auth":
		return c.auth(args)
	case "quit":
		return okay
	}
	if !c.authed {
		return failure("NOAUTH Authentication required.")
	}
	switch name {
	case "select":
		n, err := strconv.Atoi(args[len(args)-1])
		if err != nil {
			return notInteger
		}
		if n < 0 || n >= c.s.database {
			return failure("ERR DB index is out of range")
		}
		return okay
	case "multi", "exec", "discard", "watch", "unwatch":
		return c.transaction(name, args)
	}
	if c.multi {
		return c.enqueue(name, args)
	}
	switch name {
	case "wait":
		return c.wait(args)
	case "xread":
		if blocks(args) {
			return c.blockingRead(args)
		}
	}
	return c.s.run(c, args)
}

// enqueue takes a command of a transaction.
func (c *conn) enqueue(name string, args []string) any {
	cmd, known := commands[name]
	switch {
	case name == "wait", name == "select":
	case !known, cmd.arity > 0 && len(args) != cmd.arity, len(args) < -cmd.arity:
		c.broken = true
		return c.s.run(c, args) // the error
	}
	c.queued = append(c.queued, args)
	return status("QUEUED")
}

func (c *conn) transaction(name string, args []string) any {
	switch {
	case name == "watch" && c.multi:
		return failure("ERR WATCH inside MULTI is not allowed")
	case name == "watch":
		if c.watched == nil {
			c.watched = make(map[string]uint64)
		}
		for _, key := range args[1:] {
			c.watched[key] = c.s.touched[key]
		}
		return okay
	case name == "unwatch":
		c.watched = nil
		return okay
	case name == "multi" && c.multi:
		return failure("ERR MULTI calls can not be nested")
	case name == "multi":
		c.multi, c.broken, c.queued = true, false, nil
		return okay
	case !c.multi:
		return failure("ERR " + strings.ToUpper(name) + " without MULTI")
	}
	queued, broken, watched := c.queued, c.broken, c.watched
	c.multi, c.queued, c.watched = false, nil, nil
	if name == "discard" {
		return okay
	}
	if broken {
		return failure("EXECABORT Transaction discarded because of previous errors.")
	}
	for key, n := range watched {
		if c.s.touched[key] != n {
			return noArray{}
		}
	}
	out := make(array, 0, len(queued))
	for _, args := range queued {
		if strings.EqualFold(args[0], "wait") {
			out = append(out, int64(0))
			continue
		}
		out = append(out, c.s.run(c, args))
	}
	return out
}
