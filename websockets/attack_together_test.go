package websockets

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// roomy is a queue that no test here fills.
func roomy(c *Config) { c.QueueMessages, c.QueueBytes = 1<<16, 64<<20 }

// numbered is message seq of a sender, with padding.
func numbered(sender, seq, padding int) Message {
	return Message{Name: "m", Args: fmt.Appendf(nil, `[%d,%d,"%s"]`, sender, seq, strings.Repeat("x", padding))}
}

// number reads what numbered has made, in either form, and reports whether
// that was all of it.
func number(payload []byte) (sender, seq int, ok bool) {
	rest, isEvent := bytes.CutPrefix(payload, []byte(`42["m",`))
	end := []byte(`"]`)
	if !isEvent {
		if rest, ok = bytes.CutPrefix(payload, []byte(`{"name":"m","args":[`)); !ok {
			return 0, 0, false
		}
		end = []byte(`"],"namespace":"/"}`)
	}
	rest, ok = bytes.CutSuffix(rest, end)
	first, rest, _ := bytes.Cut(rest, []byte{','})
	second, padding, _ := bytes.Cut(rest, []byte(`,"`))
	sender, err1 := strconv.Atoi(string(first))
	seq, err2 := strconv.Atoi(string(second))
	return sender, seq, ok && err1 == nil && err2 == nil && len(bytes.Trim(padding, "x")) == 0
}

// ledger holds the messages of one socket to their order.
type ledger struct {
	next  map[int]int // of each sender
	total int
}

func (l *ledger) enter(payload []byte) error {
	sender, seq, ok := number(payload)
	if !ok {
		return fmt.Errorf("no message: %.80q", payload)
	}
	if l.next == nil {
		l.next = make(map[int]int)
	}
	if want := l.next[sender]; seq != want {
		return fmt.Errorf("message %d of sender %d where %d is due", seq, sender, want)
	}
	l.next[sender]++
	l.total++
	return nil
}

// secured is peer over TLS, where no descriptor can be polled.
func (w *world) secured(s *Session, server *httptest.Server, path string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // its own certificate
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(6 * patience)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, w.upgrade(get(path+"session="+s.ID), s)); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatal(resp, err)
	}
	return conn, r
}

