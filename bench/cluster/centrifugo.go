package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/seed47708276/sluice/bench/internal/centrifugo"
	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// centrifugoPing is between its heartbeats: that of Sluice.
const centrifugoPing = 25_000

// startCentrifugo has members of Centrifugo with its Redis engine, which passes
// messages on by PUB/SUB, as the plain adapter of Socket.IO does.
func (r *rig) startCentrifugo(ctx context.Context, c *cluster, p plan) error {
	config, err := centrifugo.Config(centrifugoPing, fmt.Sprintf("redis://127.0.0.1:%d", c.redis.Port))
	if err != nil {
		return err
	}
	for range p.members {
		m, err := process.Launch(ctx, false, centrifugo.Args(r.centrifugo), map[string]string{"config.json": config}, 1)
		if err != nil {
			return err
		}
		if err := m.Up(ctx, fmt.Sprintf("http://127.0.0.1:%d/health", m.Ports[0])); err != nil {
			return err
		}
		c.members = append(c.members, m)
	}
	c.dialect = sockets.Centrifugo
	c.target = func(member, user, _ int) (int, []byte) {
		port := c.members[member].Ports[0]
		return port, centrifugo.Request(port, user)
	}
	client := &http.Client{Transport: &http.Transport{}}
	c.send = newStreams(ctx, r.lanes, func(s *streams) outlet { return newBatches(s, client, c.members[0].Ports[0]) })
	return nil
}

// batches sends one request after the other.
type batches struct {
	s     *streams
	http  *http.Client
	port  int
	batch *centrifugo.Batch
	queue chan *centrifugo.Batch
	ended chan struct{}
}

// batchesWaiting bounds what waits for the answer to the request before it: then
// the sender waits, too.
const batchesWaiting = 8

func newBatches(s *streams, client *http.Client, port int) *batches {
	b := &batches{
		s: s, http: client, port: port, batch: &centrifugo.Batch{},
		queue: make(chan *centrifugo.Batch, batchesWaiting), ended: make(chan struct{}),
	}
	s.done.Go(func() {
		defer close(b.ended)
		for batch := range b.queue {
			if err := b.post(batch); err != nil {
				if s.ctx.Err() == nil {
					s.cancel(fmt.Errorf("sending: %w", err))
				}
				return
			}
		}
	})
	return b
}

func (b *batches) add(user, number int, filler []byte) {
	b.batch.Add(centrifugo.Channel(user), fmt.Sprintf("%0*d%0*d%s", numberDigits, number, stampDigits, monotonic(), filler))
}

func (b *batches) flush() error {
	if b.batch.Len() == 0 {
		return nil
	}
	select {
	case b.queue <- b.batch:
		b.batch = &centrifugo.Batch{}
		return nil
	case <-b.s.ctx.Done():
		return context.Cause(b.s.ctx)
	}
}

func (b *batches) post(batch *centrifugo.Batch) error {
	req, err := batch.Post(b.port)
	if err != nil {
		return err
	}
	r, err := b.http.Do(req.WithContext(b.s.ctx))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %.300s", r.Status, answer)
	}
	return centrifugo.Accepted(answer, batch.Len())
}

func (b *batches) end() {
	close(b.queue)
	<-b.ended
}
