package websockets

import (
	"slices"
	"sync"
	"time"
)

// A member tells the others which users have sockets on it, some milliseconds after
// they connect, and can die before it does. So each member keeps, for a moment, what
// comes for users of whom it knows no socket: where one shows up, in what another
// member tells or as a client that comes back, that begins the user's history.

const (
	// strayFor is how long a stray is kept: in that time a client makes three attempts
	// to come back (App Suite's UI after 1, 3 and 7 s), and the others notice that its
	// member is dead.
	strayFor = 10 * time.Second
	// maxStrays bounds them: 2,000 a second. Their bytes count among those of all
	// messages that are kept.
	maxStrays = 20_000
)

// stray is a message that is in no history of one who was to get it, or may be in
// none.
type stray struct {
	kept *kept
	to   subject // user 0: the whole context; context 0: everybody
}

// strays are those of a server, the oldest first.
type strays struct {
	counted *keptMessages

	mu   sync.Mutex // taken after a shard's, and before that of what is counted
	list []stray
	head int
	lost int64 // the newest that was dropped before its time came then, by Server.clock
	from int64 // the first was asked for, or came, then; 0: not yet
}

// add takes a message up, which counts the strays as one of its users from now on.
func (l *strays) add(k *kept, to subject) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginLocked(k.at)
	l.expireLocked(k.at)
	if len(l.list)-l.head == maxStrays {
		l.lost = max(l.lost, l.list[l.head].kept.at)
		l.dropLocked()
	}
	if l.head > len(l.list)/2 {
		l.list, l.head = slices.Delete(l.list, 0, l.head), 0
	}
	l.list = append(l.list, stray{k, to})
}

// beginLocked notes since when messages come here: not from the server's start on,
// which may be before that of the link.
func (l *strays) beginLocked(now int64) {
	if l.from == 0 {
		l.from = now
	}
}

func (l *strays) expireLocked(now int64) {
	for l.head < len(l.list) && l.list[l.head].kept.at < now-int64(strayFor) {
		l.dropLocked()
	}
}

func (l *strays) dropLocked() {
	l.counted.release(l.list[l.head].kept)
	l.list[l.head] = stray{}
	l.head++
}

// expire drops what is too old.
func (l *strays) expire(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expireLocked(now); l.head == len(l.list) {
		l.list, l.head = nil, 0
	}
}

// of are the messages for a user, each with one user more, and since when there is
// none that they lack.
func (l *strays) of(k subject, now int64) (list []*kept, since int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beginLocked(now)
	l.expireLocked(now)
	since = max(now-int64(strayFor), l.lost, l.from)
	for _, x := range l.list[l.head:] {
		switch {
		case x.to.context != 0 && x.to.context != k.context, x.to.user != 0 && x.to.user != k.user:
		case x.kept.frame.Load() == nil: // there was too much in all
			since = max(since, x.kept.at)
		default:
			x.kept.users.Add(1)
			list = append(list, x.kept)
		}
	}
	return list, since
}
