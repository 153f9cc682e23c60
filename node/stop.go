package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// flushFirst is how long the sockets of a member that stops stay while its
	// messages for the others are sent: a client that moves meanwhile would get
	// them again over there. A Redis that does not answer delays a stop no longer.
	flushFirst = 3 * time.Second
	// requestGrace is how long requests that run may take when the last socket is
	// closed. It is below drainGrace, so that cutting them off leaves time to end.
	requestGrace = 5 * time.Second
)

// requests counts those that are in a handler.
type requests struct {
	mu      sync.Mutex // guards ended and the first Add of running
	ended   bool
	running sync.WaitGroup
}

func (r *requests) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		if r.ended { // its connection is closed, too, and nobody may take it for answered
			r.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		r.running.Add(1)
		r.mu.Unlock()
		defer r.running.Done()
		h.ServeHTTP(w, req)
	})
}

// end lets no request in any more and waits for those that run.
func (r *requests) end(ctx context.Context) error {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		r.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return errors.New("requests still run although their connections are closed")
	}
}

// flush sends what waits for other members. It returns when all is sent, or
// after flushFirst; the caller waits for done, at the latest when ctx ends.
func (n *Node) flush(ctx context.Context) (done <-chan struct{}) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if n.link != nil {
			n.link.Announce() // that this member stops
		}
		n.api.ClosePushes() // before the link, which carries them
		if n.link != nil {
			n.link.Flush(ctx)
		}
	}()
	first := time.NewTimer(flushFirst)
	defer first.Stop()
	select {
	case <-sent:
	case <-first.C:
	}
	return sent
}

// stopServing closes the listeners, lets requests that run end, and cuts off
// those that do not: a client that never sends the rest of its body, or never
// reads its answer, is no reason to stop late or with an error.
func (n *Node) stopServing(limit context.Context, servers []*http.Server, running *requests) error {
	ctx, cancel := context.WithTimeout(limit, requestGrace)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range servers {
		wg.Go(func() {
			if h.Shutdown(ctx) == nil {
				return
			}
			n.log.Warn("requests that do not end are cut off", slog.Duration("after", requestGrace))
			_ = h.Close() // of connections whose clients are not there
		})
	}
	wg.Wait()
	return running.end(limit)
}
