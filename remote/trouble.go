package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// What of the link may be in trouble, in the order in which it is told.
const (
	troubleBeat = iota
	troubleSend
	troubleRead
	troubleRegistry
	troubleCount
)

var troubleNames = [troubleCount]string{"the heartbeat fails", "messages for other members wait", "messages of other members wait", "the registry of sockets is not complete"}

// troubles are the last errors of what goes on all the time.
type troubles struct {
	mu   sync.Mutex
	errs [troubleCount]error
}

func (t *troubles) set(what int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs[what] = err
}

func (t *troubles) clear(what int) { t.set(what, nil) }

// first is the first that is there.
func (t *troubles) first() (what int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, err := range t.errs {
		if err != nil {
			return i, err
		}
	}
	return 0, nil
}

// Problem tells what is wrong with the link, what Redis said and which property
// to look at; "" where nothing is.
func (l *Link) Problem() string {
	what, err := l.troubles.first()
	switch {
	case err != nil:
		return fmt.Sprintf("%s: %s", troubleNames[what], Advise(err))
	case !l.healthy():
		return "this member has not reached Redis yet: look at " + redisPrefix + "hosts"
	}
	for _, c := range l.Canaries() {
		if c.Late {
			return fmt.Sprintf("nothing has come from member %.100s for %d s, although it is alive: its log, or this member's reading, does not work", c.From, int(c.Age.Seconds()))
		}
	}
	return ""
}

// advices are what replies of Redis begin with, and what to look at.
var advices = []struct{ prefix, look string }{
	{"WRONGPASS", "username and .password"},
	{"NOAUTH", "username and .password"},
	{"ERR AUTH", "username and .password"},
	{"ERR invalid password", "username and .password"},
	{"NOPERM", "username: the ACL of this user lacks a command or a key that docs/cluster.md lists"},
	{"ERR DB index", "database: the Redis has fewer"},
	{"ERR invalid DB", "database"},
	{"ERR SELECT is not allowed", "database and .mode: a cluster has only database 0"},
	{"ERR max number of clients", "connection.pool.maxTotal, and at maxclients of the Redis"},
	{"READONLY", "hosts and .mode: this Redis is a replica"},
	{"OOM", "hosts: this Redis has no memory left (maxmemory)"},
	{"MISCONF", "hosts: this Redis cannot write its data to its disk"},
	{"LOADING", "hosts: this Redis reads its data from its disk; it goes on by itself"},
	{"MOVED", "mode: this Redis is a cluster"},
	{"CROSSSLOT", "mode: this Redis is a cluster"},
	{"CLUSTERDOWN", "hosts: the cluster has slots that no master serves"},
	{"DENIED", "hosts: this Redis is in its protected mode"},
}

// Advise is the text of an error of Redis, with the property to look at. What
// Redis says is bounded.
func Advise(err error) string {
	text := fmt.Sprintf("%.300s", err)
	var reply redis.Error
	var before *saidError
	said := ""
	switch {
	case errors.As(err, &reply):
		said = reply.Error()
	case errors.As(err, &before):
		said = before.said
	}
	if said != "" {
		for _, a := range advices {
			if strings.HasPrefix(said, a.prefix) {
				return fmt.Sprintf("Redis says %q: look at %s%s", text, redisPrefix, a.look)
			}
		}
		return fmt.Sprintf("Redis says %q", text)
	}
	var dial *net.OpError
	switch {
	case strings.Contains(text, "tls:"), strings.Contains(text, "x509:"):
		return text + ": look at " + redisPrefix + "ssl and .verifyPeer"
	case errors.As(err, &dial) && dial.Op == "dial":
		return text + ": look at " + redisPrefix + "hosts"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return "Redis, or what is in front of it, closes the connection (" + text + "): look at its log, at its maxclients, and at " + redisPrefix + "hosts"
	}
	return "Redis does not answer (" + text + "): look at it, at the way to it, and at " + redisPrefix + "hosts"
}
