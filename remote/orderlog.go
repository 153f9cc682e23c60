package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// orderEntries and orderBytes bound the log in Redis: what a member that was
	// away can read before it takes the whole state.
	orderEntries = 10_000
	orderBytes   = 64 << 20
	// orderWait is how long one look for more entries blocks.
	orderWait = time.Second
	// seedLife removes what an attempt to seed has left.
	seedLife = 10 * time.Minute
	// scanCount is how many records of the state are asked for at once.
	scanCount = 1000
)

// OrderLog is the order of a store's writes in Redis (design, "Store in a
// cluster"): the head, a stream of the last writes, and a hash of all records,
// in one slot and changed by one script.
type OrderLog struct {
	link *Link
	keys orderKeys
}

// OrderLog returns the order of the link's cluster.
func (l *Link) OrderLog() *OrderLog {
	tag := "sluice:{" + l.opts.Cluster + ":store}:"
	return &OrderLog{link: l, keys: orderKeys{tag + "head", tag + "log", tag + "state", tag + "seed:"}}
}

// orderKeys are named after what they hold; seeds begin with seed.
type orderKeys struct{ head, log, state, seed string }

// The fields of an entry of the log.
const (
	orderChain = "c"
	orderText  = "e"
	orderSum   = "b" // bytes of all texts up to this one, for orderBytes
)

// entryID is the stream's id of a revision.
func entryID(revision uint64) string { return strconv.FormatUint(revision, 10) + "-0" }

// field names a record in the hash.
func field(k store.Key) string {
	return fmt.Sprintf("%s:%d:%d:%s", k.Kind, k.Context, k.User, k.Name)
}

// Head implements store.Order.
func (o *OrderLog) Head(ctx context.Context) (head store.Head, ok bool, err error) {
	text, err := o.link.opts.Client.Get(ctx, o.keys.head).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return head, false, nil
	case err != nil:
		return head, false, o.link.mend(ctx, o.keys.head, err)
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return head, false, fmt.Errorf("%s does not parse (%w): if nothing else uses this key, delete it, and a member writes it anew", o.keys.head, err)
	}
	return head, true, nil
}

// appendScript takes the expected and the new head, the number of entries and
// three arguments for each, and two for each record.
var appendScript = `
local now = redis.call('GET', KEYS[1])
if now == ARGV[2] then return 2 end
if now ~= ARGV[1] then return 0 end
local sum = 0
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if last[1] then
  for i = 1, #last[1][2], 2 do
    if last[1][2][i] == '` + orderSum + `' then sum = tonumber(last[1][2][i + 1]) or 0 end
  end
end
local n = tonumber(ARGV[3])
local at = 4
for _ = 1, n do
  sum = sum + #ARGV[at + 2]
  redis.call('XADD', KEYS[2], ARGV[at], '` + orderChain + `', ARGV[at + 1], '` + orderText + `', ARGV[at + 2], '` + orderSum + `', string.format('%.0f', sum))
  at = at + 3
end
while at < #ARGV do
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[3], ARGV[at])
  else redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ` + strconv.Itoa(orderEntries) + `)
for _ = 1, n + 10 do
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
  local before = 0
  for i = 1, #first[1][2], 2 do
    if first[1][2][i] == '` + orderSum + `' then before = tonumber(first[1][2][i + 1]) or 0 end
  end
  if sum - before <= ` + strconv.Itoa(orderBytes) + ` then break end
  redis.call('XDEL', KEYS[2], first[1][1])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1`

// Append implements store.Order.
func (o *OrderLog) Append(ctx context.Context, from, to store.Head, entries []store.Sealed, records []store.Record) (confirmed, behind bool, err error) {
	expected, err := json.Marshal(from)
	if err != nil {
		return false, false, err
	}
	next, err := json.Marshal(to)
	if err != nil {
		return false, false, err
	}
	args := make([]any, 0, 3+3*len(entries)+2*len(records))
	args = append(args, expected, next, len(entries))
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
		return false, false, err
	}
	// One connection, since WAIT is about what it has written.
	pipe := node.Pipeline()
	added := pipe.Eval(ctx, appendScript, []string{o.keys.head, o.keys.log, o.keys.state}, args...)
	var seen *redis.Cmd
	if o.link.counts.replicas.Load() > 0 {
		seen = pipe.Do(ctx, "wait", 1, replicaTimeout.Milliseconds())
	}
	_, _ = pipe.Exec(ctx) // each answer is looked at
	n, err := added.Int()
	switch {
	case err != nil:
		return false, false, uncertain(err)
	case n == 0:
		return false, true, nil
	}
	if seen == nil {
		return true, false, nil
	}
	copies, err := seen.Int()
	return err == nil && copies > 0, false, nil
}

// uncertain tells errors that leave open what was done from those of which it is
// sure that nothing was: a reply of Redis, and a connection that was not made.
func uncertain(err error) error {
	var reply redis.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &reply), errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, redis.ErrPoolTimeout):
		return err
	}
	return fmt.Errorf("%w (%w)", store.ErrUnconfirmed, err)
}

