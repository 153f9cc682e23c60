package doveadm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Known remembers when users were registered, 12 bytes for each. It is a cache:
// Dovecot has the truth, and what is forgotten is registered again. Its methods may
// be called from many goroutines; the zero value is empty.
type Known struct {
	mu    sync.Mutex
	keys  []uint64 // sorted: context, user
	at    []uint32 // minutes since 1970, by the same index; 0: unregistered
	fresh map[uint64]uint32
	count int // of those who are registered
	dirty bool
}

// mergeAt is how many users are kept beside the sorted ones, of at least a
// sixteenth of those.
const mergeAt = 4096

func knownKey(context, user uint32) uint64 { return uint64(context)<<32 | uint64(user) }

// Registered is when a user was registered last; zero: never, as far as is known.
func (k *Known) Registered(context, user uint32) time.Time {
	key := knownKey(context, user)
	k.mu.Lock()
	defer k.mu.Unlock()
	minutes, ok := k.fresh[key]
	if !ok {
		i, found := slices.BinarySearch(k.keys, key)
		if !found {
			return time.Time{}
		}
		minutes = k.at[i]
	}
	if minutes == 0 {
		return time.Time{}
	}
	return time.Unix(int64(minutes)*60, 0)
}

// Put notes that a user was registered at a time; a zero one: is registered no more.
func (k *Known) Put(context, user uint32, at time.Time) {
	minutes := uint32(0)
	if !at.IsZero() {
		minutes = uint32(at.Unix() / 60)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty = true
	key := knownKey(context, user)
	if i, found := slices.BinarySearch(k.keys, key); found {
		k.count += registered(minutes) - registered(k.at[i])
		k.at[i] = minutes
		return
	}
	if k.fresh == nil {
		k.fresh = map[uint64]uint32{}
	}
	k.count += registered(minutes) - registered(k.fresh[key])
	k.fresh[key] = minutes
	if len(k.fresh) > max(mergeAt, len(k.keys)/16) {
		k.merge()
	}
}

// Len is the number of users who are known to be registered.
func (k *Known) Len() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// registered counts one who is.
func registered(minutes uint32) int {
	if minutes == 0 {
		return 0
	}
	return 1
}

// merge drops who is registered no more.
func (k *Known) merge() {
	added := make([]uint64, 0, len(k.fresh))
	for key := range k.fresh {
		added = append(added, key)
	}
	slices.Sort(added)
	keys, at := make([]uint64, 0, len(k.keys)+len(added)), make([]uint32, 0, len(k.keys)+len(added))
	take := func(key uint64, minutes uint32) {
		if minutes != 0 {
			keys, at = append(keys, key), append(at, minutes)
		}
	}
	i := 0
	for _, key := range added {
		for ; i < len(k.keys) && k.keys[i] < key; i++ {
			take(k.keys[i], k.at[i])
		}
		take(key, k.fresh[key])
	}
	for ; i < len(k.keys); i++ {
		take(k.keys[i], k.at[i])
	}
	k.keys, k.at, k.fresh = keys, at, nil
}

// magic begins the file; its last byte is the version.
const magic = "sluice-known\x01"

const recordSize = 8 + 4

// Load reads what Save has written. A file that is not there is an empty one; one
// that is damaged is an error, and what is known stays empty.
func (k *Known) Load(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	body, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok || len(body) < 4 || (len(body)-4)%recordSize != 0 || crc32.ChecksumIEEE(body[4:]) != binary.BigEndian.Uint32(body) {
		return fmt.Errorf("%s is damaged: who is registered is asked of Dovecot again", path)
	}
	body = body[4:]
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.at, k.fresh = make([]uint64, 0, len(body)/recordSize), make([]uint32, 0, len(body)/recordSize), nil
	for ; len(body) > 0; body = body[recordSize:] {
		k.keys = append(k.keys, binary.BigEndian.Uint64(body))
		k.at = append(k.at, binary.BigEndian.Uint32(body[8:]))
	}
	k.count = len(k.keys)
	if !slices.IsSorted(k.keys) {
		k.keys, k.at, k.count = nil, nil, 0
		return fmt.Errorf("%s is not in order: who is registered is asked of Dovecot again", path)
	}
	return nil
}

// Save writes what has changed since the last Save, whole or not at all.
func (k *Known) Save(path string) error {
	k.mu.Lock()
	if !k.dirty {
		k.mu.Unlock()
		return nil
	}
	k.merge()
	body := make([]byte, 0, len(k.keys)*recordSize)
	for i, key := range k.keys {
		body = binary.BigEndian.AppendUint64(body, key)
		body = binary.BigEndian.AppendUint32(body, k.at[i])
	}
	k.dirty = false
	k.mu.Unlock()
	text := binary.BigEndian.AppendUint32([]byte(magic), crc32.ChecksumIEEE(body))
	err := write(path, append(text, body...))
	if err != nil {
		k.mu.Lock()
		k.dirty = true
		k.mu.Unlock()
	}
	return err
}

func write(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".known-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
