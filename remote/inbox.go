package remote

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

const (
	// readBlock is how long a read waits for entries; readSlack is added until
	// the connection counts as silent and is made anew, within 3 s.
	readBlock = time.Second
	readSlack = 1500 * time.Millisecond
	// readCount bounds one answer: 128 MiB of the largest entries, some 100 KiB
	// of usual ones.
	readCount = 128
	// maxOrigins bounds the senders whose numbers are remembered.
	maxOrigins = 10_000
	// rememberFor is how long the numbers of a sender are remembered of which
	// nothing is heard: one that was cut off sends again what it does not know to
	// have arrived.
	rememberFor = 24 * time.Hour
)

// inbox is what this member has read of the log.
type inbox struct {
	mu       sync.Mutex
	position string             // id of the last entry that was read; "": not known yet
	restart  bool               // read from the beginning
	reading  bool               // again, what was read before
	caught   time.Time          // when the log was last read to its end, all that there was
	read     time.Time          // when reading it last worked
	failed   bool               // it has not since
	newest   string             // id of the last entry that was read then
	sources  map[string]*source // by incarnation
}

// source is a sender, as this member has heard it.
type source struct {
	last  uint64    // number of the last entry that was taken
	taken bool      // one was
	gap   uint64    // number of the first entry behind those that are missing; 0: none are
	since time.Time // of the gap
	asked time.Time // when the sender was asked for what is missing
	heard time.Time
	took  time.Time // when last was taken; zero: it is from before this member joined

	doubt   bool // it may have ended while this member did not read, and the log does not go on where it was
	doubtAt time.Time

	told   uint64    // number of the last entry that another member has taken, where this one lacks it
	toldAt time.Time // since when this one lacks any

	canary canary
}

// start sets where reading begins, behind the newest entries, and returns it.
// What these and join tell of was sent before this member joined, and counts as
// taken: a sender may keep it for others that are dead.
func (in *inbox) start(newest []redis.XMessage) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.position = beginning
	if len(newest) > 0 {
		in.position = newest[0].ID
	}
	now := time.Now()
	in.newest, in.read = in.position, now
	for _, e := range newest {
		origin, _ := e.Values[fieldOrigin].(string)
		text, _ := e.Values[fieldNumber].(string)
		number, err := strconv.ParseUint(text, 10, 64)
		if err == nil && len(origin) == incarnationLen {
			in.before(origin, number, now)
		}
	}
	return in.position
}

// join notes up to which number a member had sent when this one joined.
func (in *inbox) join(origin string, last uint64, now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.before(origin, last, now)
}

func (in *inbox) before(origin string, last uint64, now time.Time) {
	s := in.sources[origin]
	if s == nil {
		s = &source{}
		in.sources[origin] = s
	}
	s.last, s.heard = max(s.last, last), now
}

// at is the position.
func (in *inbox) at() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.position
}

// again has the whole log be read: what was taken is known by its number.
func (in *inbox) again() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.restart = true
}

// next is where to read from.
func (in *inbox) next() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.restart && in.position != "" {
		in.restart, in.reading, in.position = false, true, beginning
	}
	return in.position
}

// move notes that an entry was read.
func (in *inbox) move(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.restart {
		in.position = id
	}
	in.newest, in.read = id, time.Now()
}

// acks are the numbers up to which this member has taken the entries of those
// that are in the view.
func (in *inbox) acks(v *view) map[string]uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	acks := make(map[string]uint64, len(v.members))
	for id := range v.members {
		if s := in.sources[id]; s != nil {
			acks[id] = s.last
		}
	}
	return acks
}

// read takes what comes into the log.
func (l *Link) read() {
	var reads pacer
	for l.ctx.Err() == nil {
		position := l.in.next()
		if position == "" || l.view.Load().at.IsZero() { // until the first heartbeat
			if !l.pause(minRetry) {
				return
			}
			continue
		}
		pace := l.shared(readPace)
		if rest := reads.rest(pace); rest > 0 && !l.pause(rest) {
			return
		}
		others, err := l.readOnce(position)
		if others {
			reads.spent(pace, 1)
		} else {
			reads.spent(pace, ownReads)
		}
		switch {
		case l.ctx.Err() != nil:
		case err == nil:
			l.troubles.clear(troubleRead)
		default:
			l.in.fail()
			l.counts.readFailed.Add(1)
			l.troubles.set(troubleRead, err)
			l.once("read", "the log of the cluster cannot be read: messages of other members wait", slog.Any(keyError, err))
			if !l.pause(maxRetry / 5) {
				return
			}
		}
	}
}

// readOnce takes what is behind a position, and reports whether another member
// had written any of it.
func (l *Link) readOnce(position string) (others bool, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, readBlock+readSlack)
	defer cancel()
	key := l.keys.log()
	if err := l.goesOn(ctx, key); err != nil {
		return false, err
	}
	streams, err := l.opts.Client.XRead(ctx, &redis.XReadArgs{Streams: []string{key, position}, Count: readCount, Block: readBlock}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		l.in.caughtUp()
		return false, nil
	case wrongType(err):
		return false, l.mend(ctx, key, err)
	case err != nil:
		return false, err
	}
	if err := redispipe.Len("XREAD", len(streams), 1); err != nil {
		return false, err
	}
	for _, e := range streams[0].Messages {
		others = others || e.Values[fieldOrigin] != l.Incarnation()
		l.take(e)
		l.in.move(e.ID)
	}
	if len(streams[0].Messages) < readCount {
		l.in.caughtUp()
	}
	return others, nil
}

// fail notes that the log could not be read.
func (in *inbox) fail() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.failed = true
}

// caughtUp notes that the log was read to its end.
func (in *inbox) caughtUp() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.read = time.Now()
	if in.reading = in.restart; !in.restart {
		in.caught = in.read
	}
}

// wakeReader ends the read that waits when the link ends: a context does not.
func (l *Link) wakeReader() {
	<-l.ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), readBlock)
	defer cancel()
	// Where it fails the read ends by itself, within readBlock and readSlack.
	_ = l.opts.Client.XAdd(ctx, &redis.XAddArgs{Stream: l.keys.log(), NoMkStream: true, Values: []any{fieldOrigin, l.Incarnation()}}).Err()
}

// forget drops the sender of which nothing was heard for longest, where that is
// long ago.
func (in *inbox) forget(now time.Time) bool {
	var oldest string
	for id, s := range in.sources {
		if oldest == "" || s.heard.Before(in.sources[oldest].heard) {
			oldest = id
		}
	}
	if now.Sub(in.sources[oldest].heard) < rememberFor {
		return false
	}
	delete(in.sources, oldest)
	return true
}
