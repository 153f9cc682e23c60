package remote

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

const (
	// maxChunk and maxChunkBytes bound what is sent with one round trip, and an
	// entry of an inbox.
	maxChunk      = 512
	maxChunkBytes = 1 << 20
	// maxInbox is how many entries wait for a member that does not read: 60 s of
	// a busy cluster. What is above waits with the senders while the member is
	// alive, and is dropped and counted when it is not.
	maxInbox = 100_000

	minRetry = 10 * time.Millisecond
	maxRetry = 500 * time.Millisecond
	// replicaTimeout is how long a sync message waits for a replica.
	replicaTimeout = time.Second
)

// The fields of an entry in an inbox.
const (
	fieldOrigin = "o" // incarnation of the sender
	fieldNumber = "s" // counts the sender's entries for this inbox; what is sent again has the same
	fieldText   = "m" // envelopes, one a line
)

// outbox is what sending keeps. The buffer calls flush from one goroutine at a
// time, which alone uses numbers.
type outbox struct {
	numbers   map[string]uint64 // of the last entry, by incarnation
	abandon   latch
	abandoned atomic.Int64 // messages
}

// latch is set once.
type latch struct {
	once sync.Once
	make sync.Once
	c    chan struct{}
}

func (f *latch) done() chan struct{} {
	f.make.Do(func() { f.c = make(chan struct{}) })
	return f.c
}

func (f *latch) set() { f.once.Do(func() { close(f.done()) }) }

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

// entry is what one member is to get of a chunk.
type entry struct {
	to     string // incarnation
	number uint64
	text   bytes.Buffer
	count  int
	since  time.Time // when the inbox was not there; zero: it was
}

// flush is the buffer's sink: it returns when Redis has all messages, or the
// link has given up. Messages go in their order, also when Redis fails in
// between: the next chunk waits for the last one.
func (l *Link) flush(messages []Message) {
	for len(messages) > 0 {
		texts, n := l.encode(messages)
		if !l.sendChunk(messages[:n], texts) {
			for i := range messages {
				messages[i].receipt.settle(0, ErrUnconfirmed)
			}
			l.outbox.abandoned.Add(int64(len(messages)))
			l.counts.dropped[dropStopped].Add(int64(len(messages)))
			return
		}
		messages = messages[n:]
	}
}

// encode returns the texts of as many messages as make a chunk.
func (l *Link) encode(messages []Message) (texts [][]byte, n int) {
	me, size := l.Incarnation(), 0
	for n < len(messages) && n < maxChunk {
		text, err := encodeEnvelope(me, &parcel{Message: messages[n]})
		if err != nil { // not validated: a mistake of the program
			l.log.Error("message cannot be sent", slog.Any(keyError, err))
		}
		if size += len(text); n > 0 && size > maxChunkBytes {
			break
		}
		texts = append(texts, text)
		n++
	}
	return texts, n
}

func (l *Link) sendChunk(messages []Message, texts [][]byte) bool {
	var entries []*entry
	var addressed []int
	if !l.insist(func(ctx context.Context) (err error) {
		entries, addressed, err = l.route(ctx, messages, texts)
		return err
	}) {
		return false
	}
	confirm := false
	for i := range messages {
		confirm = confirm || messages[i].receipt != nil
	}
	unconfirmed := false
	if !l.insist(func(ctx context.Context) (err error) {
		var seen bool
		entries, seen, err = l.post(ctx, entries, confirm)
		unconfirmed = unconfirmed || !seen
		return err
	}) {
		return false
	}
	l.settle(messages)
	for i := range messages {
		var err error
		if unconfirmed {
			err = ErrUnconfirmed
		}
		messages[i].receipt.settle(addressed[i], err)
	}
	l.counts.sent.Add(int64(len(messages)))
	return true
}

// insist calls f until it succeeds, and reports false when it is abandoned.
func (l *Link) insist(f func(context.Context) error) bool {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		ctx, cancel := context.WithTimeout(context.Background(), maxBeatTimeout)
		err := f(ctx)
		cancel()
		if err == nil {
			return true
		}
		l.counts.retries.Add(1)
		l.troubled()
		l.once("send", "messages for other members wait for Redis", slog.Any(keyError, err))
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.outbox.abandon.done():
			t.Stop()
			return false
		}
	}
}

