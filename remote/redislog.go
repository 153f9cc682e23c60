package remote

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisLogInterval is the time between two lines of go-redis, which writes one
// for every connection that breaks or cannot be made. What it suppresses is
// counted in the next line.
const redisLogInterval = time.Second

// redisLogger hands the lines of go-redis on.
type redisLogger struct {
	log *slog.Logger

	mu         sync.Mutex
	next       time.Time
	suppressed int
}

// SetRedisLogger sends what go-redis logs to log. go-redis has one logger for
// the whole process.
func SetRedisLogger(log *slog.Logger) { redis.SetLogger(&redisLogger{log: log}) }

// Printf implements what redis.SetLogger wants.
func (l *redisLogger) Printf(_ context.Context, format string, args ...any) {
	now := time.Now()
	l.mu.Lock()
	if now.Before(l.next) {
		l.suppressed++
		l.mu.Unlock()
		return
	}
	l.next = now.Add(redisLogInterval)
	suppressed := l.suppressed
	l.suppressed = 0
	l.mu.Unlock()
	l.log.Warn("redis client", slog.String("text", fmt.Sprintf(format, args...)), slog.Int("suppressed", suppressed))
}
