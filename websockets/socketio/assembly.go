package socketio

import "time"

// attachmentTimeout is how long the attachments of a packet may take, all
// together: a client sends them in one go (docs/reference/attacks.md#socketio,
// W15).
const attachmentTimeout = 10 * time.Second

// assembly is a binary packet some of whose attachments are still to come.
type assembly struct {
	packet      Packet // its Data is a copy
	attachments [][]byte
	size        int64 // of the packet and the attachments that are there
	deadline    time.Time
}

// awaited is the packet whose attachments must come next, or nil.
func (s *Session) awaited() *assembly {
	if s.rare == nil {
		return nil
	}
	return s.rare.assembly
}

// await begins the assembly of a packet of size bytes.
func (s *Session) await(p *Packet, size int, now time.Time) error {
	if p.Attachments > int(s.settings.Attachments) {
		return ErrBinary
	}
	a := &assembly{packet: *p, size: int64(size), deadline: now.Add(attachmentTimeout)}
	a.packet.Data = append([]byte(nil), p.Data...)
	a.attachments = make([][]byte, 0, p.Attachments)
	s.rarely().assembly = a
	return nil
}

// ReceiveBinary takes the data of one Engine.IO binary message, and does not
// keep it. With a packet's last attachment it returns what has come in, or nil
// when that is nothing any more. Any error ends the connection: ErrBinary,
// ErrTooBig.
func (s *Session) ReceiveBinary(message []byte) (*Incoming, error) {
	a := s.awaited()
	if a == nil {
		return nil, ErrBinary
	}
	if a.size += int64(len(message)); a.size > s.settings.MaxBytes {
		return nil, ErrTooBig
	}
	a.attachments = append(a.attachments, append([]byte{}, message...))
	if len(a.attachments) < a.packet.Attachments {
		return nil, nil
	}
	s.rare.assembly = nil
	return s.complete(&a.packet, a.attachments), nil
}
