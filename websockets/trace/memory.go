package trace

import (
	"slices"
	"sync"
	"time"
	"unsafe"
)

// The bounds of what one member remembers.
const (
	// PerUser is how many messages of one user are remembered, and of one context
	// and of everybody those that were for all in it.
	PerUser = 16
	// Lifetime is how long a message is remembered.
	Lifetime = time.Hour
	// MaxBytes bounds the memory of all messages together. Where it is full, the
	// oldest ones of any user are forgotten.
	MaxBytes = 64 << 20
	// shardCount spreads the users over locks, as the hub does.
	shardCount = 64
)

const (
	// recordBytes is a record with its share of its user's list and entry.
	recordBytes = int(unsafe.Sizeof(Record{})) + 128
	// proofBytes is what a record takes whose arrival is asked for. It is counted
	// for each, because that may come later.
	proofBytes = int(unsafe.Sizeof(Proof{}))
)

// Memory is safe for concurrent use.
type Memory struct {
	shards [shardCount]shard
	limit  int // bytes of one shard
	asked  asked
}

type shard struct {
	mu             sync.Mutex
	users          map[Key][]*Record // each oldest first, PerUser at most
	records        int
	oldest, newest *Record // of all users
	bytes          int
}

// New makes an empty memory of at most maxBytes.
func New(maxBytes int) *Memory {
	m := &Memory{limit: maxBytes / shardCount}
	for i := range m.shards {
		m.shards[i].users = make(map[Key][]*Record)
	}
	return m
}

func (m *Memory) shard(k Key) *shard {
	x := (uint64(k.Context)<<32 | uint64(k.User)) * 0x9E3779B97F4A7C15
	return &m.shards[x>>58]
}

// Add remembers a record, which the caller must not change any more.
func (m *Memory) Add(r *Record) {
	r.size = recordBytes + proofBytes + len(r.ID) + len(r.Topic) + len(r.From)
	for _, id := range r.Also {
		r.size += len(id) + int(unsafe.Sizeof(id))
	}
	sh := m.shard(r.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.users[r.Key]
	if len(list) == PerUser {
		sh.unlink(list[0])
		copy(list, list[1:])
		list[PerUser-1] = r
	} else {
		list = append(list, r)
		sh.users[r.Key] = list
	}
	sh.link(r)
	for sh.oldest != r && (sh.bytes > m.limit || r.At.Sub(sh.oldest.At) > Lifetime) {
		sh.forget(sh.oldest)
	}
}

func (sh *shard) link(r *Record) {
	r.before = sh.newest
	if sh.newest != nil {
		sh.newest.after = r
	} else {
		sh.oldest = r
	}
	sh.newest = r
	sh.records++
	sh.bytes += r.size
}

func (sh *shard) unlink(r *Record) {
	if r.before != nil {
		r.before.after = r.after
	} else {
		sh.oldest = r.after
	}
	if r.after != nil {
		r.after.before = r.before
	} else {
		sh.newest = r.before
	}
	r.before, r.after = nil, nil
	sh.records--
	sh.bytes -= r.size
}

// forget drops the oldest record of all, which is that of its user as well.
func (sh *shard) forget(r *Record) {
	sh.unlink(r)
	list := sh.users[r.Key]
	if len(list) == 1 {
		delete(sh.users, r.Key)
		return
	}
	copy(list, list[1:])
	list[len(list)-1] = nil
	sh.users[r.Key] = list[:len(list)-1]
}

// Of returns what is remembered of messages for exactly this key, the newest
// first.
func (m *Memory) Of(k Key, now time.Time) []Delivery {
	sh := m.shard(k)
	sh.mu.Lock()
	list := slices.Clone(sh.users[k])
	sh.mu.Unlock()
	var found []Delivery
	for _, r := range slices.Backward(list) {
		if now.Sub(r.At) <= Lifetime {
			found = append(found, r.Read())
		}
	}
	return found
}

// ByID returns what is remembered of the message with an id, whomever it was
// for. It looks at everything, and holds each lock for its share of that.
func (m *Memory) ByID(id string, now time.Time) []Delivery {
	var found []*Record
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for r := sh.newest; r != nil && now.Sub(r.At) <= Lifetime; r = r.before {
			if r.ID == id || slices.Contains(r.Also, id) {
				found = append(found, r)
			}
		}
		sh.mu.Unlock()
	}
	var out []Delivery
	for _, r := range found {
		out = append(out, r.Read())
	}
	return out
}

// Usage is how many messages are remembered, and the bytes that they count as.
func (m *Memory) Usage() (records, bytes int) {
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		records += sh.records
		bytes += sh.bytes
		sh.mu.Unlock()
	}
	return records, bytes
}
