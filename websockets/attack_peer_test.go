package websockets

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// peer is a client on a bare TCP connection, which can say what no library
// would.
type peer struct {
	t    testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
}

// peer connects or fails the test. path has its query but for the session.
func (w *world) peer(s *Session, path string) *peer {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	conn, resp, r := w.rawDial(get(path+sep+"session="+s.ID), s)
	if resp.StatusCode != 101 {
		w.t.Fatalf("%s: status %d", path, resp.StatusCode)
	}
	return &peer{w.t, conn, r}
}

// joined is a peer whose first packets are over.
func (w *world) joined(s *Session, path string) *peer {
	w.t.Helper()
	p := w.peer(s, path)
	switch path {
	case eio3:
		p.wantPrefix(`0{"sid":"`)
		p.want(opText, "40")
	case eio4:
		p.wantPrefix(`0{"sid":"`)
		p.text("40")
		p.wantPrefix(`40{"sid":"`)
	}
	return p
}

// masked is clientFrame with a mask that hides the payload.
func masked(first byte, payload []byte) []byte {
	f := clientFrame(first, payload)
	at := len(f) - len(payload)
	key := [4]byte{byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), 0x80 | byte(rand.Uint32())}
	copy(f[at-4:], key[:])
	for i := range payload {
		f[at+i] ^= key[i%4]
	}
	return f
}

func text(s string) []byte { return masked(finBit|opText, []byte(s)) }

func (p *peer) write(data []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(data); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func (p *peer) text(s string) {
	p.t.Helper()
	p.write(text(s))
}

func (p *peer) want(opcode byte, payload string) {
	p.t.Helper()
	if f := readFrame(p.t, p.r); f.opcode != opcode || string(f.payload) != payload {
		p.t.Fatalf("got %x %.200q, want %x %.200q", f.opcode, f.payload, opcode, payload)
	}
}

func (p *peer) wantPrefix(payload string) {
	p.t.Helper()
	if f := readFrame(p.t, p.r); f.opcode != opText || !strings.HasPrefix(string(f.payload), payload) {
		p.t.Fatalf("got %x %.200q, want %q...", f.opcode, f.payload, payload)
	}
}

// settled returns the frames that the server has sent up to now: those before
// its answer to a ping.
func (p *peer) settled() []frame {
	p.t.Helper()
	const mark = "settled?"
	p.write(masked(finBit|opPing, []byte(mark)))
	var before []frame
	for {
		f := readFrame(p.t, p.r)
		if f.opcode == opPong && string(f.payload) == mark {
			return before
		}
		if f.opcode == opClose {
			p.t.Fatalf("closed with %d %q", f.code(), f.payload)
		}
		before = append(before, f)
	}
}

// leave closes as real clients do, and waits for the end.
func (p *peer) leave() {
	p.t.Helper()
	p.write(masked(finBit|opClose, []byte{0x03, 0xE8}))
	if _, err := p.ending(); err != nil {
		p.t.Error(err)
	}
}

// ending reads up to the end of the connection, answers the close frame as
// real clients do, and returns the frames up to it. Behind it there must be
// none. A reset is an end too: the client may still be writing.
func (p *peer) ending() ([]frame, error) {
	var frames []frame
	for {
		f, err := nextFrame(p.r)
		if errors.Is(err, errServerFrame) {
			return frames, err
		}
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return frames, fmt.Errorf("the connection stays open behind %d frames: %w", len(frames), err)
			}
			return frames, nil
		}
		if n := len(frames); n > 0 && frames[n-1].opcode == opClose {
			return frames, fmt.Errorf("frame %x %.40q behind the close", f.opcode, f.payload)
		}
		if frames = append(frames, f); f.opcode == opClose {
			// The connection may be gone already.
			_, _ = p.conn.Write(masked(finBit|opClose, f.payload))
		}
	}
}

// arena is a server under attack, with a witness that must not notice.
type arena struct {
	*world
	witness *peer
	beats   int
}

const witnessUser = 1_000_000

func newArena(t testing.TB, change ...func(*Options)) *arena {
	t.Helper()
	a := &arena{world: newWorld(t, change...)}
	a.witness = a.joined(a.login(1, witnessUser), eio4)
	return a
}

