package testkit

import (
	"context"
	"net"
	"sync"
)

// Pipes is a network in memory without buffers: who does not read is noticed at
// once. In a bubble of synctest time stands still while anything waits for a real
// one.
type Pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// NewPipes returns a listener that Dial reaches.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// Dial connects; it waits for Accept.
func (p *Pipes) Dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// DialContext is Dial in the form of http.Transport.
func (p *Pipes) DialContext(context.Context, string, string) (net.Conn, error) { return p.Dial(), nil }
