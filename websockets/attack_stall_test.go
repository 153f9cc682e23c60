package websockets

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed47708276/sluice/testkit"
)

// lifetime is how long a client may be silent: pingInterval and pingTimeout.
const lifetime = DefaultPingInterval + DefaultPingTimeout

// Clients that keep a socket busy without ever saying anything whole. Each is
// closed in bounded time, whether it answers the close or not, and its place is
// free again.
func TestStalledClients(t *testing.T) {
	// A second's worth of what the client has to say.
	type drip func(second int) []byte
	inFrame := func(s int) []byte {
		if s == 0 {
			return clientFrame(finBit|opText, bytes.Repeat([]byte("6"), 120))[:6]
		}
		return []byte("6")
	}
	inFragments := func(payload string) drip {
		return func(s int) []byte {
			if s == 0 {
				return masked(opText, []byte("6"))
			}
			return masked(0, []byte(payload))
		}
	}
	once := func(data []byte) drip {
		return func(s int) []byte {
			if s == 0 {
				return data
			}
			return nil
		}
	}
	attachment := text(`451-["x",{"_placeholder":true,"num":0}]`)
	for _, c := range []struct {
		name  string
		path  string
		pongs bool // it answers Web Socket pings, which may come within a message
		say   drip
		end   Closing
		after time.Duration
	}{
		{"nothing", eio3, true, once(nil), endsPing, lifetime},
		{"nothing", eio4, true, once(nil), endsConnect, DefaultConnectTimeout},
		{"nothing but CONNECT", eio4, true, once(nil), endsPing, lifetime},
		{"nothing", wsPush, false, once(nil), endsPing, lifetime},
		{"one byte a second", eio3, false, inFrame, endsPing, lifetime},
		{"one byte a second", eio4, false, inFrame, endsPing, lifetime},
		{"one byte a second", wsPush, false, inFrame, endsPing, lifetime},
		{"half a header", eio3, false, once([]byte{finBit | opText}), endsPing, lifetime},
		{"half a header", wsPush, false, once([]byte{finBit | opPing, 0x80 | 5, 1}), endsPing, lifetime},
		{"one byte a second in fragments", eio3, true, inFragments("6"), endsPing, lifetime},
		{"one byte a second in fragments", eio4, true, inFragments("6"), endsPing, lifetime},
		{"one byte a second in fragments", wsPush, true, inFragments("6"), endsPing, lifetime},
		{"an empty fragment a second", wsPush, true, inFragments(""), endsPing, lifetime},
		{"a message without end", wsPush, true, once(masked(opText, []byte("6"))), endsPing, lifetime},
		{"attachments that do not come", eio3, true, once(attachment), endsProtocol, 10 * time.Second},
		{"attachments that do not come", eio4, true, once(attachment), endsProtocol, 10 * time.Second},
	} {
		for _, answers := range []bool{true, false} {
			version := map[string]string{eio3: "version 3", eio4: "version 4", wsPush: "text"}[c.path]
			kind := "it answers the close"
			if !answers {
				kind = "it does not answer the close"
			}
			t.Run(fmt.Sprintf("%s/%s/%s", version, c.name, kind), func(t *testing.T) {
				bubbleOn(t, func(t *testing.T, w *world, network *testkit.Pipes) {
					w.configure(func(cfg *Config) { cfg.MaxPerUser = 1 })
					s := w.login(1, 2)
					query := c.path + "&"
					if c.path == wsPush {
						query = c.path + "?"
					}
					conn, r := w.rawPipe(network, s, query)
					start := time.Now()
					if err := conn.SetDeadline(start.Add(10 * lifetime)); err != nil {
						t.Fatal(err)
					}
					var talking sync.WaitGroup
					var sending sync.Mutex // whole frames
					talking.Go(func() {
						for s := 0; ; s++ {
							say := c.say(s)
							if s == 0 && c.path == eio4 && c.end != endsConnect {
								say = join(text("40"), say)
							}
							sending.Lock()
							_, err := conn.Write(say)
							sending.Unlock()
							if err != nil {
								return
							}
							time.Sleep(time.Second) // virtual
						}
					})
					code, closed, over := listen(conn, r, c.pongs, answers, &sending, start)
					conn.Close()
					talking.Wait()
					if code != int(c.end.Code) || closed != c.after {
						t.Errorf("close %d after %v, want %d after %v", code, closed, c.end.Code, c.after)
					}
					if over > c.after+closeWait {
						t.Errorf("the connection ended after %v", over)
					}
					synctest.Wait()
					if got := w.server.Stats().Closed[c.end]; got != 1 {
						t.Errorf("%d counted as %v, want 1: %v", got, c.end, w.server.Stats().Closed)
					}
					again, _ := w.rawPipe(network, s, query)
					again.Close()
				})
			})
		}
	}
}

// listen reads until the end. It returns the code of the close, and when the
// close and the end came.
func listen(conn net.Conn, r *bufio.Reader, pongs, answers bool, sending *sync.Mutex, start time.Time) (code int, closed, over time.Duration) {
	for {
		f, err := nextFrame(r)
		if err != nil {
			return code, closed, time.Since(start)
		}
		var reply []byte
		switch {
		case f.opcode == opPing && pongs:
			reply = masked(finBit|opPong, f.payload)
		case f.opcode == opClose:
			code, closed = f.code(), time.Since(start)
			if answers {
				reply = masked(finBit|opClose, f.payload)
			}
		}
		if reply != nil {
			sending.Lock()
			_, _ = conn.Write(reply) // the server may have stopped reading
			sending.Unlock()
		}
	}
}
