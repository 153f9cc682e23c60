package redissessions

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/websockets"
)

// keyOf is where the session with a digest is.
func (s *Store) keyOf(digest string) string {
	return "sluice:{" + s.opts.Cluster + ":s2:" + base64.RawURLEncoding.EncodeToString([]byte(digest)) + "}"
}

// OfUser implements websockets.UserSessions. The ids of the sessions are in no
// document, so that none has one.
func (s *Store) OfUser(ctx context.Context, context, user uint32) ([]*websockets.Session, error) {
	digests, err := s.opts.Client.ZRange(ctx, s.owner(context, user), 0, websockets.MaxUserSessions-1).Result()
	if err != nil {
		return nil, failed("list", err)
	}
	pipe := s.opts.Client.Pipeline()
	texts, lefts := make([]*redis.StringCmd, len(digests)), make([]*redis.DurationCmd, len(digests))
	for i, d := range digests {
		texts[i], lefts[i] = pipe.Get(ctx, s.keyOf(d)), pipe.PTTL(ctx, s.keyOf(d))
	}
	if len(digests) > 0 {
		_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	}
	var list []*websockets.Session
	for i, d := range digests {
		switch err := texts[i].Err(); {
		case errors.Is(err, redis.Nil): // it has ended, and its place is there for a while
			continue
		case err != nil:
			return nil, failed("list", err)
		}
		ses, err := s.decode("", texts[i].Val())
		if err != nil {
			return nil, err
		}
		ses.IDHash = hashOf(d)
		if left := lefts[i].Val(); left > 0 {
			ses.Expires = time.Now().Add(left)
		}
		list = append(list, ses)
	}
	slices.SortFunc(list, func(a, b *websockets.Session) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// hashOf is the websockets.SessionHash that begins a digest.
func hashOf(digest string) string {
	return hex.EncodeToString([]byte(digest))[:len(websockets.SessionHash(""))]
}

// EndOfUser implements websockets.UserSessionEnder.
func (s *Store) EndOfUser(ctx context.Context, context, user uint32, hash string) (ended int, err error) {
	owner := s.owner(context, user)
	digests, err := s.opts.Client.ZRange(ctx, owner, 0, -1).Result()
	if err != nil {
		return 0, failed("list", err)
	}
	for _, d := range digests {
		if hash != "" && !strings.EqualFold(hashOf(d), hash) {
			continue
		}
		n, err := s.opts.Client.Del(ctx, s.keyOf(d)).Result()
		if err != nil {
			return ended, failed("delete", err)
		}
		// The place is the user's own whatever becomes of this.
		if err := s.opts.Client.ZRem(ctx, owner, d).Err(); err != nil {
			s.opts.Logger.Warn("place of a deleted session is kept until its time is over", slog.Int("context", int(context)), slog.Int("user", int(user)), slog.Any("err", err))
		}
		if n > 0 {
			ended++
			s.opts.Removed(&websockets.Session{Context: context, User: user, IDHash: hashOf(d)})
		}
	}
	return ended, nil
}
