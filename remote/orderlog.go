package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/redispipe"
)

const (
	// orderEntries and orderBytes bound the log in Redis: what a member that was
	// away can read before it takes the whole state.
	orderEntries = 10_000
	orderBytes   = 64 << 20
	// orderPast is of how many revisions the cluster knows that it was there: a
	// member that was away for more has to be told whose state counts. 30 bytes
	// each.
	orderPast = 100_000
	// orderChunk bounds the entries of one answer, which must come within the
	// time of a command; an entry alone may have more.
	orderChunk = 1 << 20
	// orderWait is how long one look for more entries blocks.
	orderWait = time.Second
)

// OrderLog is the order of a store's writes in Redis (design, "Store in a
// cluster"): the head, a stream of the last writes, a stream of the sums of many
// more, and a hash of all records, in one slot and changed by one script. It is
// safe for concurrent use.
type OrderLog struct {
	link     *Link
	keys     orderKeys
	counts   orderCounters
	replicas atomic.Int64 // of the server that has the keys, by the last write
}

// OrderLog returns the order of the link's cluster.
func (l *Link) OrderLog() *OrderLog {
	tag := "sluice:{" + l.opts.Cluster + ":store}:"
	return &OrderLog{link: l, keys: orderKeys{tag + "head", tag + "log", tag + "state", tag + "past", tag + "claims", tag + "seed:"}}
}

// orderKeys are named after what they hold; seeds begin with seed.
type orderKeys struct{ head, log, state, past, claims, seed string }

func (k *orderKeys) all() []string { return []string{k.head, k.log, k.state, k.past, k.claims} }

// entryID is the stream's id of a revision.
func entryID(revision uint64) string { return strconv.FormatUint(revision, 10) + "-0" }

// field names a record in the hash.
func field(k store.Key) string {
	return fmt.Sprintf("%s:%d:%d:%s", k.Kind, k.Context, k.User, k.Name)
}

func (o *OrderLog) client() redis.UniversalClient { return o.link.opts.Client }

// once is a command that is not sent again where its answer does not come: what
// has become of it would not be known.
type once struct{ *redis.Cmd }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// sent is an argument that knows whether it was on its way.
type sent struct {
	text []byte
	sent atomic.Bool
}

// MarshalBinary is called when the command is written.
func (s *sent) MarshalBinary() ([]byte, error) {
	s.sent.Store(true)
	return s.text, nil
}

var errStateLost = errors.New("Redis has lost a part of the store's data: a member gives it all anew")

// Head implements store.Order.
func (o *OrderLog) Head(ctx context.Context) (head store.Head, ok, contested bool, err error) {
	pipe := o.client().Pipeline()
	fields := pipe.HMGet(ctx, o.keys.head, orderHead, orderID)
	id := pipe.HGet(ctx, o.keys.state, stateID)
	claims := pipe.HLen(ctx, o.keys.claims)
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	for _, err := range []error{fields.Err(), id.Err(), claims.Err()} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return head, false, false, o.mend(ctx, err)
		}
	}
	if err := redispipe.Len("HMGET", len(fields.Val()), 2); err != nil {
		return head, false, false, fmt.Errorf("%s: %w", o.keys.head, err)
	}
	contested = claims.Val() > 0
	text, ok := fields.Val()[0].(string)
	if !ok {
		return head, false, contested, nil
	}
	if of, _ := fields.Val()[1].(string); of == "" || of != id.Val() {
		return head, false, contested, o.repair(ctx, errStateLost)
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		o.counts.unreadable.Add(1)
		return head, false, contested, fmt.Errorf("%s does not parse (%w): if nothing else uses this key, delete it, and a member writes it anew", o.keys.head, err)
	}
	return head, true, contested, nil
}

// Append implements store.Order.
func (o *OrderLog) Append(ctx context.Context, from, to store.Head, entries []store.Sealed, records []store.Record) (confirmed, behind bool, err error) {
	expected, err := json.Marshal(from)
	if err != nil {
		return false, false, err
	}
	text, err := json.Marshal(to)
	if err != nil {
		return false, false, err
	}
	next := &sent{text: text}
	args := make([]any, 0, 12+3*len(entries)+2*len(records))
	args = append(args, "eval", appendScript, len(o.keys.all()))
	for _, k := range o.keys.all() {
		args = append(args, k)
	}
	args = append(args, expected, next, entryID(from.Revision), len(entries))
	for _, e := range entries {
		args = append(args, entryID(e.Revision), e.Chain.String(), e.Text)
	}
	for i := range records {
		value := []byte(nil)
		if records[i].Body != nil || records[i].Deleted {
			if value, err = json.Marshal(records[i]); err != nil {
				return false, false, err
			}
		}
		args = append(args, field(records[i].Key), value)
	}
	node, err := o.link.node(ctx, o.keys.head)
	if err != nil {
		o.counts.failed.Add(1)
		return false, false, err
	}
	added := once{redis.NewCmd(ctx, args...)}
	confirmed, err = o.confirm(ctx, node, added)
	if err == nil {
		var n int
		n, err = added.Int()
		switch {
		case err != nil:
		case n == orderBehind:
			o.counts.behind.Add(1)
			return false, true, nil
		case n == orderLost:
			o.counts.failed.Add(1)
			return false, false, o.repair(ctx, errStateLost)
		}
	}
	if err != nil {
		return false, false, o.uncertain(ctx, err, next)
	}
	o.counts.appends.Add(1)
	if !confirmed {
		o.counts.unconfirmed.Add(1)
	}
	return confirmed, false, nil
}

