package websockets

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// A client that says more than a client has to say is closed, whatever it says,
// and whether it reads the answers or not (docs/reference/attacks.md#frames,
// W3, W5 and W17).
func TestFloods(t *testing.T) {
	const (
		frames = 3 * inboundFramesBurst                // says too much at once
		burst  = inboundFramesBurst + 10*inboundFrames // answers that a slow test may get
	)
	a := newArena(t)
	a.configure(func(c *Config) { c.MaxPayload = attackPayload })
	fragment := masked(0, nil)
	for _, c := range []struct {
		name         string
		path         string
		first, again []byte
		total        int // frames of the second kind
	}{
		{"noops", eio4, nil, text("6"), frames},
		{"noops", eio3, nil, text("6"), frames},
		{"heartbeats", eio3, nil, text("2"), frames},
		{"pongs of version 4", eio4, nil, text("3"), frames},
		{"events", eio4, nil, text(`42["x"]`), frames},
		{"events to be acknowledged", eio4, nil, text(`420["x"]`), frames},
		{"events in pieces", eio4, nil, join(masked(opText, []byte(`42["`)), masked(finBit, []byte(`x"]`))), frames},
		{"events with attachments", eio4, nil, join(text(`451-["x",{"_placeholder":true,"num":0}]`), masked(finBit|opBinary, []byte("x"))), frames},
		{"acks", eio4, nil, text("431[]"), frames},
		{"namespaces", eio4, nil, text("40/admin,"), frames},
		{"namespaces", eio3, nil, text("40/admin,"), frames},
		{"large events", eio4, nil, text(`42["` + string(bytes.Repeat([]byte("x"), attackPayload-10)) + `"]`), frames},
		{"text", wsPush, nil, text("x"), frames},
		{"pings", eio4, nil, masked(finBit|opPing, []byte("x")), frames},
		{"pings", wsPush, nil, masked(finBit|opPing, []byte("x")), frames},
		{"pings of 125 bytes", wsPush, nil, masked(finBit|opPing, make([]byte, 125)), frames},
		{"pongs", eio3, nil, masked(finBit|opPong, nil), frames},
		{"pongs", wsPush, nil, masked(finBit|opPong, nil), frames},
		{"pings within a message", wsPush, masked(opText, nil), masked(finBit|opPing, nil), frames},
		{"empty fragments", eio4, masked(opText, nil), fragment, frames},
		{"empty fragments", wsPush, masked(opText, nil), fragment, frames},
		{"empty binary fragments", eio3, masked(opBinary, nil), fragment, frames},
	} {
		for _, reads := range []bool{true, false} {
			kind := "the client reads"
			if !reads {
				kind = "the client does not read"
			}
			version := map[string]string{eio3: "version 3", eio4: "version 4", wsPush: "text"}[c.path]
			t.Run(version+"/"+c.name+"/"+kind, func(t *testing.T) {
				before := a.server.Stats()
				s := a.login(3, nextUser.Add(1))
				p := a.joined(s, c.path)
				p.t = t
				stop := p.flood(c.first, bytes.Repeat(c.again, c.total), 1)
				if !reads {
					until(t, "it is closed", func() bool { return a.server.Count() == 1 })
				}
				answers, err := p.ending()
				if err != nil {
					t.Error(err)
				}
				stop()
				if n := len(answers); n == 0 || answers[n-1].code() != 1008 || n > burst {
					t.Errorf("%d frames came, want at most %d and a close 1008 at the end", n, burst)
				}
				if err := p.conn.Close(); err != nil {
					t.Error(err)
				}
				expectClosed(t, a.server, before, map[Closing]int64{endsRate: 1})
				a.untouched(t)
				a.onlyWitness(t)
			})
		}
	}
	if queued := a.server.Stats().Queued; queued != 0 {
		t.Errorf("%d frames still wait", queued)
	}
}

// flood writes first and then data, again and again up to that many times.
// stop ends it.
func (p *peer) flood(first, data []byte, times int) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := p.conn.Write(first)
		for i := 0; i < times && err == nil; i++ {
			_, err = p.conn.Write(data)
		}
	}()
	return func() {
		_ = p.conn.SetWriteDeadline(longAgo) // the connection may be gone
		<-done
	}
}

// More clients than there are reading slots go on flooding when they have been
// closed. Everybody else is heard all the same.
func TestFloodersKeepNobodyFromBeingHeard(t *testing.T) {
	const flooders = readingSlots + 44
	a := newArena(t)
	a.configure(func(c *Config) { c.MaxPerUser = flooders })
	s := a.login(3, nextUser.Add(1))
	before := a.server.Stats()
	var peers []*peer
	for range flooders {
		peers = append(peers, a.joined(s, wsPush))
	}
	data := bytes.Repeat(text("x"), 1000)
	var stops []func()
	for _, p := range peers {
		stops = append(stops, p.flood(nil, data, 1<<30))
	}
	heard, worst := 0, time.Duration(0)
	pace := time.NewTicker(time.Second / inboundFrames * 5 / 4) // below what the witness may say
	defer pace.Stop()
	for since(before, a.server.Stats())[endsRate] < flooders {
		start := time.Now()
		if err := a.witness.conn.SetDeadline(start.Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		a.witness.text(fmt.Sprintf(`42%d["x"]`, heard))
		a.witness.want(opText, fmt.Sprintf("43%d[]", heard))
		worst = max(worst, time.Since(start))
		heard++
		<-pace.C
	}
	t.Logf("the witness was answered %d times, the slowest took %v", heard, worst)
	for i, stop := range stops {
		stop()
		_ = peers[i].conn.Close() // may be reset
	}
	expectClosed(t, a.server, before, map[Closing]int64{endsRate: flooders})
	a.untouched(t)
	a.onlyWitness(t)
}
