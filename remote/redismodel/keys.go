package redismodel

import (
	"cmp"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"
)

// kind is the type of a value.
type kind int

const (
	kindString kind = iota
	kindHash
	kindSet
	kindZSet
	kindStream
	kindList
)

var kindNames = [...]string{"string", "hash", "set", "zset", "stream", "list"}

// value is what a key holds; kind says which field.
type value struct {
	kind    kind
	text    string
	hash    map[string]string
	set     map[string]struct{}
	zset    map[string]float64
	stream  *stream
	list    []string // not changed in place
	expires int64    // by the server's clock, ms; 0: never
	born    uint64   // counts the keys that were made
}

func newValue(k kind) *value {
	v := &value{kind: k}
	switch k {
	case kindHash:
		v.hash = make(map[string]string)
	case kindSet:
		v.set = make(map[string]struct{})
	case kindZSet:
		v.zset = make(map[string]float64)
	case kindStream:
		v.stream = &stream{}
	}
	return v
}

func (v *value) clone() *value {
	c := *v
	c.hash, c.set, c.zset = maps.Clone(v.hash), maps.Clone(v.set), maps.Clone(v.zset)
	if v.stream != nil {
		s := *v.stream // entries are not changed in place
		c.stream = &s
	}
	return &c
}

// empty: Redis removes such a key, but keeps a stream.
func (v *value) empty() bool {
	switch v.kind {
	case kindHash:
		return len(v.hash) == 0
	case kindSet:
		return len(v.set) == 0
	case kindZSet:
		return len(v.zset) == 0
	case kindList:
		return len(v.list) == 0
	default:
		return false
	}
}

// undo is what a key held before a write.
type undo struct {
	at     time.Time // by the bubble's clock
	key    string
	before *value // nil: nothing
}

const wrongType = failure("WRONGTYPE Operation against a key holding the wrong kind of value")

// look returns what a key holds, or nil.
func (s *Server) look(key string) *value {
	v := s.db[key]
	if v != nil && v.expires != 0 && v.expires <= s.millis() {
		s.remove(key)
		return nil
	}
	return v
}

// typed returns what a key holds, or nil, or an error where that is of another
// type.
func (s *Server) typed(key string, k kind) (*value, any) {
	v := s.look(key)
	if v != nil && v.kind != k {
		return nil, wrongType
	}
	return v, nil
}

// change returns what a key holds, made where it holds nothing, to be written
// to, or an error where that is of another type.
func (s *Server) change(key string, k kind) (*value, any) {
	v, bad := s.typed(key, k)
	if bad != nil {
		return nil, bad
	}
	s.remember(key)
	if v == nil {
		v = newValue(k)
		s.add(key, v)
	}
	return v, nil
}

// tidy removes a key that is empty after a write.
func (s *Server) tidy(key string) {
	if v := s.db[key]; v != nil && v.empty() {
		delete(s.db, key)
	}
}

func (s *Server) put(key string, v *value) {
	s.remember(key)
	s.add(key, v)
}

// add sets a key; it keeps its place in the order of sorted.
func (s *Server) add(key string, v *value) {
	if old := s.db[key]; old != nil {
		v.born = old.born
	} else {
		s.born++
		v.born = s.born
	}
	s.db[key] = v
}

// remove reports whether there was something.
func (s *Server) remove(key string) bool {
	_, there := s.db[key]
	if there {
		s.remember(key)
		delete(s.db, key)
	}
	return there
}

// remember notes a write: for a replica that lags, and for the watchers of a
// key. It is called before the write.
func (s *Server) remember(key string) {
	s.touched[key]++
	s.lastWrite = time.Now()
	if s.lag == 0 {
		return
	}
	for len(s.history) > 0 && time.Since(s.history[0].at) > s.lag {
		s.history = s.history[1:]
	}
	var before *value
	if v := s.db[key]; v != nil {
		before = v.clone()
	}
	s.history = append(s.history, undo{time.Now(), key, before})
}

// sorted are the keys that are there, in the order in which they were made: their
// names have random parts, and what a seed decides must not hang on those.
func (s *Server) sorted() []string {
	for _, key := range slices.Collect(maps.Keys(s.db)) {
		s.look(key)
	}
	return slices.SortedFunc(maps.Keys(s.db), func(a, b string) int { return cmp.Compare(s.db[a].born, s.db[b].born) })
}

// slot is where a key is in a cluster; which of Redis's 16,384 it is does not
// matter here, so that another sum does.
func slot(key string) uint32 {
	if _, rest, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(rest, "}"); closed && tag != "" {
			key = tag
		}
	}
	return crc32.ChecksumIEEE([]byte(key)) % 16384
}

// scan returns a part of a collection and the next cursor: those from cursor on
// in the order of a sum, so that what stays for the whole time is seen.
func scan(names []string, cursor uint64, count int) (part []string, next uint64) {
	place := func(name string) uint64 { return uint64(crc32.ChecksumIEEE([]byte(name))) + 1 }
	slices.SortFunc(names, func(a, b string) int {
		if x, y := place(a), place(b); x != y {
			return int(int64(x) - int64(y))
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		at := place(name)
		if at < cursor {
			continue
		}
		if len(part) >= count && at != place(names[i-1]) {
			return part, at
		}
		part = append(part, name)
	}
	return part, 0
}
