package redismodel

import (
	"fmt"
	"path"
	"strings"
)

func del(c *call) any {
	n := int64(0)
	for _, key := range c.args[1:] {
		if c.s.look(key) != nil && c.s.remove(key) {
			n++
		}
	}
	return n
}

func exists(c *call) any {
	n := int64(0)
	for _, key := range c.args[1:] {
		if c.s.look(key) != nil {
			n++
		}
	}
	return n
}

func typeOf(c *call) any {
	if v := c.s.look(c.args[1]); v != nil {
		return status(kindNames[v.kind])
	}
	return status("none")
}

func rename(c *call) any {
	v := c.s.look(c.args[1])
	if v == nil {
		return noKey
	}
	c.s.remove(c.args[1])
	c.s.put(c.args[2], v)
	c.s.wakeReaders()
	return okay
}

// expire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT, with NX, XX, GT or LT.
func expire(c *call) any {
	n, bad := parseInt(c.args[2])
	if bad != nil {
		return bad
	}
	if c.name() == "expire" || c.name() == "expireat" {
		n *= 1000
	}
	if !strings.HasSuffix(c.name(), "at") {
		n += c.s.millis()
	}
	v := c.s.look(c.args[1])
	if v == nil {
		return int64(0)
	}
	for _, option := range c.args[3:] {
		refuse := false
		switch strings.ToUpper(option) {
		case "NX":
			refuse = v.expires != 0
		case "XX":
			refuse = v.expires == 0
		case "GT":
			refuse = v.expires == 0 || n <= v.expires
		case "LT":
			refuse = v.expires != 0 && n >= v.expires
		default:
			return failure("ERR Unsupported option " + option)
		}
		if refuse {
			return int64(0)
		}
	}
	if n <= c.s.millis() {
		c.s.remove(c.args[1])
		return int64(1)
	}
	c.s.remember(c.args[1])
	v.expires = n
	return int64(1)
}

// ttl is TTL and PTTL.
func ttl(c *call) any {
	v := c.s.look(c.args[1])
	switch {
	case v == nil:
		return int64(-2)
	case v.expires == 0:
		return int64(-1)
	}
	left := v.expires - c.s.millis()
	if c.name() == "ttl" {
		return (left + 500) / 1000
	}
	return left
}

func persist(c *call) any {
	v := c.s.look(c.args[1])
	if v == nil || v.expires == 0 {
		return int64(0)
	}
	c.s.remember(c.args[1])
	v.expires = 0
	return int64(1)
}

// keysLike is KEYS with the patterns that Go's path.Match has too; none of the
// names has a slash.
func keysLike(c *call) any {
	out := array{}
	for _, key := range c.s.sorted() {
		matched, err := path.Match(c.args[1], key)
		if err != nil {
			return failure("ERR " + fmt.Sprint(err))
		}
		if matched {
			out = append(out, key)
		}
	}
	return out
}

func scanKeys(c *call) any {
	cursor, count, bad := scanOptions(c.args[1:])
	if bad != nil {
		return bad
	}
	part, next := scan(c.s.sorted(), cursor, count)
	return array{fmt.Sprint(next), list(part)}
}

func dbsize(c *call) any { return int64(len(c.s.sorted())) }

func flushall(c *call) any {
	for key := range c.s.db {
		c.s.remove(key)
	}
	return okay
}
