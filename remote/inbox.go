package remote

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// readBlock is how long a read waits for entries; readSlack is added until
	// the connection counts as silent and is made anew, within 3 s.
	readBlock = time.Second
	readSlack = 1500 * time.Millisecond
	// readCount bounds one answer: 128 MiB of the largest entries, some 100 KiB
	// of usual ones.
	readCount = 128
	// trimEvery is how often what was read is removed.
	trimEvery = 250 * time.Millisecond
	// maxOrigins bounds the senders whose numbers are remembered.
	maxOrigins = 10_000
)

// beginning is the position before all entries.
const beginning = "0-0"

// inbox is where the reader stands. It belongs to the reader; openInbox tells it
// of another stream through opened.
type inbox struct {
	key      string
	position string
	read     map[string]uint64 // the last entry's number, by sender
	trimmed  time.Time
	trimTo   string // what was read since
}

// openInbox makes the stream of this member, which then exists for as long as
// the member does.
func (l *Link) openInbox(ctx context.Context, me string) error {
	key := l.keys.inbox(me)
	if err := l.opts.Client.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{fieldOrigin, me}}).Err(); err != nil {
		return l.mend(ctx, key, err)
	}
	l.opened.Store(&inbox{key: key, position: beginning})
	return nil
}

// read takes what comes into the inbox. It goes on where it was when the link
// was cut.
func (l *Link) read() {
	in := &inbox{}
	for l.ctx.Err() == nil {
		if fresh := l.opened.Swap(nil); fresh != nil {
			// The numbers of another inbox are others.
			if fresh.read = in.read; fresh.key != in.key {
				fresh.read = make(map[string]uint64)
			}
			in = fresh
		}
		if in.key == "" {
			if !l.pause(minRetry) {
				return
			}
			continue
		}
		if err := l.readOnce(in); err != nil && l.ctx.Err() == nil {
			l.counts.readFailed.Add(1)
			l.troubled()
			l.once("read", "inbox cannot be read: messages of other members wait in Redis", slog.Any(keyError, err))
			if !l.pause(maxRetry / 5) {
				return
			}
		}
	}
}

func (l *Link) readOnce(in *inbox) error {
	ctx, cancel := context.WithTimeout(l.ctx, readBlock+readSlack)
	defer cancel()
	streams, err := l.opts.Client.XRead(ctx, &redis.XReadArgs{Streams: []string{in.key, in.position}, Count: readCount, Block: readBlock}).Result()
	switch {
	case errors.Is(err, redis.Nil):
	case wrongType(err):
		err = l.mend(ctx, in.key, err)
		return errors.Join(err, l.openInbox(ctx, l.Incarnation()))
	case err != nil:
		return err
	default:
		for _, e := range streams[0].Messages {
			l.take(in, e)
			in.position, in.trimTo = e.ID, e.ID
		}
	}
	if in.trimTo != "" && time.Since(in.trimmed) > trimEvery {
		// What is left where this fails is removed the next time.
		if l.opts.Client.XTrimMinID(ctx, in.key, successor(in.trimTo)).Err() == nil {
			in.trimmed, in.trimTo = time.Now(), ""
		}
	}
	return nil
}

// wakeReader ends the read that waits when the link ends: a context does not.
func (l *Link) wakeReader() {
	<-l.ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), readBlock)
	defer cancel()
	me := l.Incarnation()
	// Where it fails the read ends by itself, within readBlock and readSlack.
	_ = l.opts.Client.XAdd(ctx, &redis.XAddArgs{Stream: l.keys.inbox(me), NoMkStream: true, Values: []any{fieldOrigin, me}}).Err()
}

// successor is the id after id.
func successor(id string) string {
	ms, seq, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseUint(seq, 10, 64) // Redis has made it
	return ms + "-" + strconv.FormatUint(n+1, 10)
}

// take delivers an entry. What cannot be read is counted and skipped.
func (l *Link) take(in *inbox, e redis.XMessage) {
	origin, _ := e.Values[fieldOrigin].(string)
	text, _ := e.Values[fieldText].(string)
	if text == "" && origin == l.Incarnation() {
		return // of openInbox
	}
	if len(text) > maxChunkBytes+maxEnvelope {
		l.unreadable("size")
		return
	}
	if number, counted := e.Values[fieldNumber].(string); counted {
		n, err := strconv.ParseUint(number, 10, 64)
		switch {
		case err != nil:
			l.unreadable("number")
			return
		case n <= in.read[origin]:
			l.counts.repeated.Add(1)
			return
		case len(in.read) >= maxOrigins:
			l.forget(in)
		}
		in.read[origin] = n
	}
	l.late(e.ID)
	for line := range bytes.SplitSeq([]byte(text), []byte{'\n'}) {
		if len(line) > 0 {
			l.takeLine(origin, line)
		}
	}
}

// forget drops the numbers of members that are not there any more.
func (l *Link) forget(in *inbox) {
	members := l.view.Load().members
	for id := range in.read {
		if members[id] == nil {
			delete(in.read, id)
		}
	}
}

func (l *Link) takeLine(origin string, line []byte) {
	p, err := decodeEnvelope(line)
	switch {
	case errors.Is(err, ErrVersion):
		l.unreadable("version")
		return
	case err != nil:
		l.unreadable("envelope")
		return
	case p.Origin != origin:
		l.unreadable("origin")
		return
	}
	switch p.Kind {
	case kindMessage:
		l.counts.received.Add(1)
		if err := l.opts.Deliverer.Deliver(p.Message); err != nil {
			l.unreadable("message")
		}
	case kindReplace:
		l.opts.Deliverer.Replace(p.Context, p.User, p.Name)
	case kindAsk:
		l.answer(p)
	case kindReply:
		l.asked.settle(p)
	default:
		l.unreadable("kind")
	}
}

// late notes how long an entry was on its way, by the clock of Redis.
func (l *Link) late(id string) {
	ms, _, _ := strings.Cut(id, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return
	}
	lag := time.Since(time.UnixMilli(at)) + time.Duration(l.counts.clock.Load())
	l.counts.lag.observe(max(lag, 0))
}
