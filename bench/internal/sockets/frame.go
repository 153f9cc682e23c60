package sockets

import (
	"bytes"
	"fmt"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// maxFrame bounds a frame of a server: the largest message of a figure has
// 4 KiB, and the read buffer must take a frame and what follows it.
const maxFrame = readBytes / 2

// The key of RFC 6455, section 1.3, and what a server makes of it.
const (
	key      = "dGhlIHNhbXBsZSBub25jZQ=="
	accepted = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// Upgrade is the request of a handshake, with further header fields.
func Upgrade(port int, target, fields string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", target, port, key, fields)
}

// answered returns the size of the head of an accepted handshake, 0 while it
// is not whole.
func answered(data []byte) (int, error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	switch {
	case end < 0:
		return 0, nil
	case !bytes.HasPrefix(data, []byte("HTTP/1.1 101 ")) || !bytes.Contains(data[:end], []byte(accepted)):
		return 0, &RefusedError{string(data)}
	}
	return end + 4, nil
}

// RefusedError is of a handshake that was answered with something else than 101.
type RefusedError struct{ Answer string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the handshake was refused: %.200q", e.Answer)
}

// frame is one of a server: unmasked.
type frame struct {
	opcode  byte
	final   bool
	payload []byte
}

// cut finds the first whole frame; size is 0 where there is none. One that is
// masked or above maxFrame comes out as not final, which nobody accepts.
func cut(data []byte) (f frame, size int) {
	if len(data) < 2 {
		return f, 0
	}
	n, head := uint64(data[1]&0x7F), 2
	switch n {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(data) < head {
		return f, 0
	}
	if head > 2 {
		n = 0
		for _, b := range data[2:head] {
			n = n<<8 | uint64(b)
		}
	}
	// A server must not mask (RFC 6455, section 5.1).
	if n > maxFrame || data[1]&0x80 != 0 {
		return frame{opcode: data[0] & 0xF}, len(data)
	}
	if len(data) < head+int(n) {
		return f, 0
	}
	return frame{data[0] & 0xF, data[0]&0x80 != 0, data[head : head+int(n)]}, head + int(n)
}

// masked is a frame of at most 125 bytes; the mask is zeroes, which the server
// has to apply all the same.
func masked(opcode byte, payload []byte) []byte {
	return append([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}
