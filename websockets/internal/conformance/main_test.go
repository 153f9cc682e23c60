package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines hands each log line to a channel that has room for it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// The server listens where it is told, says so, and ends with its connections.
func TestRun(t *testing.T) {
	log := make(lines, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", slog.New(slog.NewTextHandler(log, nil))) }()
	var address string
	select {
	case line := <-log:
		_, address, _ = strings.Cut(strings.TrimSpace(line), "address=")
	case err := <-ended:
		t.Fatal(err)
	}
	c := dialURL(t, "http://"+address+"/engine.io/?EIO=4&transport=websocket")
	c.want("0{")
	if err := run(ctx, address, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "-listen") {
		t.Errorf("listens twice: %v", err)
	}
	stop()
	c.wantClose(1001)
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("does not end")
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listens")
	}
}

// There is a bound to what can be open at once.
func TestConnectionLimit(t *testing.T) {
	s, url := serveSlowly(t)
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	get := func() int {
		_, resp, err := dialRaw(t, url+"/engine.io/?EIO=4&transport=websocket")
		if err == nil {
			t.Fatal("connected")
		}
		return resp.StatusCode
	}
	if status := get(); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	<-s.slots
	c := dialURL(t, url+"/engine.io/?EIO=4&transport=websocket")
	c.want("0{")
	if status := get(); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	c.send("1")
	c.wantClose(1000)
	s.slots <- struct{}{} // free again
	for range cap(s.slots) {
		<-s.slots
	}
}
