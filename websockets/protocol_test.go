package websockets

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/seed47708276/sluice/websockets/engineio"
	"github.com/seed47708276/sluice/websockets/socketio"
)

// What a socket's protocol takes, beside the socket itself.
func TestProtocolIsCompact(t *testing.T) {
	const most = 250 // bytes
	if size := unsafe.Sizeof(packets{}); size > most {
		t.Errorf("packets take %d bytes, more than %d", size, most)
	}
	cfg, now := DefaultConfig(), time.Now()
	var p *packets
	if n := testing.AllocsPerRun(100, func() { p = newPackets(engineio.V4, cfg, nil, now) }); n > 2 {
		t.Errorf("packets are %v objects: want themselves and, for a moment, the random bytes", n)
	}
	if p.joined() {
		t.Error("joined")
	}
}

// An answer with attachments is one text frame and the binary ones behind it,
// in the form of the version.
func TestProtocolAnswer(t *testing.T) {
	for v, prefix := range map[engineio.Version]string{engineio.V3: "\x04", engineio.V4: ""} {
		p, now := newPackets(v, DefaultConfig(), nil, time.Now()), time.Now()
		p.open()
		if v == engineio.V4 {
			if _, _, err := p.text([]byte("40"), now); err != nil {
				t.Fatal(err)
			}
		}
		_, event, err := p.text([]byte(`427["a"]`), now)
		if err != nil || event == nil || !event.HasID {
			t.Fatalf("version %d: %+v (%v)", v, event, err)
		}
		data := bytes.Repeat([]byte("x"), 200)
		frames, err := p.answer(event, []byte(`[{"_placeholder":true,"num":0}]`), [][]byte{data})
		want := [][]byte{
			textFrame([]byte(`461-7[{"_placeholder":true,"num":0}]`)),
			appendFrame(nil, opBinary, append([]byte(prefix), data...)),
		}
		if err != nil || !slices.EqualFunc(frames, want, bytes.Equal) {
			t.Errorf("version %d: %q (%v), want %q", v, frames, err, want)
		}
		if frames, err := p.answer(event, nil, nil); err != nil || len(frames) != 1 || string(frames[0][2:]) != "437[]" {
			t.Errorf("version %d: %q (%v)", v, frames, err)
		}
		if _, err := p.answer(event, []byte("{}"), nil); !errors.Is(err, socketio.ErrOutgoing) {
			t.Errorf("version %d: %v, want ErrOutgoing", v, err)
		}
	}
}

// Binary data ends a connection on which nothing takes it.
func TestProtocolBinary(t *testing.T) {
	now := time.Now()
	for name, p := range map[string]protocol{
		"version 3": newPackets(engineio.V3, DefaultConfig(), nil, now),
		"version 4": newPackets(engineio.V4, DefaultConfig(), nil, now),
		"text":      newPlain(DefaultConfig(), now),
	} {
		if event, err := p.binary([]byte("\x04x"), now); event != nil || causeOf(err) != CauseBinary {
			t.Errorf("%s: %+v, %v", name, event, err)
		}
	}
	if _, err := newPackets(engineio.V3, DefaultConfig(), nil, now).binary([]byte("x"), now); causeOf(err) != CauseProtocol {
		t.Errorf("a binary frame of version 3 without its first byte: %v", err)
	}
}
