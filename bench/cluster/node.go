package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// node is the sender within a process of Node, which takes commands on its
// standard input.
type node struct {
	in  io.WriteCloser
	out *bufio.Reader

	asking sync.Mutex

	ctx    context.Context
	cancel context.CancelCauseFunc
	limits chan int // the latest limit, for the goroutine that tells it
	done   sync.WaitGroup
}

// nodeCommand leaves out what stays as it is.
type nodeCommand struct {
	Users  int  `json:"users,omitempty"`
	Filler int  `json:"filler,omitempty"`
	Rate   *int `json:"rate,omitempty"`
	UpTo   int  `json:"upTo,omitempty"`
}

func newNode(ctx context.Context, in io.WriteCloser, out io.Reader) *node {
	n := &node{in: in, out: bufio.NewReader(out), limits: make(chan int, 1)}
	n.ctx, n.cancel = context.WithCancelCause(ctx)
	n.done.Go(func() {
		for {
			select {
			case limit := <-n.limits:
				if _, err := n.ask(nodeCommand{UpTo: limit}); err != nil {
					return
				}
			case <-n.ctx.Done():
				return
			}
		}
	})
	return n
}

func (n *node) ask(c nodeCommand) (sent int, err error) {
	n.asking.Lock()
	defer n.asking.Unlock()
	line, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	var answer struct{ Sent int }
	if _, err = n.in.Write(append(line, '\n')); err == nil {
		if line, err = n.out.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &answer)
		}
	}
	if err != nil {
		err = fmt.Errorf("sender in Node: %w", err)
		n.cancel(err)
	}
	return answer.Sent, err
}

func (n *node) begin(users, filler int) error {
	_, err := n.ask(nodeCommand{Users: users, Filler: filler})
	return err
}

func (n *node) rate(perSecond int) error {
	_, err := n.ask(nodeCommand{Rate: &perSecond})
	return err
}

// upTo does not wait for Node, which may be busy: the caller has sockets to
// serve.
func (n *node) upTo(limit int) error {
	select {
	case <-n.limits: // an older one
	default:
	}
	n.limits <- limit
	return n.failed()
}

func (n *node) sent() (int, error) { return n.ask(nodeCommand{}) }

func (n *node) failed() error {
	if n.ctx.Err() == nil {
		return nil
	}
	return context.Cause(n.ctx)
}

func (n *node) close() {
	n.cancel(nil)
	_ = n.in.Close() // ends an ask, and Node
	n.done.Wait()
}