var errNotJoined = errors.New("this member has not reached Redis yet")

// route finds out whom each message goes to.
func (l *Link) route(ctx context.Context, messages []Message, texts [][]byte) (entries []*entry, addressed []int, err error) {
	v, me := l.view.Load(), l.Incarnation()
	if v.at.IsZero() {
		return nil, nil, errNotJoined
	}
	pipe := l.opts.Client.Pipeline()
	registry := pipe.Get(ctx, l.keys.registry())
	list := pipe.SMembers(ctx, l.keys.members())
	holders := make(map[addressee]*redis.StringSliceCmd)
	for i := range messages {
		if to := messages[i].addressee(); to.user != 0 && holders[to] == nil {
			holders[to] = pipe.HVals(ctx, l.keys.sockets(to.context, to.user))
		}
	}
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	if err := registry.Err(); err != nil && !errors.Is(err, redis.Nil) && !wrongType(err) {
		return nil, nil, err
	}
	if err := list.Err(); err != nil && !wrongType(err) {
		return nil, nil, err
	}
	doubtful, everybody := l.doubtful(v, registry.Val(), list.Val(), me)
	byMember := make(map[string]*entry)
	addressed = make([]int, len(messages))
	for i := range messages {
		to := messages[i].addressee()
		targets := everybody
		if to.user != 0 {
			values, err := holders[to].Result()
			if err != nil && !wrongType(err) {
				return nil, nil, err
			}
			if err == nil {
				targets = holding(values, doubtful, me)
			}
		}
		addressed[i] = len(targets)
		if messages[i].receipt != nil || len(texts[i]) > 0 {
			for target := range targets {
				e := byMember[target]
				if e == nil {
					l.outbox.numbers[target]++
					e = &entry{to: target, number: l.outbox.numbers[target]}
					byMember[target] = e
					entries = append(entries, e)
				}
				e.text.Write(texts[i])
				e.text.WriteByte('\n')
				e.count++
			}
		}
	}
	if len(l.outbox.numbers) > 2*len(v.members)+len(byMember) {
		for id := range l.outbox.numbers {
			if v.members[id] == nil && byMember[id] == nil {
				delete(l.outbox.numbers, id)
			}
		}
	}
	return entries, addressed, nil
}

// holding are the members in a user's hash, and those of which it is not known.
func holding(values []string, doubtful map[string]bool, me string) map[string]bool {
	targets := make(map[string]bool, len(doubtful)+len(values))
	for id := range doubtful {
		targets[id] = true
	}
	for _, v := range values {
		if id := holder(v); id != "" && id != me {
			targets[id] = true
		}
	}
	return targets
}

// doubtful are the other members whose sockets the registry may not have, all
// where it is another than the one that was seen last; unknown counts as yes.
func (l *Link) doubtful(v *view, registry string, list []string, me string) (doubtful, everybody map[string]bool) {
	l.beats.mu.Lock()
	trouble := l.beats.trouble
	l.beats.mu.Unlock()
	doubtful, everybody = map[string]bool{}, map[string]bool{}
	for id, m := range v.members {
		if id == me {
			continue
		}
		everybody[id] = true
		if registry == "" || registry != v.registry || m.Complete != registry || !m.alive ||
			!m.changed.After(trouble) || time.Since(m.changed) > l.opts.Lease/2 {
			doubtful[id] = true
		}
	}
	for _, id := range list {
		if id == me || everybody[id] {
			continue
		}
		everybody[id] = true
		doubtful[id] = true
	}
	return doubtful, everybody
}

