package websockets

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// maxHistoryBytes bounds what a member keeps of all users: two minutes of 2,000
	// messages a second of 300 bytes.
	maxHistoryBytes = 128 << 20
	// keptCost is what a kept message counts as beside its frame, and keptEntry what
	// it does for each further user.
	keptCost  = 200
	keptEntry = 16
	// sending is more than the users of any message: its sender counts for so many
	// until it knows how many they are.
	sending = 1 << 30
)

// kept is a message that is kept, one for all users that were to get it, so that a
// message to many costs each of them a pointer.
type kept struct {
	frame atomic.Pointer[outgoing] // for Socket.IO, without a record; nil: it is gone
	stamp stamp
	to    *Target // nil: every socket
	at    int64   // by Server.clock
	size  int32   // bytes that it counts as
	more  int32   // users beside the first
	users atomic.Int32
}

func newKept(f outgoing, to *Target, at int64) *kept {
	f.trace = nil // which is remembered elsewhere, and not for as long
	k := &kept{to: to, at: at, size: int32(len(f.data) + keptCost)}
	k.frame.Store(&f)
	k.users.Store(sending)
	return k
}

// counts is what the message counts as in all.
func (k *kept) counts() int64 { return int64(k.size) + keptEntry*int64(k.more) }

// keptMessages are those of all users. The histories of users that have a message
// let it go one by one, all at once where it is too old or too much.
type keptMessages struct {
	bytes atomic.Int64
	dead  atomic.Int64 // in the order, and gone

	mu    sync.Mutex // taken after a history's
	order []*kept    // about by age
	head  int
}

// add counts a message that users have, and forgets what is too old or too much.
func (l *keptMessages) add(k *kept, users int, now int64) {
	if users == 0 {
		return
	}
	k.more = int32(users - 1)
	l.bytes.Add(k.counts())
	l.mu.Lock()
	if live := len(l.order) - l.head; l.head > live || l.dead.Load() > int64(live/2) {
		l.compactLocked()
	}
	l.order = append(l.order, k)
	l.mu.Unlock()
	if k.users.Add(int32(users)-sending) == 0 { // they have let it go already
		l.forget(k)
	}
	l.trim(now)
}

// compactLocked drops what is gone. With what is added between two of its turns,
// it costs each message the same.
func (l *keptMessages) compactLocked() {
	live := l.order[:0]
	for _, k := range l.order[l.head:] {
		if k.frame.Load() != nil {
			live = append(live, k)
		}
	}
	l.dead.Add(int64(len(live) - (len(l.order) - l.head)))
	clear(l.order[len(live):])
	l.order, l.head = live, 0
}

// release notes that a history has let a message go.
func (l *keptMessages) release(k *kept) {
	if k.users.Add(-1) == 0 {
		l.forget(k)
	}
}

// forget has a message be gone, once.
func (l *keptMessages) forget(k *kept) {
	if k.frame.Swap(nil) != nil {
		l.bytes.Add(-k.counts())
		l.dead.Add(1)
	}
}

// trim forgets what is older than any history may keep it, and the oldest where all
// are too much. Histories notice when they are looked at.
func (l *keptMessages) trim(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.head < len(l.order) {
		k := l.order[l.head]
		if k.frame.Load() != nil && l.bytes.Load() <= maxHistoryBytes && k.at >= now-int64(MaxRecovery) {
			return
		}
		if k.frame.Swap(nil) != nil {
			l.bytes.Add(-k.counts())
		} else {
			l.dead.Add(-1)
		}
		l.order[l.head] = nil
		l.head++
	}
	l.order, l.head = nil, 0
}

// addAll is add for messages of a server that has none yet.
func (l *keptMessages) addAll(users map[*kept]int, now int64) {
	list := make([]*kept, 0, len(users))
	for k := range users {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *kept) int { return cmp.Compare(a.at, b.at) })
	for _, k := range list {
		l.add(k, users[k], now)
	}
}
