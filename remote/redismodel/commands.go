package redismodel

import (
	"fmt"
	"strconv"
	"strings"
)

// call is a command that runs. The server is locked.
type call struct {
	s    *Server
	conn *conn // nil: of a script
	args []string
}

// command is one that the model knows.
type command struct {
	arity int // the exact number of arguments with the name, or below 0 the least
	write bool
	run   func(*call) any
}

const (
	syntax     = failure("ERR syntax error")
	notInteger = failure("ERR value is not an integer or out of range")
	notFloat   = failure("ERR value is not a valid float")
	noKey      = failure("ERR no such key")
	badExpire  = "ERR invalid expire time in '%s' command"
)

// commands by their names in lower case. What a connection does by itself, such
// as MULTI, is in conn.go.
var commands map[string]command

func init() {
	commands = map[string]command{
		"get": {2, false, get}, "set": {-3, true, setCommand}, "setnx": {3, true, setnx}, "getdel": {2, true, getdel}, "getset": {3, true, getset},
		"setex": {4, true, setex}, "psetex": {4, true, setex},
		"mget": {-2, false, mget}, "mset": {-3, true, mset}, "incr": {2, true, incr}, "incrby": {3, true, incr}, "decr": {2, true, incr}, "strlen": {2, false, strlen},
		"del": {-2, true, del}, "unlink": {-2, true, del}, "exists": {-2, false, exists}, "type": {2, false, typeOf}, "rename": {3, true, rename},
		"expire": {-3, true, expire}, "pexpire": {-3, true, expire}, "pexpireat": {-3, true, expire}, "expireat": {-3, true, expire},
		"pttl": {2, false, ttl}, "ttl": {2, false, ttl}, "persist": {2, true, persist},
		"keys": {2, false, keysLike}, "scan": {-2, false, scanKeys}, "dbsize": {1, false, dbsize}, "flushall": {-1, true, flushall}, "flushdb": {-1, true, flushall},
		"hget": {3, false, hget}, "hmget": {-3, false, hmget}, "hgetall": {2, false, hgetall}, "hvals": {2, false, hvals}, "hkeys": {2, false, hkeys},
		"hlen": {2, false, hlen}, "hexists": {3, false, hexists}, "hset": {-4, true, hset}, "hsetnx": {4, true, hsetnx}, "hdel": {-3, true, hdel},
		"hincrby": {4, true, hincrby}, "hscan": {-3, false, hscan},
		"sadd": {-3, true, sadd}, "srem": {-3, true, srem}, "smembers": {2, false, smembers}, "sismember": {3, false, sismember}, "scard": {2, false, scard}, "sscan": {-3, false, sscan},
		"zadd": {-4, true, zadd}, "zscore": {3, false, zscore}, "zcard": {2, false, zcard}, "zrem": {-3, true, zrem},
		"zrangebyscore": {-4, false, zrangebyscore}, "zremrangebyscore": {4, true, zremrangebyscore}, "zcount": {4, false, zcount},
		"xadd": {-5, true, xadd}, "xlen": {2, false, xlen}, "xtrim": {-4, true, xtrim}, "xdel": {-3, true, xdel}, "xrange": {-4, false, xrange}, "xrevrange": {-4, false, xrevrange}, "xread": {-4, false, xread},
		"xsetid": {-3, true, xsetid},
		"rpush":  {-3, true, push}, "lpush": {-3, true, push}, "llen": {2, false, llen}, "lrange": {4, false, lrange}, "lpop": {2, true, pop}, "rpop": {2, true, pop},
		"eval": {-3, false, eval}, "evalsha": {-3, false, eval}, "script": {-2, false, script},
		"time": {1, false, clockTime}, "info": {-1, false, info}, "config": {-2, false, config}, "ping": {-1, false, ping}, "echo": {2, false, echo}, "client": {-2, false, client},
	}
}

// run answers a command; the server is locked.
func (s *Server) run(c *conn, args []string) any {
	name := strings.ToLower(args[0])
	cmd, known := commands[name]
	if !known {
		return failure(fmt.Sprintf("ERR unknown command '%.128s', with args beginning with: %s", args[0], beginning(args[1:])))
	}
	call := &call{s, c, args}
	if cmd.arity > 0 && len(args) != cmd.arity || len(args) < -cmd.arity {
		return call.arity()
	}
	if refusal := s.refusal(name, cmd.write); refusal != "" {
		return failure(refusal)
	}
	return cmd.run(call)
}

func beginning(args []string) string {
	var b strings.Builder
	for _, a := range args[:min(len(args), 20)] {
		fmt.Fprintf(&b, "'%.128s' ", a)
	}
	return b.String()
}

func (c *call) name() string { return strings.ToLower(c.args[0]) }

func (c *call) arity() any {
	return failure("ERR wrong number of arguments for '" + c.name() + "' command")
}

// or is the error, where there is one, or the answer.
func or(bad, answer any) any {
	if bad != nil {
		return bad
	}
	return answer
}

func parseInt(text string) (int64, any) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, notInteger
	}
	return n, nil
}

func list(names []string) array {
	out := make(array, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// scanOptions reads the cursor and COUNT; MATCH is not known.
func scanOptions(args []string) (cursor uint64, count int, bad any) {
	cursor, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return 0, 0, failure("ERR invalid cursor")
	}
	count = 10
	for i := 1; i < len(args); i += 2 {
		if i+1 >= len(args) || !strings.EqualFold(args[i], "COUNT") {
			return 0, 0, syntax
		}
		if count, err = strconv.Atoi(args[i+1]); err != nil {
			return 0, 0, notInteger
		}
		if count < 1 {
			return 0, 0, syntax
		}
	}
	return cursor, count, nil
}

// smallCollection is up to how many members Redis answers a scan whole.
const smallCollection = 128

func scanned(names []string, cursor uint64, count int, each func(string) array) any {
	if len(names) <= smallCollection {
		count = len(names)
	}
	part, next := scan(names, cursor, count)
	out := array{}
	for _, n := range part {
		out = append(out, each(n)...)
	}
	return array{strconv.FormatUint(next, 10), out}
}