// Entries implements store.Order.
func (o *OrderLog) Entries(ctx context.Context, after uint64, limit int) ([]store.Sealed, error) {
	list, err := o.link.opts.Client.XRangeN(ctx, o.keys.log, entryID(after+1), "+", int64(limit)).Result()
	if err != nil {
		return nil, o.link.mend(ctx, o.keys.log, err)
	}
	out := make([]store.Sealed, 0, len(list))
	for _, m := range list {
		e := store.Sealed{}
		number, _, _ := strings.Cut(m.ID, "-")
		chain, _ := m.Values[orderChain].(string)
		text, _ := m.Values[orderText].(string)
		if e.Revision, err = strconv.ParseUint(number, 10, 64); err == nil {
			err = e.Chain.UnmarshalText([]byte(chain))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: the entry %s does not parse: %w", o.keys.log, m.ID, err)
		}
		e.Text = []byte(text)
		out = append(out, e)
	}
	if len(out) > 0 && out[0].Revision != after+1 {
		return nil, store.ErrTrimmed
	}
	return out, nil
}

// Wait implements store.Order.
func (o *OrderLog) Wait(ctx context.Context, after uint64) {
	ctx, cancel := context.WithTimeout(ctx, orderWait+readSlack)
	defer cancel()
	// Whatever comes of it, the caller looks.
	_ = o.link.opts.Client.XRead(ctx, &redis.XReadArgs{Streams: []string{o.keys.log, entryID(after)}, Count: 1, Block: orderWait}).Err()
}

// Snapshot implements store.Order.
func (o *OrderLog) Snapshot(ctx context.Context, f func([]store.Record) error) (store.Head, error) {
	head, ok, err := o.Head(ctx)
	if err == nil && !ok {
		err = errors.New("the cluster has no state")
	}
	if err != nil {
		return head, err
	}
	for cursor := uint64(0); ; {
		pairs, next, err := o.link.opts.Client.HScan(ctx, o.keys.state, cursor, "", scanCount).Result()
		if err != nil {
			return head, o.link.mend(ctx, o.keys.state, err)
		}
		records := make([]store.Record, 0, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			var r store.Record
			if err := json.Unmarshal([]byte(pairs[i+1]), &r); err != nil {
				return head, fmt.Errorf("%s: %s does not parse: %w", o.keys.state, pairs[i], err)
			}
			if field(r.Key) != pairs[i] {
				return head, fmt.Errorf("%s: %s holds %s", o.keys.state, pairs[i], r.Key)
			}
			records = append(records, r)
		}
		if err := f(records); err != nil {
			return head, err
		}
		if cursor = next; cursor == 0 {
			return head, nil
		}
	}
}

// seedScript puts a state that was written beside in the place of the present
// one: the expected head ("" for none), the new one, and whether there are
// records and entries at all.
var seedScript = redis.NewScript(`
local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('RENAME', KEYS[4], KEYS[2]) redis.call('PERSIST', KEYS[2]) end
if redis.call('EXISTS', KEYS[5]) == 1 then redis.call('RENAME', KEYS[5], KEYS[3]) redis.call('PERSIST', KEYS[3]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

// Seed implements store.Order.
func (o *OrderLog) Seed(ctx context.Context, expect *store.Head, head store.Head, entries []store.Sealed, load func(yield func([]store.Record) error) error) (bool, error) {
	expected := []byte(nil)
	var err error
	if expect != nil {
		if expected, err = json.Marshal(expect); err != nil {
			return false, err
		}
	}
	next, err := json.Marshal(head)
	if err != nil {
		return false, err
	}
	c, id := o.link.opts.Client, newIncarnation()
	log, state := o.keys.seed+id+":log", o.keys.seed+id+":state"
	done := false
	defer func() {
		if !done {
			// What is left where this fails has a life.
			_ = c.Del(context.WithoutCancel(ctx), log, state).Err()
		}
	}()
	if err := o.seedLog(ctx, log, entries); err != nil {
		return false, err
	}
	err = load(func(records []store.Record) error {
		if len(records) == 0 {
			return nil
		}
		pairs := make([]any, 0, 2*len(records))
		for i := range records {
			value, err := json.Marshal(records[i])
			if err != nil {
				return err
			}
			pairs = append(pairs, field(records[i].Key), value)
		}
		pipe := c.Pipeline()
		pipe.HSet(ctx, state, pairs...)
		pipe.Expire(ctx, state, seedLife)
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return false, err
	}
	n, err := seedScript.Run(ctx, c, []string{o.keys.head, o.keys.log, o.keys.state, log, state}, expected, next).Int()
	done = err == nil && n == 1
	return done, err
}

// seedLog writes the last entries, no more than orderBytes.
func (o *OrderLog) seedLog(ctx context.Context, key string, entries []store.Sealed) error {
	size, from := 0, len(entries)
	for from > 0 && size < orderBytes {
		from--
		size += len(entries[from].Text)
	}
	c, sum := o.link.opts.Client, 0
	for from < len(entries) {
		pipe := c.Pipeline()
		for part := 0; from < len(entries) && part < maxChunkBytes; from++ {
			e := &entries[from]
			part, sum = part+len(e.Text), sum+len(e.Text)
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: entryID(e.Revision), Values: []any{
				orderChain, e.Chain.String(), orderText, e.Text, orderSum, strconv.Itoa(sum),
			}})
		}
		pipe.Expire(ctx, key, seedLife)
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Peers implements store.Order.
func (o *OrderLog) Peers() (heads []store.Head) {
	list, _ := o.link.Members()
	for _, m := range list {
		if !m.Self && m.Alive && m.Store != nil {
			heads = append(heads, *m.Store)
		}
	}
	return heads
}

// Announce implements store.Order.
func (o *OrderLog) Announce() { o.link.Announce() }