// Messages, answers, pongs and closes are all written at once to one socket,
// in sizes from nothing to a quarter of a megabyte. The client takes every
// frame apart: no two of them mix, and what was queued before the close comes
// before it.
func TestFramesStayWhole(t *testing.T) {
	const senders, messages = 8, 60
	w := newWorld(t, func(o *Options) {
		o.OnEvent = func(e Event) (json.RawMessage, [][]byte) { return e.Args, nil }
	})
	w.configure(roomy)
	secure := httptest.NewTLSServer(w.server)
	defer secure.Close()
	for _, over := range []string{"TCP", "TLS"} {
		for version, path := range map[string]string{"version 3": eio3 + "&", "version 4": eio4 + "&", "text": wsPush + "?"} {
			t.Run(version+" over "+over, func(t *testing.T) {
				s := w.login(6, nextUser.Add(1))
				var conn net.Conn
				var r *bufio.Reader
				if over == "TLS" {
					conn, r = w.secured(s, secure, path)
				} else {
					var resp *http.Response
					conn, resp, r = w.rawDial(get(path+"session="+s.ID), s)
					if resp.StatusCode != http.StatusSwitchingProtocols {
						t.Fatal(resp.Status)
					}
					_ = conn.SetDeadline(time.Now().Add(6 * patience))
				}
				events := !strings.HasPrefix(path, wsPush)
				if strings.HasPrefix(path, eio4) {
					write(t, conn, text("40"))
				}
				var queued atomic.Int64
				var sending, talking, closing sync.WaitGroup
				for sender := range senders {
					sending.Go(func() {
						for seq := range messages {
							size := 0
							switch seq % 4 {
							case 1:
								size = rand.IntN(200)
							case 2:
								size = rand.IntN(3000)
							case 3:
								size = rand.IntN(70_000)
							}
							n, err := w.server.SendToUser(s.Context, s.User, numbered(sender, seq, size), Target{})
							if err != nil {
								t.Error(err)
							}
							queued.Add(int64(n))
							if n == 0 {
								return // closed meanwhile: later ones would be out of order
							}
						}
					})
				}
				talking.Go(func() {
					for i := range inboundFramesBurst / 3 {
						data := masked(finBit|opPing, fmt.Append(nil, "p", i))
						if events {
							data = join(data, text(fmt.Sprintf(`42%d["e","%s"]`, i, strings.Repeat("y", i*7))))
						}
						if _, err := conn.Write(data); err != nil {
							return
						}
					}
				})
				closeIt := func() {
					for _, cause := range []Cause{CauseAdmin, CauseDisabled, CauseSession, CauseDrain} {
						closing.Go(func() { w.server.CloseSockets(Selector{Context: s.Context, User: s.User}, cause) })
					}
				}
				// For some it is closed while messages are sent.
				early := strings.HasPrefix(path, eio3)
				done := make(chan struct{})
				go func() {
					defer close(done)
					sending.Wait()
					if !early {
						closeIt()
					}
				}()
				var got ledger
				pongs, acks, farewell := 0, 0, ""
			reading:
				for {
					f, err := nextFrame(r)
					switch {
					case err != nil:
						t.Fatalf("no close behind %d messages: %v", got.total, err)
					case f.opcode == opPong:
						if want := fmt.Sprint("p", pongs); string(f.payload) != want {
							t.Fatalf("pong %q, want %q", f.payload, want)
						}
						pongs++
					case f.opcode == opClose:
						farewell = string(f.payload)
						break reading
					case events && bytes.HasPrefix(f.payload, []byte("43")):
						if want := fmt.Sprintf(`43%d["%s"]`, acks, strings.Repeat("y", acks*7)); string(f.payload) != want {
							t.Fatalf("ack %q, want %q", f.payload, want)
						}
						acks++
					case events && (f.payload[0] == '0' || string(f.payload) == "41" || bytes.HasPrefix(f.payload, []byte("40")) ||
						string(f.payload) == `42["sluice:disabled"]` || string(f.payload) == `42["session:invalid"]`), string(f.payload) == "session:invalid":
					default:
						if err := got.enter(f.payload); err != nil {
							t.Fatal(err)
						}
						if early && got.total == senders*messages/4 {
							closeIt()
						}
					}
				}
				_, _ = conn.Write(masked(finBit|opClose, []byte(farewell)))
				if f, err := nextFrame(r); err == nil || errors.Is(err, errServerFrame) {
					t.Errorf("behind the close came %+v (%v)", f, err)
				}
				_ = conn.Close()
				<-done
				closing.Wait()
				talking.Wait()
				if int64(got.total) != queued.Load() {
					t.Errorf("%d messages came of %d that were queued", got.total, queued.Load())
				}
				t.Logf("%d messages, %d pongs, %d acks before close %q", got.total, pongs, acks, farewell)
			})
		}
	}
}

// Many send at once, to a user, to a context and to all: every socket gets
// every sender's messages that are for it, once and in the sender's order.
func TestSendersTogether(t *testing.T) {
	const senders, users = 64, 4
	messages := rounds(200, 1000)
	w := newWorld(t)
	w.configure(roomy)
	type socket struct {
		context, user uint32
		peer          *peer
	}
	var sockets []socket
	for user := range uint32(users) {
		for _, path := range allPaths {
			k := socket{1 + user%2, 1 + user, nil}
			k.peer = w.joined(w.login(k.context, k.user), path)
			if err := k.peer.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			sockets = append(sockets, k)
		}
	}
	// What sender i sends to.
	send := func(i int, m Message) (int, error) {
		switch i % 4 {
		case 0:
			return w.server.SendToAll(m, Target{})
		case 1:
			return w.server.SendToContext(uint32(1+i/4%2), m, Target{})
		default:
			user := uint32(1 + i/4%users)
			return w.server.SendToUser(1+(user-1)%2, user, m, Target{})
		}
	}
	gets := func(i int, k socket) bool {
		switch i % 4 {
		case 0:
			return true
		case 1:
			return k.context == uint32(1+i/4%2)
		default:
			return k.user == uint32(1+i/4%users)
		}
	}
	var all sync.WaitGroup
	for i := range senders {
		recipients := 0
		for _, k := range sockets {
			if gets(i, k) {
				recipients++
			}
		}
		all.Go(func() {
			for seq := range messages {
				if n, err := send(i, numbered(i, seq, seq%50)); n != recipients || err != nil {
					t.Errorf("message %d of sender %d queued for %d (%v), want %d", seq, i, n, err, recipients)
					return
				}
			}
		})
	}
	for _, k := range sockets {
		all.Go(func() {
			want := 0
			for i := range senders {
				if gets(i, k) {
					want += messages
				}
			}
			var got ledger
			for got.total < want {
				f, err := nextFrame(k.peer.r)
				if err == nil {
					err = got.enter(f.payload)
				}
				if err != nil {
					t.Errorf("user %d, behind %d of %d messages: %v", k.user, got.total, want, err)
					return
				}
			}
			for i, n := range got.next {
				if n != messages || !gets(i, k) {
					t.Errorf("user %d got %d messages of sender %d", k.user, n, i)
				}
			}
		})
	}
	all.Wait()
	for _, k := range sockets { // nothing more comes
		if more := k.peer.settled(); len(more) != 0 {
			t.Errorf("user %d got %d frames more, the first %.80q", k.user, len(more), more[0].payload)
		}
	}
	// A client may have a frame before it counts as written.
	until(t, "nothing counts as queued", func() bool {
		st := w.server.Stats()
		return st.Queued == 0 && st.QueuedBytes == 0
	})
}

