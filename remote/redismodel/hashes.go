package redismodel

import (
	"maps"
	"slices"
	"strconv"
)

// hash returns a hash to be read, which may be empty.
func (c *call) hash() (map[string]string, any) {
	v, bad := c.s.typed(c.args[1], kindHash)
	if bad != nil || v == nil {
		return nil, bad
	}
	return v.hash, nil
}

func hget(c *call) any {
	h, bad := c.hash()
	if text, there := h[c.args[2]]; there {
		return text
	}
	return bad
}

func hmget(c *call) any {
	h, bad := c.hash()
	if bad != nil {
		return bad
	}
	out := make(array, len(c.args)-2)
	for i, f := range c.args[2:] {
		if text, there := h[f]; there {
			out[i] = text
		}
	}
	return out
}

func hgetall(c *call) any {
	h, bad := c.hash()
	out := mapping{}
	for _, f := range slices.Sorted(maps.Keys(h)) {
		out = append(out, f, h[f])
	}
	return or(bad, out)
}

func hvals(c *call) any {
	h, bad := c.hash()
	out := array{}
	for _, f := range slices.Sorted(maps.Keys(h)) {
		out = append(out, h[f])
	}
	return or(bad, out)
}

func hkeys(c *call) any {
	h, bad := c.hash()
	return or(bad, list(slices.Sorted(maps.Keys(h))))
}

func hlen(c *call) any {
	h, bad := c.hash()
	return or(bad, int64(len(h)))
}

func hexists(c *call) any {
	h, bad := c.hash()
	_, there := h[c.args[2]]
	return or(bad, integer(there))
}

func hset(c *call) any {
	if len(c.args)%2 != 0 {
		return c.arity()
	}
	v, bad := c.s.change(c.args[1], kindHash)
	if bad != nil {
		return bad
	}
	before := len(v.hash)
	for i := 2; i < len(c.args); i += 2 {
		v.hash[c.args[i]] = c.args[i+1]
	}
	return int64(len(v.hash) - before)
}

func hsetnx(c *call) any {
	h, bad := c.hash()
	if bad != nil {
		return bad
	}
	if _, there := h[c.args[2]]; there {
		return int64(0)
	}
	v, _ := c.s.change(c.args[1], kindHash)
	v.hash[c.args[2]] = c.args[3]
	return int64(1)
}

func hdel(c *call) any {
	h, bad := c.hash()
	if bad != nil || h == nil {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	before := len(h)
	for _, f := range c.args[2:] {
		delete(h, f)
	}
	c.s.tidy(c.args[1])
	return int64(before - len(h))
}

func hincrby(c *call) any {
	by, bad := parseInt(c.args[3])
	if bad != nil {
		return bad
	}
	h, bad := c.hash()
	if bad != nil {
		return bad
	}
	n := int64(0)
	if text, there := h[c.args[2]]; there {
		if n, bad = parseInt(text); bad != nil {
			return failure("ERR hash value is not an integer")
		}
	}
	v, _ := c.s.change(c.args[1], kindHash)
	v.hash[c.args[2]] = strconv.FormatInt(n+by, 10)
	return n + by
}

func hscan(c *call) any {
	cursor, count, bad := scanOptions(c.args[2:])
	if bad != nil {
		return bad
	}
	h, bad := c.hash()
	if bad != nil {
		return bad
	}
	return scanned(slices.Sorted(maps.Keys(h)), cursor, count, func(f string) array { return array{f, h[f]} })
}
