package remote

import (
	"log/slog"
	"sync"
	"time"
)

// outEntry is an entry of this member.
type outEntry struct {
	number   uint64
	text     []byte // envelopes, one a line
	made     time.Time
	count    int   // messages
	through  int64 // messages in all entries up to this one
	receipts []*receipt
}

// receipt tells the sender of a sync message when Redis has it.
type receipt struct {
	done    chan struct{}
	members int
	err     error
	next    *receipt // of an equal message
}

func (r *receipt) settle(members int, err error) {
	for ; r != nil; r = r.next {
		r.members, r.err = members, err
		close(r.done)
	}
}

// outbox holds the entries of this member that another one may still lack. The
// writer posts them in their order.
type outbox struct {
	mu        sync.Mutex
	changed   sync.Cond   // confirmed, or abandoned
	entries   []*outEntry // numbered without a gap, up to next
	next      uint64      // number of the next entry
	posted    int         // how many of entries the log has, by what is known
	confirmed uint64      // number of the last entry that Redis has had
	before    int64       // messages in the entries that are not kept
	messages  int         // in entries
	bytes     int
	owed      int  // messages that members which read have not acknowledged
	create    bool // the log is not there: the next entry makes it
	abandoned bool
	halted    bool // see Link.Halt
	wake      chan struct{}
}

func (o *outbox) init() {
	o.changed.L = &o.mu
	o.next = 1
	o.wake = make(chan struct{}, 1)
}

// base is the number of the first entry that is kept.
func (o *outbox) base() uint64 { return o.next - uint64(len(o.entries)) }

// through is how many messages are in the entries up to number.
func (o *outbox) through(number uint64) int64 {
	base := o.base()
	switch {
	case number < base || len(o.entries) == 0:
		return o.before
	case number >= o.next:
		number = o.next - 1
	}
	return o.entries[number-base].through
}

// add makes an entry and returns its number.
func (o *outbox) add(text []byte, messages []Message) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := &outEntry{number: o.next, text: text, made: time.Now(), count: len(messages), through: o.through(o.next) + int64(len(messages))}
	for i := range messages {
		for _, p := range messages[i].Placed {
			p.Placed(e.number, i)
		}
		switch r := messages[i].receipt; {
		case r == nil:
		case o.abandoned:
			r.settle(0, ErrUnconfirmed)
		default:
			e.receipts = append(e.receipts, r)
		}
	}
	o.entries = append(o.entries, e)
	o.next++
	o.messages += e.count
	o.bytes += len(text)
	signal(o.wake)
	return e.number
}

// await returns when Redis has had the entry, or false when it is abandoned or
// stays for who goes on with the outbox.
func (o *outbox) await(number uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.confirmed < number && !o.abandoned && !o.halted {
		o.changed.Wait()
	}
	return o.confirmed >= number
}

// halt ends the waits for entries that somebody else will post.
func (o *outbox) halt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.halted = true
	o.changed.Broadcast()
}

func (o *outbox) isHalted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.halted
}

// abandon ends the waits. The receipts of what Redis has not had are settled.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = true
	for _, e := range o.entries {
		for _, r := range e.receipts {
			r.settle(0, ErrUnconfirmed)
		}
		e.receipts = nil
	}
	o.changed.Broadcast()
}

// batch are the entries to post next, and whether the log has to be made.
func (o *outbox) batch() (entries []*outEntry, base uint64, create bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := 0
	for i := o.posted; i < len(o.entries) && len(entries) < maxChunk; i++ {
		e := o.entries[i]
		if size += len(e.text); size > maxChunkBytes && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	return entries, o.base(), o.create
}

// done notes that the log has the entries up to number.
func (o *outbox) done(number uint64, members int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.create = false
	if base := o.base(); number >= base {
		for i := o.posted; i <= int(number-base); i++ {
			e := o.entries[i]
			for _, r := range e.receipts {
				r.settle(members, err)
			}
			if e.receipts = nil; e.number > o.confirmed {
				o.owed += e.count
			}
		}
		o.posted = max(o.posted, int(number-base)+1)
	}
	o.confirmed = max(o.confirmed, number)
	o.changed.Broadcast()
}

// rewind has the entries from number on be posted again; it returns how many.
func (o *outbox) rewind(number uint64) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := 0
	if base := o.base(); number > base {
		at = int(number - base)
	}
	again := o.posted - at
	if again <= 0 {
		return 0
	}
	o.posted = at
	signal(o.wake)
	return again
}