// post puts entries into the inboxes. It returns those that are left to be
// posted, with an error, and whether replicas have the others where that is to
// be confirmed.
func (l *Link) post(ctx context.Context, entries []*entry, confirm bool) (left []*entry, confirmed bool, err error) {
	me := l.Incarnation()
	confirmed = true
	confirm = confirm && l.counts.replicas.Load() > 0
	type posted struct {
		entry *entry
		added *redis.StringCmd
		size  *redis.IntCmd
		seen  *redis.Cmd
	}
	all := make([]posted, 0, len(entries))
	pipe := l.opts.Client.Pipeline()
	for _, e := range entries {
		p, to := pipe, l.keys.inbox(e.to)
		if confirm {
			node, err := l.node(ctx, to)
			if err != nil {
				return entries, false, err
			}
			p = node.Pipeline()
		}
		x := posted{entry: e}
		x.added = p.XAdd(ctx, &redis.XAddArgs{Stream: to, NoMkStream: true, Values: []any{
			fieldOrigin, me, fieldNumber, strconv.FormatUint(e.number, 10), fieldText, e.text.Bytes(),
		}})
		x.size = p.XLen(ctx, to)
		if confirm {
			x.seen = p.Do(ctx, "wait", 1, replicaTimeout.Milliseconds())
			_ = redispipe.Exec(ctx, p) // each answer is looked at
		}
		all = append(all, x)
	}
	if !confirm {
		_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	}
	for _, x := range all {
		e := x.entry
		switch {
		case x.added.Err() == nil:
			l.counts.posted.Add(1)
			if confirm {
				n, err := x.seen.Int64()
				confirmed = confirmed && err == nil && n > 0
			}
			if x.size.Val() > maxInbox {
				l.hold(ctx, e.to)
			}
		case errors.Is(x.added.Err(), redis.Nil) || wrongType(x.added.Err()):
			// The member has gone, or will make its inbox anew.
			if e.since.IsZero() {
				e.since = time.Now()
			}
			if time.Since(e.since) > 2*l.opts.Lease || l.hasLeft(ctx, e.to) {
				l.drop(dropGone, e)
				continue
			}
			left, err = append(left, e), errNoInbox
		default:
			left, err = append(left, e), x.added.Err()
		}
	}
	return left, confirmed, err
}

// hasLeft reports whether a member is not one any more, in a Redis that has not
// lost who is: it was listed beside the registry that is still there.
func (l *Link) hasLeft(ctx context.Context, incarnation string) bool {
	v := l.view.Load()
	if m := v.members[incarnation]; m != nil && !m.missing.IsZero() {
		return false
	}
	pipe := l.opts.Client.Pipeline()
	registry := pipe.Get(ctx, l.keys.registry())
	listed := pipe.SIsMember(ctx, l.keys.members(), incarnation)
	err := redispipe.Exec(ctx, pipe)
	return err == nil && registry.Val() == v.registry && !listed.Val()
}

var errNoInbox = errors.New("the inbox of a member is not there")

func (l *Link) drop(why int, e *entry) {
	l.counts.dropped[why].Add(int64(e.count))
	l.once(drops[why], "messages for another member are dropped", slog.String("reason", drops[why]), slog.String(keyIncarnation, e.to), slog.Int(keyCount, e.count))
}

// hold waits while the inbox of a member that is alive is full, so that the
// buffer fills and its senders are told. The inbox of one that is not is cut.
func (l *Link) hold(ctx context.Context, to string) {
	key := l.keys.inbox(to)
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		n, err := l.opts.Client.XLen(ctx, key).Result()
		if err != nil || n <= maxInbox {
			return
		}
		if m := l.view.Load().members[to]; m == nil || !m.alive {
			cut, err := l.opts.Client.XTrimMaxLen(ctx, key, maxInbox).Result()
			if err == nil && cut > 0 {
				l.counts.dropped[dropFull].Add(cut)
				l.once(drops[dropFull], "inbox of a member that does not read is full: its oldest entries are dropped", slog.String(keyIncarnation, to), slog.Int64(keyCount, cut))
			}
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.outbox.abandon.done():
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// node is the server that holds a key.
func (l *Link) node(ctx context.Context, key string) (redis.Cmdable, error) {
	if c, ok := l.opts.Client.(*redis.ClusterClient); ok {
		return c.MasterForKey(ctx, key)
	}
	return l.opts.Client, nil
}

// replicas reads how many replicas a server has.
func replicas(info string) int64 {
	n, _ := strconv.ParseInt(infoField(info, "connected_slaves"), 10, 64) // 0 where it is not said
	return n
}
