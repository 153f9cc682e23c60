package websockets

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The content types and the message of RFC 8446 that a client of crypto/tls cannot
// be had to send.
const (
	recordHandshake = 22
	recordData      = 23
	keyUpdate       = 24
)

// keyed is TLS 1.3 behind its handshake, with TLS_AES_128_GCM_SHA256.
type keyed struct {
	net.Conn
	in, out direction
	rest    []byte // of a record
	updates int    // key updates that came
}

// direction has the keys of one (RFC 8446, section 7.3).
type direction struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func expand(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	key, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err) // the lengths are constant
	}
	return key
}

func (d *direction) use(secret []byte) error {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		return err
	}
	d.aead, err = cipher.NewGCM(block)
	d.secret, d.iv, d.seq = secret, expand(secret, "iv", 12), 0
	return err
}

func (d *direction) update() error { return d.use(expand(d.secret, "traffic upd", 32)) }

func (d *direction) nonce() []byte {
	nonce := bytes.Clone(d.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, d.seq) {
		nonce[4+i] ^= b
	}
	d.seq++
	return nonce
}

// record seals one record.
func (k *keyed) record(kind byte, data []byte) []byte {
	inner := append(bytes.Clone(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+k.out.aead.Overhead()))
	return k.out.aead.Seal(head, k.out.nonce(), inner, head)
}

// updateKeys asks the server to change its keys, and changes its own.
func (k *keyed) updateKeys() []byte {
	b := k.record(recordHandshake, []byte{keyUpdate, 0, 0, 1, 1})
	if err := k.out.update(); err != nil {
		panic(err) // the lengths are constant
	}
	return b
}

func (k *keyed) Write(p []byte) (int, error) {
	_, err := k.Conn.Write(k.record(recordData, p))
	return len(p), err
}

func (k *keyed) Read(p []byte) (int, error) {
	for len(k.rest) == 0 {
		head := make([]byte, 5)
		if _, err := io.ReadFull(k.Conn, head); err != nil {
			return 0, err
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		if _, err := io.ReadFull(k.Conn, body); err != nil {
			return 0, err
		}
		data, err := k.in.aead.Open(nil, k.in.nonce(), body, head)
		if err != nil {
			return 0, err
		}
		kind := data[len(data)-1]
		data = data[:len(data)-1]
		switch {
		case kind == recordData:
			k.rest = data
		case kind == recordHandshake && data[0] == keyUpdate:
			k.updates++
			if err := k.in.update(); err != nil {
				return 0, err
			}
		case kind != recordHandshake: // else tickets
			return 0, fmt.Errorf("a record of type %d: % x", kind, data)
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

// keyed makes a handshake of TLS and takes its keys over.
func (w *world) keyed(address string) *keyed {
	w.t.Helper()
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = tcp.Close() })
	_ = tcp.SetDeadline(time.Now().Add(2 * patience))
	var log strings.Builder
	conn := tls.Client(tcp, &tls.Config{MinVersion: tls.VersionTLS13, KeyLogWriter: &log, InsecureSkipVerify: true}) // its own certificate
	if err := conn.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	if suite := conn.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		w.t.Fatalf("cipher suite %x: this test knows the one that a processor with AES gets", suite)
	}
	k := &keyed{Conn: tcp}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			w.t.Fatal(err)
		}
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			err = k.out.use(secret)
		case "SERVER_TRAFFIC_SECRET_0":
			err = k.in.use(secret)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return k
}

// Records that are not the client's data leave a socket parked: changes of keys
// are answered, in pieces as well, and what is sent afterwards has the new ones.
func TestKeyUpdateOfParkedSocket(t *testing.T) {
	w := newWorld(t)
	k := w.keyed(w.secure().Listener.Addr().String())
	r := w.shake(k, wsPush+"?", w.login(1, 1))
	for i := range 5 {
		allParked(t, w, 1)
		b := k.updateKeys()
		write(t, k.Conn, b[:i*5])
		allParked(t, w, 1)
		write(t, k.Conn, b[i*5:])
		write(t, k, said(finBit|opPing, "new keys"))
		expectFrame(t, r, opPong, "new keys")
		if n, err := w.server.SendToUser(1, 1, Message{Name: "e", Args: []byte(`[1]`)}, Target{}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if f := readFrame(t, r); f.opcode != opText {
			t.Fatalf("got %x, want a message", f.opcode)
		}
	}
	if k.updates != 5 {
		t.Errorf("%d updates were answered, want 5", k.updates)
	}
}

// A client that has its keys changed and reads nothing costs a bounded memory and no
// goroutine.
func TestKeyUpdatesWithoutReading(t *testing.T) {
	w := newWorld(t)
	w.configure(roomy)
	k := w.keyed(w.secure().Listener.Addr().String())
	w.shake(k, wsPush+"?", w.login(1, 1))
	allParked(t, w, 1)
	// More than the connection takes waits for the client.
	for seq := range 40 {
		if n, err := w.server.SendToUser(1, 1, numbered(0, seq, 200_000), Target{}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
	for i := range 200 {
		b := k.updateKeys()
		if i%10 == 9 { // crypto/tls takes 16 in a row that carry nothing
			b = append(b, k.record(recordData, said(finBit|opPong, ""))...)
		}
		if _, err := k.Conn.Write(b); err != nil {
			break // it has ended
		}
	}
	for _, sock := range w.server.hub.every() {
		c := sock.carrier
		c.mu.Lock()
		if c.replies > maxReplies+100 {
			t.Errorf("%d bytes of answers wait", c.replies)
		}
		c.mu.Unlock()
	}
	_ = k.Conn.Close()
	until(t, "the socket is gone", func() bool { return len(w.server.hub.every()) == 0 })
}
