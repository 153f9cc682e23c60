package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/bench/internal/centrifugo"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// startCentrifugo runs it alone, with unidirectional Web Sockets: like App
// Suite's, they only receive.
func startCentrifugo(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	config, err := centrifugo.Config(ping.Milliseconds(), "")
	if err != nil {
		return nil, err
	}
	s, err := r.launch(ctx, centrifugo.Args(r.centrifugo), map[string]string{"config.json": config})
	if err != nil {
		return nil, err
	}
	if err := s.Up(ctx, fmt.Sprintf("http://127.0.0.1:%d/health", s.port)); err != nil {
		return nil, err
	}
	s.users, s.dialect = users, sockets.Centrifugo
	s.request = func(i int) []byte { return centrifugo.Request(s.port, s.userOf(i)) }
	s.publish = func(batch []message) (*http.Request, error) {
		var b centrifugo.Batch
		for _, m := range batch {
			if m.user == everybody {
				b.Add(centrifugo.All, m.text)
			} else {
				b.Add(centrifugo.Channel(m.user), m.text)
			}
		}
		return b.Post(s.port)
	}
	s.answer = centrifugo.Accepted
	return s, nil
}
