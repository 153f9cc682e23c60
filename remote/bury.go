package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/shared"
)

// slotTTL lets what a broken member has left go by itself.
const slotTTL = 30 * time.Second

// parseUser reads Registration.field.
func parseUser(field string) (r shared.Registration, ok bool) {
	c, u, _ := strings.Cut(field, ":")
	context, err1 := strconv.ParseUint(c, 10, 31)
	user, err2 := strconv.ParseUint(u, 10, 31)
	return shared.Registration{Context: uint32(context), User: uint32(user)}, err1 == nil && err2 == nil
}

// reap removes what a dead member has left; one survivor does it.
func (l *Link) reap(ctx context.Context, incarnation, name string) {
	mine, err := l.opts.Client.SetNX(ctx, l.keys.shared("reap:"+incarnation), l.Incarnation(), slotTTL).Result()
	if err != nil || !mine {
		return
	}
	l.work.Go(func() {
		start := time.Now()
		if err := l.bury(l.ctx, incarnation); err != nil {
			l.log.Warn("the registrations of a dead member are not removed yet", slog.String(keyIncarnation, incarnation), slog.Any(keyError, err))
			return
		}
		l.counts.reaped.Add(1)
		l.log.Info("member is dead: its registrations are removed", slog.String(keyMember, name), slog.String(keyIncarnation, incarnation), slog.Duration(keyDuration, time.Since(start)))
	})
}

// bury removes a member with its registrations, exactly those.
func (l *Link) bury(ctx context.Context, incarnation string) error {
	if err := l.clear(ctx, incarnation); err != nil {
		return err
	}
	pipe := l.opts.Client.Pipeline()
	pipe.SRem(ctx, l.keys.members(), incarnation)
	pipe.Del(ctx, l.keys.record(incarnation), l.keys.lease(incarnation))
	return redispipe.Exec(ctx, pipe)
}

// clear removes the registrations of a member.
func (l *Link) clear(ctx context.Context, incarnation string) error {
	for n := range buckets {
		key := []string{l.keys.bucket(n)}
		var fields []shared.Registration
		purge := func() error {
			err := l.runInBuckets(ctx, purgeScript, fields, func(r *shared.Registration) []any { return []any{fieldOf(r), incarnation} },
				func(_ int, c *redis.Cmd) error { return c.Err() })
			fields = fields[:0]
			return err
		}
		if err := l.scan(ctx, n, func(_ string, list []entry) error {
			if !slices.ContainsFunc(list, func(e entry) bool { return e.holder == incarnation }) {
				return nil
			}
			if fields = append(fields, list[0].Registration); len(fields) < passBatch {
				return nil
			}
			return purge()
		}); err != nil {
			return err
		}
		if len(fields) > 0 {
			if err := purge(); err != nil {
				return err
			}
		}
		if err := l.opts.Client.HDel(ctx, key[0], counter(incarnation)).Err(); err != nil {
			return err
		}
	}
	return nil
}

// leave takes this member out of the cluster. What it leaves, for as long as the
// others may ask, says that it lacks nothing more.
func (l *Link) leave(ctx context.Context) error {
	me := l.Incarnation()
	if err := l.clear(ctx, me); err != nil {
		return err
	}
	text, err := json.Marshal(record{Member: l.describe(), Beat: l.beats.number + 1, Acks: l.in.acks(l.view.Load()), Last: l.outbox.last(), Left: true})
	if err != nil {
		return err
	}
	pipe := l.opts.Client.Pipeline()
	pipe.Set(ctx, l.keys.record(me), text, l.opts.Lease+l.opts.Keep)
	pipe.SRem(ctx, l.keys.members(), me)
	pipe.Del(ctx, l.keys.lease(me))
	return redispipe.Exec(ctx, pipe)
}
