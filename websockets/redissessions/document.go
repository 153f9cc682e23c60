package redissessions

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// documentVersion is the first byte of a document. A change that an older member
// would misunderstand raises it; members of an older version then answer 503 for
// the session, and do not end it.
const documentVersion = 2

// errDocument says nothing of the contents.
var errDocument = errors.New("sessions in Redis: a document cannot be read: does another program, or a newer Sluice, write below this cluster's keys?")

// The flags of a document.
const (
	flagAnyAgent = 1 << iota
	flagGuest
	flagRestricted
	flagForever // it never expires; else the time to live of the key counts
)

// maxText bounds a text of a document; the API takes less.
const maxText = 4 << 10

// encode is the value of a session's key: compact, because Redis keeps one for
// each login, and without the id and the secret, with which a reader of Redis
// could log in. Numbers are varints, texts and bytes have their length before
// them; times are milliseconds.
func encode(s *websockets.Session) []byte {
	flags := flag(flagAnyAgent, s.AnyAgent) | flag(flagGuest, s.Guest) | flag(flagRestricted, s.Restricted) | flag(flagForever, s.Expires.IsZero())
	var address []byte
	if s.Address.IsValid() {
		address, _ = s.Address.MarshalBinary() // has no error
	}
	b := append(make([]byte, 0, 128), documentVersion, flags)
	for _, n := range []int64{int64(s.Context), int64(s.User), s.Created.UnixMilli(), s.Lifetime.Milliseconds()} {
		b = binary.AppendVarint(b, n)
	}
	for _, text := range [][]byte{s.SecretSum, []byte(s.Client), []byte(s.Hash), address} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

func flag(bit byte, set bool) byte {
	if set {
		return bit
	}
	return 0
}

// decode reads what encode has written, but for the id. Bytes behind it are of a
// version that this one can be read as.
func decode(b []byte) (*websockets.Session, error) {
	if len(b) < 2 || b[0] != documentVersion {
		return nil, errDocument
	}
	flags, rest, ok := b[1], b[2:], true
	number := func(from, to int64) int64 {
		n, size := binary.Varint(rest)
		if size <= 0 || n < from || n > to {
			ok = false
			return 0
		}
		rest = rest[size:]
		return n
	}
	text := func() []byte {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > maxText || n > uint64(len(rest)-size) {
			ok = false
			return nil
		}
		t := rest[size : size+int(n)]
		rest = rest[size+int(n):]
		return t
	}
	s := &websockets.Session{
		AnyAgent: flags&flagAnyAgent != 0, Guest: flags&flagGuest != 0, Restricted: flags&flagRestricted != 0,
		Context: uint32(number(1, cascade.MaxID)), User: uint32(number(1, cascade.MaxID)),
		Created:  time.UnixMilli(number(minMillis, maxMillis)),
		Lifetime: time.Duration(number(0, maxLifetime.Milliseconds())) * time.Millisecond,
	}
	s.SecretSum, s.Client, s.Hash = text(), string(text()), string(text())
	var address netip.Addr
	if err := address.UnmarshalBinary(text()); err != nil || !ok || len(s.SecretSum) != sha256.Size {
		return nil, errDocument
	}
	s.Address = address
	if flags&flagForever == 0 {
		s.Expires = s.Created.Add(lifetime(s)) // until the key says more
	}
	return s, nil
}

const (
	// maxLifetime bounds what a document may ask for.
	maxLifetime = 10 * 365 * 24 * time.Hour
	// minMillis and maxMillis are the years 1 and 9999, in which RFC 3339 can say
	// a time.
	minMillis, maxMillis = -62135596800000, 253402300799999
)
