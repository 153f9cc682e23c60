package remote

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

// Claim is what is known of the id that a caller gave a message.
type Claim int

const (
	// ClaimNew: no member has accepted a message with this id.
	ClaimNew Claim = iota
	// ClaimUnknown: Redis cannot say. It counts as new.
	ClaimUnknown
	// ClaimWaiting: another member has accepted it and has not said that Redis
	// has it. It may have died with it.
	ClaimWaiting
	// ClaimSent: Redis has it for every member that was to get it.
	ClaimSent
)

// maxIDs bounds the callers' ids that one message carries: an equal message
// beyond it waits for itself. 16 ids have 2 KiB at most.
const maxIDs = 16

const (
	// claimTimeout bounds what a claim adds to a message.
	claimTimeout = 500 * time.Millisecond
	// claimSent is the value of a claim whose message Redis has. Until then it is
	// that of the request that made it, which begins with its incarnation.
	claimSent = "sent"
)

// Claim takes an id for the window, or tells what has become of it. A claim is
// of one request: the client library sends a command again when its connection
// breaks, and then meets its own.
func (l *Link) Claim(ctx context.Context, id string, window time.Duration) Claim {
	if !l.healthy() {
		return ClaimUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	mine, key := l.Incarnation()+":"+newIncarnation(), l.keys.message(id)
	made, err := l.opts.Client.SetNX(ctx, key, mine, window).Result()
	switch {
	case err != nil:
		return ClaimUnknown
	case made:
		return ClaimNew
	}
	value, err := l.opts.Client.Get(ctx, key).Result()
	switch {
	case err != nil: // it may have expired meanwhile, or hold something else
		if wrongType(err) {
			l.unreadable("claim")
		}
		return ClaimNew
	case value == mine:
		return ClaimNew
	case value == claimSent:
		return ClaimSent
	case !validClaim(value):
		l.unreadable("claim")
		return ClaimNew
	}
	return ClaimWaiting
}

// validClaim reports whether a member has written a claim that waits.
func validClaim(value string) bool {
	incarnation, nonce, _ := strings.Cut(value, ":")
	return len(incarnation) == incarnationLen && len(nonce) == incarnationLen
}

// settle tells the claims of messages that Redis has. It is tried once: while a
// claim waits, a member that is sent its id again carries the message as well,
// and the receivers know it by the id.
func (l *Link) settle(messages []Message) {
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	pipe := l.opts.Client.Pipeline()
	for i := range messages {
		for _, id := range messages[i].IDs {
			pipe.SetArgs(ctx, l.keys.message(id), claimSent, redis.SetArgs{Mode: "XX", KeepTTL: true})
		}
	}
	if pipe.Len() == 0 {
		return
	}
	// An id whose window is over, or that was accepted without Redis, has no claim.
	if err := redispipe.Exec(ctx, pipe); err != nil && !errors.Is(err, redis.Nil) {
		l.once("settle", "ids of messages that were sent still count as waiting: one that is sent again is carried again, and delivered once", slog.Any(keyError, err))
	}
}
