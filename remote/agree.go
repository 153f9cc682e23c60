package remote

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
)

// Agree returns what the cluster has under a name, which is mine where it has
// nothing. A Redis that has lost its data gets it back from the first member
// that asks, so that all keep what they agreed on.
func (l *Link) Agree(ctx context.Context, name, mine string) (string, error) {
	key := l.keys.shared(name)
	pipe := l.opts.Client.Pipeline()
	// A repeat meets what is there, as everybody does.
	set, got := pipe.SetNX(ctx, key, mine, 0), pipe.Get(ctx, key)
	_ = redispipe.Exec(ctx, pipe) // each answer is looked at
	if wrongType(got.Err()) {
		return "", l.mend(ctx, key, got.Err())
	}
	if err := errors.Join(set.Err(), got.Err()); err != nil {
		return "", err
	}
	return got.Val(), nil
}

// Policy is the maxmemory-policy of Redis; of several servers one that evicts,
// where one does. It is "" before Redis has said.
func (l *Link) Policy() string {
	if p := l.policy.Load(); p != nil {
		return *p
	}
	return ""
}

// PolicyKeep is the only maxmemory-policy with which Redis keeps what it has.
const PolicyKeep = "noeviction"

const (
	// policyEvery is how often Redis is asked: who changes it by hand looks at
	// the result.
	policyEvery = 10 * policyRetry
	policyRetry = maxBeatTimeout
)

// watchPolicy follows the maxmemory-policy, and says when it is one that evicts.
func (l *Link) watchPolicy() {
	for {
		next := policyEvery
		p, err := l.readPolicy()
		switch {
		case err != nil: // the heartbeat says what is wrong
			next = policyRetry
		case p != l.Policy():
			l.policy.Store(&p)
			if p != PolicyKeep {
				l.log.Warn(EvictionText(p))
			}
		}
		if !l.pause(next) {
			return
		}
	}
}

// EvictionText says what a maxmemory-policy that evicts means, and what to do.
func EvictionText(policy string) string {
	return "Redis has maxmemory-policy " + policy + ": when its memory is full it drops sessions, registrations and messages that were accepted. " +
		"Set it to noeviction, with CONFIG SET maxmemory-policy noeviction and in redis.conf, or give Sluice a Redis of its own"
}

func (l *Link) readPolicy() (string, error) {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	c, several := l.opts.Client.(*redis.ClusterClient)
	if !several {
		return policyOf(ctx, l.opts.Client)
	}
	found := make(chan string, 1)
	err := c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		p, err := policyOf(ctx, c)
		if err == nil && p != PolicyKeep {
			select {
			case found <- p:
			default: // one is enough
			}
		}
		return err
	})
	select {
	case p := <-found:
		return p, nil
	default:
		return PolicyKeep, err
	}
}

func policyOf(ctx context.Context, c redis.Cmdable) (string, error) {
	info, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return "", err
	}
	p := infoField(info, "maxmemory_policy")
	if p == "" {
		return "", errNoPolicy
	}
	return p, nil
}

var errNoPolicy = errors.New("Redis does not say its maxmemory-policy")

// infoField is a field of an answer to INFO, or "".
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
