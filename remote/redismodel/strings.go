package redismodel

import (
	"fmt"
	"strconv"
	"strings"
)

func get(c *call) any {
	v, bad := c.s.typed(c.args[1], kindString)
	if bad != nil || v == nil {
		return bad
	}
	return v.text
}

func mget(c *call) any {
	out := make(array, len(c.args)-1)
	for i, key := range c.args[1:] {
		if v := c.s.look(key); v != nil && v.kind == kindString {
			out[i] = v.text
		}
	}
	return out
}

func mset(c *call) any {
	if len(c.args)%2 == 0 {
		return c.arity()
	}
	for i := 1; i < len(c.args); i += 2 {
		c.s.put(c.args[i], &value{kind: kindString, text: c.args[i+1]})
	}
	return okay
}

// setCommand is SET with EX, PX, PXAT, NX, XX, KEEPTTL and GET.
func setCommand(c *call) any {
	var nx, xx, keep, want bool
	expires := int64(0)
	for i := 3; i < len(c.args); i++ {
		switch option := strings.ToUpper(c.args[i]); option {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "KEEPTTL":
			keep = true
		case "GET":
			want = true
		case "EX", "PX", "PXAT":
			i++
			if i >= len(c.args) || expires != 0 {
				return syntax
			}
			n, bad := parseInt(c.args[i])
			if bad != nil {
				return bad
			}
			if n <= 0 {
				return failure(fmt.Sprintf(badExpire, "set"))
			}
			switch option {
			case "EX":
				expires = c.s.millis() + n*1000
			case "PX":
				expires = c.s.millis() + n
			default:
				expires = n
			}
		default:
			return syntax
		}
	}
	if nx && xx || keep && expires != 0 {
		return syntax
	}
	key := c.args[1]
	old := c.s.look(key)
	var answer any = okay
	if want {
		answer = nil
		if old != nil {
			if old.kind != kindString {
				return wrongType
			}
			answer = old.text
		}
	}
	if nx && old != nil || xx && old == nil {
		if want {
			return answer
		}
		return nil
	}
	if keep && old != nil {
		expires = old.expires
	}
	c.s.put(key, &value{kind: kindString, text: c.args[2], expires: expires})
	return answer
}

func setnx(c *call) any {
	if c.s.look(c.args[1]) != nil {
		return int64(0)
	}
	c.s.put(c.args[1], &value{kind: kindString, text: c.args[2]})
	return int64(1)
}

func setex(c *call) any {
	n, bad := parseInt(c.args[2])
	if bad != nil {
		return bad
	}
	if n <= 0 {
		return failure(fmt.Sprintf(badExpire, c.name()))
	}
	if c.name() == "setex" {
		n *= 1000
	}
	c.s.put(c.args[1], &value{kind: kindString, text: c.args[3], expires: c.s.millis() + n})
	return okay
}

func getdel(c *call) any {
	answer := get(c)
	if _, text := answer.(string); text {
		c.s.remove(c.args[1])
	}
	return answer
}

func getset(c *call) any {
	answer := get(c)
	if _, bad := answer.(failure); !bad {
		c.s.put(c.args[1], &value{kind: kindString, text: c.args[2]})
	}
	return answer
}

func strlen(c *call) any {
	v, bad := c.s.typed(c.args[1], kindString)
	if bad != nil || v == nil {
		return or(bad, int64(0))
	}
	return int64(len(v.text))
}

// incr is INCR, INCRBY and DECR.
func incr(c *call) any {
	by := int64(1)
	switch c.name() {
	case "decr":
		by = -1
	case "incrby":
		n, bad := parseInt(c.args[2])
		if bad != nil {
			return bad
		}
		by = n
	}
	v, bad := c.s.typed(c.args[1], kindString)
	if bad != nil {
		return bad
	}
	next := value{kind: kindString, text: "0"}
	if v != nil {
		next = *v
	}
	n, bad := parseInt(next.text)
	if bad != nil {
		return bad
	}
	next.text = strconv.FormatInt(n+by, 10)
	c.s.put(c.args[1], &next)
	return n + by
}
