package remote

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

// write posts what is in the outbox, until the link ends.
func (l *Link) write() {
	var posts pacer
	for wait := minRetry; l.ctx.Err() == nil; {
		pace := l.shared(postPace)
		if rest := posts.rest(pace); rest > 0 && !l.pause(rest) {
			return
		}
		entries, base, create := l.outbox.batch()
		if len(entries) == 0 {
			select {
			case <-l.outbox.wake:
			case <-l.ctx.Done():
			}
			continue
		}
		posts.spent(pace, 1)
		err := l.post(entries, base, create)
		if err == nil || errors.Is(err, errNoLog) {
			l.troubles.clear(troubleSend)
			wait = minRetry
			continue
		}
		l.counts.retries.Add(1)
		l.troubles.set(troubleSend, err)
		l.once("send", "messages for other members wait for Redis", slog.Any(keyError, err))
		if !l.pause(wait) {
			return
		}
		wait = min(2*wait, maxRetry)
	}
}

// errNoLog: the log is not there, and all that is kept is posted again.
var errNoLog = errors.New("the log of the cluster is not there")

// post adds entries to the log, and has a replica take them where one of their
// senders waits for that.
func (l *Link) post(entries []*outEntry, base uint64, create bool) error {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	me, key := l.Incarnation(), l.keys.log()
	confirm, size := false, 0
	for _, e := range entries {
		confirm = confirm || len(e.receipts) > 0
		size += len(e.text)
	}
	confirm = confirm && l.counts.replicas.Load() > 0
	pipe := l.opts.Client.Pipeline()
	if confirm {
		// One connection, since WAIT is about what it has written.
		node, err := l.node(ctx, key)
		if err != nil {
			return err
		}
		pipe = node.Pipeline()
	}
	length := logLength(size / len(entries))
	added := make([]*redis.StringCmd, len(entries))
	for i, e := range entries {
		values := []any{
			fieldOrigin, me, fieldNumber, strconv.FormatUint(e.number, 10), fieldBase, strconv.FormatUint(base, 10), fieldText, e.text,
		}
		if age := time.Since(e.made); age >= minAge {
			values = append(values, fieldAge, strconv.FormatInt(age.Milliseconds(), 10))
		}
		added[i] = pipe.XAdd(ctx, &redis.XAddArgs{
			Stream: key, NoMkStream: !create || i > 0, MaxLen: length, Approx: true, Values: values,
		})
	}
	var seen *redis.Cmd
	if confirm {
		seen = pipe.Do(ctx, "wait", 1, replicaTimeout.Milliseconds())
	}
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	var copied error
	if confirm {
		if n, err := seen.Int64(); err != nil || n == 0 {
			copied = ErrUnconfirmed
		}
	}
	for i, a := range added {
		switch err := a.Err(); {
		case err == nil:
			l.counts.posted.Add(1)
			l.outbox.done(entries[i].number, l.others(), copied)
		case errors.Is(err, redis.Nil):
			l.logLost()
			return errNoLog
		case wrongType(err):
			return l.mend(ctx, key, err)
		default:
			return err
		}
	}
	return nil
}

// logLost has the log be made anew, with all that another member may lack.
func (l *Link) logLost() {
	if l.outbox.lost() {
		l.counts.losses.Add(1)
		l.log.Warn("the log of the cluster in Redis is gone: it is made anew, and what members lack is sent again")
	}
}

// logLength is how many entries of a size the log may have.
func logLength(size int) int64 {
	return int64(min(max(maxLogBytes/max(size, 1), minLog), maxLog))
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
