package redismodel

import (
	"strconv"
	"strings"
	"time"
)

// reading is what XREAD asks for.
type reading struct {
	keys   []string
	after  []entryID
	count  int
	blocks bool
	block  time.Duration // 0: for ever
}

// blocks reports whether a command waits.
func blocks(args []string) bool {
	if !strings.EqualFold(args[0], "xread") {
		return false
	}
	for _, a := range args[1:] {
		switch strings.ToLower(a) {
		case "block":
			return true
		case "streams":
			return false
		}
	}
	return false
}

func (s *Server) parseRead(args []string) (r reading, bad any) {
	i := 1
	for ; i < len(args); i++ {
		option := strings.ToLower(args[i])
		if option == "streams" {
			break
		}
		if i+1 >= len(args) || option != "count" && option != "block" {
			return r, syntax
		}
		i++
		n, bad := parseInt(args[i])
		if bad != nil {
			return r, bad
		}
		if option == "count" {
			r.count = int(max(n, 0))
			continue
		}
		if n < 0 {
			return r, failure("ERR timeout is negative")
		}
		r.blocks, r.block = true, time.Duration(n)*time.Millisecond
	}
	names := args[min(i+1, len(args)):]
	if len(names) == 0 {
		return r, syntax
	}
	if len(names)%2 != 0 {
		return r, failure("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
	}
	r.keys = names[:len(names)/2]
	for i, text := range names[len(names)/2:] {
		if text == "$" {
			last := entryID{}
			v, bad := s.typed(r.keys[i], kindStream)
			if bad != nil {
				return r, bad
			}
			if v != nil {
				last = v.stream.last
			}
			r.after = append(r.after, last)
			continue
		}
		id, ok := parseID(text, 0)
		if !ok {
			return r, badID
		}
		r.after = append(r.after, id)
	}
	return r, nil
}

// readStreams answers what is there, or noArray.
func (s *Server) readStreams(r *reading) any {
	var out streams
	for i, key := range r.keys {
		v, bad := s.typed(key, kindStream)
		if bad != nil {
			return bad
		}
		if v == nil {
			continue
		}
		if list := v.stream.after(r.after[i], r.count); len(list) > 0 {
			out = append(out, key, entriesAnswer(list))
		}
	}
	if out == nil {
		return noArray{}
	}
	return out
}

// xread is XREAD where it does not wait.
func xread(c *call) any {
	r, bad := c.s.parseRead(c.args)
	if bad != nil {
		return bad
	}
	return c.s.readStreams(&r)
}

// blockingRead waits for entries. The server is locked, and is not while it
// waits.
func (c *conn) blockingRead(args []string) any {
	s := c.s
	if refusal := s.refusal("xread", false); refusal != "" {
		return failure(refusal)
	}
	r, bad := s.parseRead(args)
	if bad != nil {
		return bad
	}
	answer := s.readStreams(&r)
	if _, none := answer.(noArray); !none {
		return answer
	}
	var over <-chan time.Time
	if r.block > 0 {
		t := time.NewTimer(r.block)
		defer t.Stop()
		over = t.C
	}
	for {
		written, changed := s.written, s.changed
		s.mu.Unlock()
		ended := false
		select {
		case <-written:
		case <-changed:
		case <-over:
			ended = true
		case <-c.gone:
			ended = true
		}
		s.mu.Lock()
		if ended {
			return noArray{}
		}
		if s.frozen {
			continue
		}
		// A key that holds something else by now only has nothing.
		answer := s.readStreams(&r)
		if _, found := answer.(streams); found {
			return answer
		}
	}
}

// wait is WAIT: it returns when the replica has what was written so far. The
// server is locked, and is not while it waits.
func (c *conn) wait(args []string) any {
	s := c.s
	if len(args) != 3 {
		return (&call{s: s, args: args}).arity()
	}
	wanted, bad := parseInt(args[1])
	if bad != nil {
		return bad
	}
	n, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return failure("ERR timeout is not an integer or out of range")
	}
	if refusal := s.refusal("wait", false); refusal != "" {
		return failure(refusal)
	}
	timeout := time.Duration(n) * time.Millisecond
	if s.lag == 0 {
		if wanted > 0 {
			c.sleep(timeout)
		}
		return int64(0)
	}
	left := s.lag - time.Since(s.lastWrite)
	if left > 0 && n > 0 && left > timeout {
		c.sleep(timeout)
		return int64(0)
	}
	c.sleep(left)
	return int64(1)
}

// sleep waits with the server unlocked.
func (c *conn) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	c.s.mu.Unlock()
	t := time.NewTimer(d)
	select {
	case <-t.C:
	case <-c.gone:
		t.Stop()
	}
	c.s.mu.Lock()
}
