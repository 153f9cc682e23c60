package redismodel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// outcome is an answer without what two servers cannot have in common: of an
// error its code.
func outcome(v any, err error) string {
	if err != nil && err != redis.Nil {
		code, _, _ := strings.Cut(err.Error(), " ")
		return "-" + code
	}
	return fmt.Sprintf("%q", v)
}

// coarse is to what times to live are compared: the two servers are asked one
// after the other.
const coarse = time.Minute

// held tells what a key holds.
func held(ctx context.Context, c redis.UniversalClient, key string) string {
	var parts []string
	kind := c.Type(ctx, key).Val()
	switch kind {
	case "hash":
		for f, v := range c.HGetAll(ctx, key).Val() {
			parts = append(parts, fmt.Sprintf("%q=%q", f, v))
		}
		slices.Sort(parts)
	case "stream":
		for _, e := range c.XRange(ctx, key, "-", "+").Val() {
			parts = append(parts, fmt.Sprintf("%s %q", e.ID, e.Values))
		}
	case "zset":
		for _, m := range c.ZRangeByScore(ctx, key, &redis.ZRangeBy{Min: "-inf", Max: "+inf"}).Val() {
			left := time.Until(time.UnixMilli(int64(c.ZScore(ctx, key, m).Val())))
			parts = append(parts, fmt.Sprintf("%q %v", m, left.Round(coarse)))
		}
	case "string":
		parts = append(parts, c.Get(ctx, key).Val())
	}
	if left := c.PTTL(ctx, key).Val(); left > 0 {
		parts = append(parts, fmt.Sprintf("for %v", left.Round(coarse)))
	}
	return kind + " " + strings.Join(parts, ", ")
}