// confirm sends a write, and has a replica take it where the server has one. Its
// error is that of the write.
func (o *OrderLog) confirm(ctx context.Context, node redis.Cmdable, write once) (confirmed bool, err error) {
	patience := replicaTimeout
	if c, ok := node.(*redis.Client); ok {
		// Its answer must come within the time of a command.
		patience = min(patience, max(c.Options().ReadTimeout/2, time.Millisecond))
	}
	// One connection, since WAIT is about what it has written.
	pipe := node.Pipeline()
	_ = pipe.Process(ctx, write)
	info := pipe.Info(ctx, "replication")
	var seen *redis.Cmd
	if o.replicas.Load() > 0 {
		seen = pipe.Do(ctx, "wait", 1, patience.Milliseconds())
	}
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	if err := write.Err(); err != nil {
		return false, err
	}
	if info.Err() == nil {
		o.replicas.Store(replicas(info.Val()))
		if o.replicas.Load() == 0 {
			return true, nil
		}
	}
	if seen == nil {
		pipe := node.Pipeline()
		pipe.Eval(ctx, touchScript, []string{o.keys.head})
		seen = pipe.Do(ctx, "wait", 1, patience.Milliseconds())
		_ = redispipe.Exec(ctx, pipe) // the answer of WAIT is looked at
	}
	copies, err := seen.Int()
	return err == nil && copies > 0, nil
}

// uncertain tells errors that leave open what was done from those of which it is
// sure that nothing was: a reply of Redis, and what was never sent.
func (o *OrderLog) uncertain(ctx context.Context, err error, arg *sent) error {
	if c, ok := o.client().(*redis.ClusterClient); ok {
		c.ReloadState(ctx) // the slot may have moved
	}
	var reply redis.Error
	if !arg.sent.Load() || errors.As(err, &reply) {
		o.counts.failed.Add(1)
		return o.mend(ctx, err)
	}
	o.counts.unconfirmed.Add(1)
	return fmt.Errorf("%w (%w)", store.ErrUnconfirmed, err)
}

// Entries implements store.Order.
func (o *OrderLog) Entries(ctx context.Context, after uint64, limit int) ([]store.Sealed, error) {
	list, err := entriesScript.Run(ctx, o.client(), []string{o.keys.log}, after+1, limit, orderChunk).Slice()
	if err != nil {
		return nil, o.mend(ctx, err)
	}
	out := make([]store.Sealed, 0, len(list))
	for _, m := range list {
		e, err := parseEntry(m)
		if err != nil {
			o.counts.unreadable.Add(1)
			return nil, fmt.Errorf("%s: %w", o.keys.log, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// parseEntry reads an entry of a stream as a script answers it.
func parseEntry(m any) (e store.Sealed, err error) {
	pair, _ := m.([]any)
	if len(pair) != 2 {
		return e, errors.New("an entry does not parse")
	}
	id, _ := pair[0].(string)
	number, _, _ := strings.Cut(id, "-")
	if e.Revision, err = strconv.ParseUint(number, 10, 64); err != nil {
		return e, fmt.Errorf("the entry %q does not parse: %w", id, err)
	}
	fields, _ := pair[1].([]any)
	var chain string
	for i := 0; i+1 < len(fields); i += 2 {
		value, _ := fields[i+1].(string)
		switch fields[i] {
		case orderChain:
			chain = value
		case orderText:
			e.Text = []byte(value)
		}
	}
	if err = e.Chain.UnmarshalText([]byte(chain)); err != nil {
		return e, fmt.Errorf("the entry %q does not parse: %w", id, err)
	}
	return e, nil
}

// Was implements store.Order.
func (o *OrderLog) Was(ctx context.Context, h store.Head) (bool, error) {
	if h.Revision == 0 {
		return h.Chain == store.Chain{}, nil
	}
	list, err := o.client().XRangeN(ctx, o.keys.past, entryID(h.Revision), entryID(h.Revision), 1).Result()
	if err != nil {
		return false, o.mend(ctx, err)
	}
	return len(list) == 1 && list[0].Values[orderChain] == h.Chain.String(), nil
}

// Wait implements store.Order.
func (o *OrderLog) Wait(ctx context.Context, after uint64) {
	reading, cancel := context.WithTimeout(ctx, orderWait+readSlack)
	defer cancel()
	err := o.client().XRead(reading, &redis.XReadArgs{Streams: []string{o.keys.log, entryID(after)}, Count: 1, Block: orderWait}).Err()
	if err == nil || errors.Is(err, redis.Nil) {
		return
	}
	_ = o.mend(reading, err) // the caller looks
	t := time.NewTimer(maxRetry / 5)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// mend repairs where a key of ours holds another type, and passes the error on.
func (o *OrderLog) mend(ctx context.Context, err error) error {
	if wrongType(err) {
		return o.repair(ctx, err)
	}
	return err
}

func (o *OrderLog) repair(ctx context.Context, err error) error {
	n, failed := repairScript.Run(ctx, o.client(), o.keys.all()).Int64()
	o.counts.repairs.Add(n)
	if n > 0 {
		o.link.log.Warn("keys of the store in Redis were lost, or held something else, and are removed: a member gives the cluster its data anew", slog.Int64(keyCount, n), slog.Any(keyError, err))
	}
	return errors.Join(err, failed)
}