// untouched has the witness get a message, and nothing but that.
func (a *arena) untouched(t testing.TB) {
	t.Helper()
	a.beats++
	arg := fmt.Sprintf("[%d]", a.beats)
	if n, err := a.server.SendToUser(1, witnessUser, Message{Name: "still there", Args: []byte(arg)}, Target{}); n != 1 || err != nil {
		t.Fatalf("queued for %d witnesses (%v), want 1", n, err)
	}
	if err := a.witness.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	f := readFrame(t, a.witness.r)
	if string(f.payload) == "2" { // the heartbeat
		a.witness.text("3")
		f = readFrame(t, a.witness.r)
	}
	if want := fmt.Sprintf(`42["still there",%d]`, a.beats); f.opcode != opText || string(f.payload) != want {
		t.Fatalf("the witness got %x %.200q, want %s", f.opcode, f.payload, want)
	}
}

// onlyWitness fails unless the witness's is the only socket, once those that
// are ending have ended.
func (a *arena) onlyWitness(t testing.TB) {
	t.Helper()
	until(t, "only the witness is left", func() bool { return open(a.server) == 1 })
	if infos, _ := a.server.List(Selector{}, "", MaxList); len(infos) != 1 || infos[0].User != witnessUser || a.server.Count() != 1 {
		t.Errorf("%d sockets listed, %d counted, want that of the witness: %+v", len(infos), a.server.Count(), infos)
	}
}

// open is the number of sockets whose connection has not ended yet.
func open(s *Server) (n int64) {
	for _, sockets := range s.Stats().Sockets {
		n += sockets
	}
	return n
}

// since returns what has been closed since before, without zeros.
func since(before, after Stats) map[Closing]int64 {
	delta := make(map[Closing]int64)
	for c, n := range after.Closed {
		if n != before.Closed[c] {
			delta[c] = n - before.Closed[c]
		}
	}
	return delta
}

// expectClosed waits until exactly that has been closed since before.
func expectClosed(t testing.TB, s *Server, before Stats, want map[Closing]int64) {
	t.Helper()
	total := int64(0)
	for _, n := range want {
		total += n
	}
	var got map[Closing]int64
	until(t, fmt.Sprintf("%d sockets are counted as closed", total), func() bool {
		got = since(before, s.Stats())
		n := int64(0)
		for _, more := range got {
			n += more
		}
		return n >= total
	})
	if !maps.Equal(got, want) {
		t.Errorf("closed %v, want %v", got, want)
	}
}

// attack is what a client does to the server, and how that ends.
type attack struct {
	name string
	send []byte
	// end is the cause and code that it is closed with. The zero value: it goes
	// on, and replies are what the server answers.
	end     Closing
	replies []string
}

// strike runs one attack on a socket that has not said anything yet, or, when
// joined, on one that is in its namespace.
func (a *arena) strike(t *testing.T, path string, joined bool, k attack) {
	t.Helper()
	before := a.server.Stats()
	s := a.login(2, nextUser.Add(1))
	var p *peer
	if joined {
		p = a.joined(s, path)
	} else {
		p = a.peer(s, path)
	}
	p.t = t
	p.write(k.send)
	if k.end == (Closing{}) {
		var got []string
		for _, f := range p.settled() {
			got = append(got, string(f.payload))
		}
		if !joined && path != wsPush { // the first packets of the server
			first := 1
			if path == eio3 {
				first = 2
			}
			got = got[min(first, len(got)):]
		}
		if !slices.Equal(got, k.replies) {
			t.Errorf("answered with %q, want %q", got, k.replies)
		}
		if infos, _ := a.server.List(Selector{Context: 2, User: s.User}, "", 1); len(infos) != 1 {
			t.Errorf("%d sockets, want 1", len(infos))
		}
		k.end = Closing{"client", 1000}
		p.leave()
	} else {
		frames, err := p.ending()
		if err != nil {
			t.Error(err)
		}
		var last frame
		if len(frames) > 0 {
			last = frames[len(frames)-1]
		}
		// The client's own close is repeated, with its code.
		if want := int(k.end.Code); k.end.Cause != "client" && last.code() != want {
			t.Errorf("the last frame is %x %.40q, want close %d", last.opcode, last.payload, want)
		} else if k.end.Cause == "client" && len(k.replies) > 0 && !bytes.Equal(last.payload, []byte(k.replies[0])) {
			t.Errorf("the last frame is %x %q, want close %q", last.opcode, last.payload, k.replies[0])
		}
	}
	if err := p.conn.Close(); err != nil {
		t.Error(err)
	}
	expectClosed(t, a.server, before, map[Closing]int64{k.end: 1})
	a.untouched(t)
	a.onlyWitness(t)
}
