package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/redispipe"
)

const (
	// seedLife removes what an attempt to seed has left.
	seedLife = 10 * time.Minute
	// claimLife has the others go on when a member that was to bring newer data
	// has died: each look of it, twice a second, renews its claim, and so does
	// its seeding, each claimRenew.
	claimLife  = 10 * time.Second
	claimRenew = 2 * time.Second
	// scanCount is how many records of the state are asked for at once: of the
	// largest 25 MiB, of usual ones 30 KiB.
	scanCount = 100
)

// Snapshot implements store.Order.
func (o *OrderLog) Snapshot(ctx context.Context, f func([]store.Record) error) (head store.Head, err error) {
	o.counts.snapshots.Add(1)
	fields, err := o.client().HMGet(ctx, o.keys.head, orderHead, orderID).Result()
	if err != nil {
		return head, o.mend(ctx, err)
	}
	if err := redispipe.Len("HMGET", len(fields), 2); err != nil {
		return head, fmt.Errorf("%s: %w", o.keys.head, err)
	}
	text, _ := fields[0].(string)
	id, _ := fields[1].(string)
	if text == "" || id == "" {
		return head, errors.New("the cluster has no state")
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		return head, fmt.Errorf("%s does not parse: %w", o.keys.head, err)
	}
	for cursor := uint64(0); ; {
		pairs, next, err := o.client().HScan(ctx, o.keys.state, cursor, "", scanCount).Result()
		if err != nil {
			return head, o.mend(ctx, err)
		}
		records, err := o.parseRecords(pairs)
		if err != nil {
			return head, err
		}
		if err := f(records); err != nil {
			return head, err
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	// Another state may have come into its place.
	switch now, err := o.client().HGet(ctx, o.keys.state, stateID).Result(); {
	case err != nil && !errors.Is(err, redis.Nil):
		return head, o.mend(ctx, err)
	case now != id:
		return head, errors.New("the cluster has got another state while this one was read")
	}
	return head, nil
}

func (o *OrderLog) parseRecords(pairs []string) ([]store.Record, error) {
	records := make([]store.Record, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == stateID {
			continue
		}
		var r store.Record
		err := json.Unmarshal([]byte(pairs[i+1]), &r)
		if err == nil && field(r.Key) != pairs[i] {
			err = fmt.Errorf("it holds %s", r.Key)
		}
		if err != nil {
			o.counts.unreadable.Add(1)
			return nil, fmt.Errorf("%s: %s does not parse: %w", o.keys.state, pairs[i], err)
		}
		records = append(records, r)
	}
	return records, nil
}

// seed is what is written beside.
type seed struct {
	log, state, past       string
	entries, records, sums int

	expect  *store.Head
	head    store.Head
	claimed time.Time
}

// write sends a part, and renews the claim.
func (o *OrderLog) write(ctx context.Context, s *seed, pipe redis.Pipeliner) error {
	if err := redispipe.Exec(ctx, pipe); err != nil || time.Since(s.claimed) < claimRenew {
		return err
	}
	s.claimed = time.Now()
	_, _, _, err := o.Claim(ctx, s.expect, s.head)
	return err
}

// Seed implements store.Order.
func (o *OrderLog) Seed(ctx context.Context, expect *store.Head, head store.Head, entries []store.Sealed, load func(yield func([]store.Record) error) error) (done bool, err error) {
	expected := []byte(nil)
	if expect != nil {
		if expected, err = json.Marshal(expect); err != nil {
			return false, err
		}
	}
	next, err := json.Marshal(head)
	if err != nil {
		return false, err
	}
	c, id := o.client(), newIncarnation()
	s := &seed{log: o.keys.seed + id + ":log", state: o.keys.seed + id + ":state", past: o.keys.seed + id + ":past", expect: expect, head: head, claimed: time.Now()}
	defer func() {
		if !done {
			// What is left where this fails has a life.
			_ = c.Del(context.WithoutCancel(ctx), s.log, s.state, s.past).Err()
		}
	}()
	if err := o.seedLog(ctx, s, entries); err != nil {
		return false, err
	}
	if err := o.seedState(ctx, s, id, load); err != nil {
		return false, err
	}
	n, err := seedScript.Run(ctx, c, append(o.keys.all(), s.log, s.state, s.past), expected, next, id, s.entries, s.records, s.sums).Int()
	switch {
	case err != nil:
		return false, o.mend(ctx, err)
	case n == orderLost:
		return false, errors.New("Redis has lost data while it was given this member's")
	case n == orderBehind:
		return false, nil
	}
	o.counts.seeds.Add(1)
	return true, nil
}

func (o *OrderLog) seedState(ctx context.Context, s *seed, id string, load func(yield func([]store.Record) error) error) error {
	var pairs []any
	size := 0
	flush := func() error {
		if len(pairs) == 0 {
			return nil
		}
		pipe := o.client().Pipeline()
		pipe.HSet(ctx, s.state, pairs...)
		pipe.Expire(ctx, s.state, seedLife)
		pairs, size = pairs[:0], 0
		return o.write(ctx, s, pipe)
	}
	add := func(name string, value []byte) error {
		pairs = append(pairs, name, value)
		s.records++
		if size += len(name) + len(value); size < maxChunkBytes && len(pairs) < 4*maxChunk {
			return nil
		}
		return flush()
	}
	if err := add(stateID, []byte(id)); err != nil {
		return err
	}
	err := load(func(records []store.Record) error {
		for i := range records {
			value, err := json.Marshal(records[i])
			if err == nil {
				err = add(field(records[i].Key), value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// seedLog writes the last entries that have a text, no more than orderBytes, and
// the sums of all.
func (o *OrderLog) seedLog(ctx context.Context, s *seed, entries []store.Sealed) error {
	size, from := 0, len(entries)
	for from > 0 && entries[from-1].Text != nil && len(entries)-from < orderEntries && size < orderBytes {
		from--
		size += len(entries[from].Text)
	}
	sum := 0
	for at := 0; at < len(entries); {
		pipe := o.client().Pipeline()
		for part := 0; at < len(entries) && part < maxChunkBytes && pipe.Len() < 4*maxChunk; at++ {
			e := &entries[at]
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: s.past, ID: entryID(e.Revision), Values: []any{orderChain, e.Chain.String()}})
			s.sums++
			if at < from {
				continue
			}
			part, sum = part+len(e.Text), sum+len(e.Text)
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: s.log, ID: entryID(e.Revision), Values: []any{
				orderChain, e.Chain.String(), orderText, e.Text, orderSum, strconv.Itoa(sum),
			}})
			s.entries++
		}
		pipe.Expire(ctx, s.log, seedLife)
		pipe.Expire(ctx, s.past, seedLife)
		if err := o.write(ctx, s, pipe); err != nil {
			return err
		}
	}
	return nil
}

// Claim implements store.Order.
func (o *OrderLog) Claim(ctx context.Context, expect *store.Head, mine store.Head) (others []store.Head, missing int, moved bool, err error) {
	me, joined := o.link.Incarnation(), o.link.joined()
	if joined.IsZero() {
		return nil, 0, false, errNotJoined
	}
	expected, holds := []byte(nil), 1
	if expect != nil {
		if expected, err = json.Marshal(expect); err != nil {
			return nil, 0, false, err
		}
		if !mine.Newer(*expect) {
			holds = 0
		}
	}
	text, err := json.Marshal(mine)
	if err != nil {
		return nil, 0, false, err
	}
	answer, err := claimScript.Run(ctx, o.client(), []string{o.keys.head, o.keys.claims}, expected, me, text, claimLife.Milliseconds(), holds).Result()
	if err != nil {
		return nil, 0, false, o.mend(ctx, err)
	}
	pairs, claimed := answer.([]any)
	if !claimed {
		return nil, 0, true, nil
	}
	said := make(map[string]bool)
	for i := 0; i+1 < len(pairs); i += 2 {
		id, _ := pairs[i].(string)
		text, _ := pairs[i+1].(string)
		said[id] = true
		var h store.Head
		switch {
		case id == me:
		case json.Unmarshal([]byte(text), &h) != nil:
			o.counts.unreadable.Add(1)
		default:
			others = append(others, h)
		}
	}
	list, _ := o.link.Members()
	for _, m := range list {
		if !said[m.Incarnation] && !m.Self && m.Store != nil {
			missing++
		}
	}
	if time.Since(joined) < o.link.opts.Lease/2 {
		missing++ // those whose heartbeat was not heard yet
	}
	return others, missing, false, nil
}

// Announce implements store.Order.
func (o *OrderLog) Announce() { o.link.Announce() }
