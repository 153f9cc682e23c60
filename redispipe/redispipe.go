// Package redispipe sends pipelines to Redis so that each command of one tells
// what became of it.
package redispipe

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Exec sends what is in the pipeline, and returns the first error. Afterwards
// every command has its answer or an error: where the connection's set-up is
// refused by a reply (a wrong password, a database out of range), go-redis
// leaves the commands without either, and their zero values look like answers.
// redis.Nil of a single command is an error of that command, and of Exec when
// it is the first.
func Exec(ctx context.Context, p redis.Pipeliner) error {
	cmds, err := p.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, c := range cmds {
		if c.Err() != nil {
			return err
		}
	}
	// Of a reply to one of them a command would have it.
	for _, c := range cmds {
		c.SetErr(err)
	}
	return err
}

// ErrShort is the error of an answer that has fewer elements than were asked
// for.
var ErrShort = errors.New("the answer of Redis is shorter than what was asked for")

// Len returns ErrShort where an answer to name has not exactly want elements.
func Len(name string, got, want int) error {
	if got != want {
		return fmt.Errorf("%w: %s answered %d of %d", ErrShort, name, got, want)
	}
	return nil
}

// Split reports whether keys may be on different servers, which no command can
// ask at once.
func Split(c redis.UniversalClient) bool {
	_, cluster := c.(*redis.ClusterClient)
	return cluster
}

// AllExist asks with one command whether all keys are there. It answers false
// where one is not, and where one command cannot tell: of a Redis Cluster, and of
// a user that may not ask so.
func AllExist(ctx context.Context, c redis.UniversalClient, keys []string) (bool, error) {
	if Split(c) {
		return false, nil
	}
	n, err := c.Exists(ctx, keys...).Result()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return false, nil
	}
	return n == int64(len(keys)), err
}
