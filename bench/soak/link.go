package main

import (
	"io"
	"net"
	"sync"
)

// link stands between a member and Redis, and can be cut.
type link struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newLink(target string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{listener: l, target: target, conns: map[net.Conn]bool{}}
	k.work.Go(k.accept)
	return k, nil
}

func (k *link) port() int { return k.listener.Addr().(*net.TCPAddr).Port }

// set cuts the link, which breaks every connection, or heals it.
func (k *link) set(cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = cut
	if cut {
		k.breakAll()
	}
}

func (k *link) breakAll() {
	for c := range k.conns {
		_ = c.Close() // what copies from it notices
	}
	clear(k.conns)
}

func (k *link) close() {
	_ = k.listener.Close() // ends accept
	k.set(true)
	k.work.Wait()
}

func (k *link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		s, err := net.Dial("tcp", k.target)
		if err != nil {
			_ = c.Close() // as Redis refuses
			continue
		}
		k.mu.Lock()
		if k.cut {
			_, _ = c.Close(), s.Close()
		} else {
			k.conns[c], k.conns[s] = true, true
			k.work.Go(func() { k.pump(c, s) })
			k.work.Go(func() { k.pump(s, c) })
		}
		k.mu.Unlock()
	}
}

func (k *link) pump(from, to net.Conn) {
	_, _ = io.Copy(to, from) // ends with either connection
	_, _ = from.Close(), to.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, from)
	delete(k.conns, to)
}
