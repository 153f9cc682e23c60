package websockets

import (
	"context"
	"math/rand/v2"
	"time"
)

// drainTick is how often a drain closes its next sockets: each time so few
// that other members see a steady stream of handshakes and no bursts.
const drainTick = 20 * time.Millisecond

// Shutdown refuses new handshakes with 503, closes every socket with 1012, in
// random order and spread evenly over Config.DrainSpread, and waits until all
// goroutines have ended. Messages reach the sockets that are still open. When
// ctx is done first it breaks the connections that are left, waits for their
// goroutines, and returns ctx.Err(). It is safe to call more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.drain(ctx, s.opts.Config().DrainSpread)

	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		s.poller.close()
		s.wires.close()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		for _, sock := range s.hub.every() {
			sock.sever()
		}
		<-ended
		return ctx.Err()
	}
}

// drain closes all sockets; those that come meanwhile, of handshakes that had
// begun, close themselves.
func (s *Server) drain(ctx context.Context, spread time.Duration) {
	sockets := s.hub.every()
	total := len(sockets)
	rand.Shuffle(len(sockets), func(i, j int) { sockets[i], sockets[j] = sockets[j], sockets[i] })
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for start := time.Now(); ; {
		later := 0 // those whose time has not come
		if left := spread - time.Since(start); left > 0 {
			later = int(float64(total) * left.Seconds() / spread.Seconds())
		}
		for len(sockets) > later {
			sockets[0].close(CauseDrain)
			sockets = sockets[1:]
		}
		if len(sockets) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close is Shutdown without the time to say goodbye: it breaks every
// connection and waits until all goroutines have ended.
func (s *Server) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx) // says only that nobody waited
}
