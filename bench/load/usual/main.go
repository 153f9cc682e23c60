// Command usual is a server as the documentation and the chat example of
// coder/websocket write one: the handler reads, a goroutine writes from a
// channel and pings.
//
// usage: usual SOCKETS PUBLISH PING [CERT KEY], two addresses, a duration, and the
// files of a certificate, with which the sockets have TLS
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// queue is the messages that may wait for one socket, as in Sluice.
const queue = 256

// writeTimeout is what the chat example gives a write.
const writeTimeout = 5 * time.Second

type hub struct {
	mu    sync.RWMutex
	users map[int]map[chan []byte]struct{}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "usual:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 && len(args) != 5 {
		return fmt.Errorf("%d arguments: usual SOCKETS PUBLISH PING [CERT KEY]", len(args))
	}
	ping, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	h := &hub{users: map[int]map[chan []byte]struct{}{}}
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(args[1], http.HandlerFunc(h.publish)) }()
	go func() {
		sockets := &http.Server{Addr: args[0], Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, ping) })}
		if len(args) == 3 {
			failed <- sockets.ListenAndServe()
			return
		}
		// Web Sockets want HTTP/1.1.
		sockets.TLSConfig = &tls.Config{NextProtos: []string{"http/1.1"}}
		sockets.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		failed <- sockets.ListenAndServeTLS(args[3], args[4])
	}()
	return <-failed
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request, ping time.Duration) {
	user, err := strconv.Atoi(r.URL.Query().Get("user"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// Joined before the answer, so that a client that has it misses nothing.
	out := make(chan []byte, queue)
	h.join(user, out)
	defer h.leave(user, out)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go write(ctx, cancel, conn, out, ping)
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return // the client went
		}
	}
}

func write(ctx context.Context, cancel func(), conn *websocket.Conn, out chan []byte, ping time.Duration) {
	defer cancel()
	tick := time.NewTicker(ping)
	defer tick.Stop()
	for {
		var err error
		select {
		case m := <-out:
			err = bounded(ctx, func(ctx context.Context) error { return conn.Write(ctx, websocket.MessageText, m) })
		case <-tick.C:
			err = bounded(ctx, conn.Ping)
		case <-ctx.Done():
			return
		}
		if err != nil {
			return // the reader sees the end too
		}
	}
}

func bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return f(ctx)
}

func (h *hub) join(user int, out chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[user] == nil {
		h.users[user] = map[chan []byte]struct{}{}
	}
	h.users[user][out] = struct{}{}
}

func (h *hub) leave(user int, out chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users[user], out)
	if len(h.users[user]) == 0 {
		delete(h.users, user)
	}
}

// publish takes lines of {"user","data"}; user 0 is everybody.
func (h *hub) publish(w http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		var m struct {
			User int
			Data string
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		data := []byte(m.Data)
		h.mu.RLock()
		if m.User != 0 {
			send(h.users[m.User], data)
		} else {
			for _, outs := range h.users {
				send(outs, data)
			}
		}
		h.mu.RUnlock()
	}
	if err := lines.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// send drops the message where the queue is full, as such servers do.
func send(outs map[chan []byte]struct{}, data []byte) {
	for out := range outs {
		select {
		case out <- data:
		default:
		}
	}
}