// lost notes that the log is not there: all that is kept is posted again. It
// reports whether there was one.
func (o *outbox) lost() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.create {
		return false
	}
	o.create, o.posted = true, 0
	signal(o.wake)
	return o.confirmed > 0
}

// debtor is another member as the outbox sees it.
type debtor struct {
	acked uint64 // the last entry that it has taken
	reads bool   // it is alive, and takes what comes
}

// trim drops what all have acknowledged, and what is beyond limit messages of
// those that do not read. It returns how many messages each of these lacks for
// ever.
func (o *outbox) trim(debtors []debtor, limit int) (lacks []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	low, live := o.confirmed, o.confirmed
	for _, d := range debtors {
		low = min(low, d.acked)
		if d.reads {
			live = min(live, d.acked)
		}
	}
	o.cut(low)
	to := o.base() - 1
	kept, bytes := o.messages, o.bytes
	for i := 0; i < len(o.entries) && to < live && (kept > limit || bytes > maxKeptBytes); i++ {
		kept -= o.entries[i].count
		bytes -= len(o.entries[i].text)
		to++
	}
	lacks = make([]int64, len(debtors))
	for i, d := range debtors {
		if d.acked < to {
			lacks[i] = o.through(to) - o.through(d.acked)
		}
	}
	o.cut(to)
	o.owed = int(o.through(o.confirmed) - o.through(live))
	return lacks
}

// cut drops the entries up to number, of those that Redis has had.
func (o *outbox) cut(number uint64) {
	n := 0
	for n < len(o.entries) && o.entries[n].number <= min(number, o.confirmed) {
		o.before = o.entries[n].through
		o.messages -= o.entries[n].count
		o.bytes -= len(o.entries[n].text)
		o.entries[n] = nil
		n++
	}
	o.entries, o.posted = o.entries[n:], max(0, o.posted-n)
}

// lacking is how many messages a member lacks that has taken the entries up to
// acked.
func (o *outbox) lacking(acked uint64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.through(o.next) - o.through(acked)
}

// waiting is how many messages members that read have not acknowledged.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.owed
}

// last is the number of the last entry that Redis has had.
func (o *outbox) last() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.confirmed
}

// flush is the buffer's sink: it returns when Redis has all messages, or the
// link has given up.
func (l *Link) flush(messages []Message) {
	for len(messages) > 0 {
		text, n := l.encode(messages)
		if !l.outbox.await(l.outbox.add(text, messages[:n])) {
			if l.outbox.isHalted() {
				messages = messages[n:]
				continue
			}
			for i := range messages[n:] {
				messages[n+i].receipt.settle(0, ErrUnconfirmed)
			}
			l.abandoned.Add(int64(len(messages)))
			l.counts.dropped[dropStopped].Add(int64(len(messages)))
			return
		}
		l.settle(messages[:n])
		l.counts.sent.Add(int64(n))
		messages = messages[n:]
	}
}

// encode is the text of as many messages as make an entry.
func (l *Link) encode(messages []Message) (text []byte, n int) {
	me := l.Incarnation()
	for n < len(messages) && n < maxChunk {
		line, err := encodeEnvelope(me, &parcel{Message: messages[n]})
		if err != nil { // not validated: a mistake of the program
			l.log.Error("message cannot be sent", slog.Any(keyError, err))
		}
		if n > 0 && len(text)+len(line) > maxChunkBytes {
			break
		}
		text = append(append(text, line...), '\n')
		n++
	}
	return text, n
}

// postToAll posts a parcel of the link's own to all other members, once and in order
// as messages are.
func (l *Link) postToAll(p parcel) error {
	text, err := encodeEnvelope(l.Incarnation(), &p)
	if err != nil {
		return err
	}
	if len(text) > maxEnvelope {
		return errTooLong
	}
	l.outbox.add(append(text, '\n'), nil)
	return nil
}
