// Command bare is the least that a member in Go can do with a message that has
// its wake-ups for itself, as the floor of the cost of one: it takes lines of a
// stream, answers each, writes it to a log in Redis and does not wait for the
// answer; what it reads of the log it writes to the user's connection. It
// decodes nothing, checks nothing, keeps nothing, and loses what goes wrong.
//
// usage: bare SOCKETS PUBLISH REDIS, three addresses
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	log    = "log"
	maxLog = 10_000
	// block is how long a read waits for entries; deadline, how long one of
	// Redis, and a write to a client, may take.
	block     = time.Second
	deadline  = 5 * time.Second
	readCount = 128
	buffer    = 32 << 10
)

type member struct {
	redis  string
	posts  net.Conn
	socket chan struct{} // closed when there is one

	mu    sync.Mutex
	users map[string][]net.Conn
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%d arguments: bare SOCKETS PUBLISH REDIS", len(args))
	}
	m := &member{redis: args[2], socket: make(chan struct{}), users: map[string][]net.Conn{}}
	var err error
	if m.posts, err = net.Dial("tcp", m.redis); err != nil {
		return err
	}
	failed := make(chan error, 4)
	go func() { _, err := io.Copy(io.Discard, m.posts); failed <- err }()
	go func() {
		<-m.socket // a member without one reads nothing
		failed <- m.read()
	}()
	go func() { failed <- http.ListenAndServe(args[1], http.HandlerFunc(m.publish)) }()
	go func() { failed <- http.ListenAndServe(args[0], http.HandlerFunc(m.serve)) }()
	return <-failed
}

// command appends one in the protocol of Redis.
func command(to []byte, parts ...string) []byte {
	to = fmt.Appendf(to, "*%d\r\n", len(parts))
	for _, p := range parts {
		to = fmt.Appendf(to, "$%d\r\n%s\r\n", len(p), p)
	}
	return to
}

// between is what stands between two texts.
func between(line []byte, from, to string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(line, []byte(from))
	if !ok {
		return nil, false
	}
	text, _, ok := bytes.Cut(rest, []byte(to))
	return text, ok
}

// publish takes lines of {"user":1,"args":["text"]} and more fields.
func (m *member) publish(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	in := bufio.NewReaderSize(r.Body, buffer)
	var out, posts []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return // the driver sends whole lines
		}
		user, ok1 := between(line, `"user":`, ",")
		text, ok2 := between(line, `"args":["`, `"]`)
		if !ok1 || !ok2 {
			return
		}
		posts = command(posts, "XADD", log, "MAXLEN", "~", strconv.Itoa(maxLog), "*", "u", string(user), "m", string(text))
		out = append(out, `{"local":0}`+"\n"...)
		if in.Buffered() > 0 {
			continue
		}
		m.mu.Lock()
		_, err = m.posts.Write(posts)
		m.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := w.Write(out); err != nil || control.Flush() != nil {
			return
		}
		out, posts = out[:0], posts[:0]
	}
}

// serve keeps the connection of a socket; what it sends is not read.
func (m *member) serve(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	user := r.URL.Query().Get("user")
	m.mu.Lock()
	if len(m.users) == 0 {
		close(m.socket)
	}
	m.users[user] = append(m.users[user], conn)
	m.mu.Unlock()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	// A client that went is seen by the writes.
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
}

// read hands on what is in the log from now on.
func (m *member) read() error {
	conn, err := net.Dial("tcp", m.redis)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, buffer)
	at := "0"
	for {
		request := command(nil, "XREAD", "COUNT", strconv.Itoa(readCount), "BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS", log, at)
		if err := conn.SetDeadline(time.Now().Add(block + deadline)); err != nil {
			return err
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		answer, err := reply(in)
		if err != nil {
			return err
		}
		streams, _ := answer.([]any)
		if len(streams) == 0 {
			continue
		}
		stream, _ := streams[0].([]any)
		if len(stream) != 2 {
			return errors.New("not the answer of XREAD")
		}
		entries, _ := stream[1].([]any)
		for _, e := range entries {
			entry, _ := e.([]any)
			if len(entry) != 2 {
				return errors.New("not an entry")
			}
			at, _ = entry[0].(string)
			if fields, _ := entry[1].([]any); len(fields) == 4 {
				user, _ := fields[1].(string)
				text, _ := fields[3].(string)
				m.deliver(user, text)
			}
		}
	}
}

// deliver writes a text frame (RFC 6455, section 5.2).
func (m *member) deliver(user, text string) {
	frame := []byte{0x81, byte(len(text))}
	if len(text) > 125 {
		frame = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(text)))
	}
	frame = append(frame, text...)
	m.mu.Lock()
	conns := m.users[user]
	m.mu.Unlock()
	for _, c := range conns {
		_, _ = c.Write(frame) // the driver sees what is missing
	}
}

// reply reads one of the protocol of Redis: a text, a number as a text, or parts.
func reply(in *bufio.Reader) (any, error) {
	line, err := in.ReadString('\n')
	if err != nil || len(line) < 3 {
		return nil, errors.Join(err, errors.New("a line too short"))
	}
	kind, text := line[0], line[1:len(line)-2]
	if kind != '$' && kind != '*' {
		if kind == '-' {
			return nil, errors.New(text)
		}
		return text, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, err
	}
	if kind == '$' {
		b := make([]byte, n+2)
		_, err := io.ReadFull(in, b)
		return string(b[:n]), err
	}
	parts := make([]any, n)
	for i := range parts {
		if parts[i], err = reply(in); err != nil {
			return nil, err
		}
	}
	return parts, nil
}
