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
