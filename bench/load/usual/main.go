// Command usual is a server as the documentation of coder/websocket writes
// one: the handler reads, a goroutine writes from a channel and pings.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const queue = 256

var (
	mu    sync.RWMutex
	users = map[int]map[chan []byte]struct{}{}
)

func main() {
	ping, err := time.ParseDuration(os.Args[3])
	if err != nil {
		panic(err)
	}
	go func() { panic(http.ListenAndServe("127.0.0.1:"+os.Args[2], http.HandlerFunc(publish))) }()
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		user, _ := strconv.Atoi(r.URL.Query().Get("user"))
		out := make(chan []byte, queue)
		join(user, out)
		defer leave(user, out)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go write(ctx, cancel, conn, out, ping)
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	})))
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
			err = ctx.Err()
		}
		if err != nil {
			return
		}
	}
}

func bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return f(ctx)
}

func join(user int, out chan []byte) {
	mu.Lock()
	defer mu.Unlock()
	if users[user] == nil {
		users[user] = map[chan []byte]struct{}{}
	}
	users[user][out] = struct{}{}
}

func leave(user int, out chan []byte) {
	mu.Lock()
	defer mu.Unlock()
	delete(users[user], out)
}

func publish(_ http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		var m struct {
			User int
			Data string
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		mu.RLock()
		if m.User != 0 {
			send(users[m.User], m.Data)
		} else {
			for _, outs := range users {
				send(outs, m.Data)
			}
		}
		mu.RUnlock()
	}
}

// send drops the message where the queue is full, as such servers do.
func send(outs map[chan []byte]struct{}, data string) {
	for out := range outs {
		select {
		case out <- []byte(data):
		default:
		}
	}
}