// A quarter of the clients do not read. They are closed as too slow; all others
// get everything, in order.
func TestBroadcastWithStalledClients(t *testing.T) {
	const clients, stalled, padding = 200, 50, 1 << 10
	w := newWorld(t)
	w.configure(func(c *Config) { c.QueueMessages, c.PingInterval = 32, time.Hour })
	w.narrow()
	type member struct {
		*peer
		stalled bool
		got     ledger
	}
	var members []*member
	for i := range clients {
		m := &member{peer: w.joined(w.login(7, nextUser.Add(1)), allPaths[i%3]), stalled: i%(clients/stalled) == 1}
		if err := m.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	// The next message goes out when all that read have the one before, so that
	// none of them can be too slow whatever else this machine does.
	var readers sync.WaitGroup
	turns := make([]chan int, 0, clients)
	arrived := make(chan error, clients)
	for _, m := range members {
		if m.stalled {
			continue
		}
		turn := make(chan int, 1)
		turns = append(turns, turn)
		readers.Go(func() {
			for range turn {
				f, err := nextFrame(m.r)
				if err == nil {
					err = m.got.enter(f.payload)
				}
				arrived <- err
			}
		})
	}
	sent := 0
	for ; w.server.Count() > clients-stalled || sent < 100; sent++ {
		if sent > 2000 {
			t.Fatalf("%d sockets are still open behind %d messages", w.server.Count(), sent)
		}
		if n, err := w.server.SendToAll(numbered(0, sent, padding), Target{}); n < clients-stalled || err != nil {
			t.Fatalf("message %d queued for %d (%v)", sent, n, err)
		}
		for _, turn := range turns {
			turn <- sent
		}
		for range turns {
			if err := <-arrived; err != nil {
				t.Fatalf("message %d: %v", sent, err)
			}
		}
	}
	for _, turn := range turns {
		close(turn)
	}
	readers.Wait()
	// Those that wake up in time read why they were closed; all have what came
	// before without a gap.
	codes := make(chan int, stalled)
	for _, m := range members {
		if !m.stalled {
			continue
		}
		readers.Go(func() {
			for {
				f, err := nextFrame(m.r)
				if errors.Is(err, errServerFrame) {
					t.Error(err)
				}
				if err != nil || f.opcode == opClose {
					codes <- f.code()
					return
				}
				if err := m.got.enter(f.payload); err != nil {
					t.Errorf("a stalled client: %v", err)
				}
			}
		})
	}
	readers.Wait()
	found := make(map[int]int)
	for range stalled {
		found[<-codes]++
	}
	if found[0]+found[4408] != stalled || found[4408] == 0 {
		t.Errorf("stalled clients found the close codes %v, want 4408, or none where they woke up too late", found)
	}
	expectClosed(t, w.server, Stats{}, map[Closing]int64{endsSlow: stalled})
	for _, m := range members {
		switch {
		case m.stalled && m.got.total >= sent:
			t.Error("a stalled client got everything")
		case !m.stalled:
			if more := m.settled(); m.got.total != sent || len(more) != 0 {
				t.Errorf("a client that reads got %d messages and %d more, want %d", m.got.total, len(more), sent)
			}
		}
	}
	t.Logf("%d messages; stalled clients found the close codes %v", sent, found)
}
