package redismodel

import (
	"slices"
	"strconv"
)

func (c *call) list() ([]string, any) {
	v, bad := c.s.typed(c.args[1], kindList)
	if bad != nil || v == nil {
		return nil, bad
	}
	return v.list, nil
}

// push is RPUSH and LPUSH.
func push(c *call) any {
	v, bad := c.s.change(c.args[1], kindList)
	if bad != nil {
		return bad
	}
	added := slices.Clone(c.args[2:])
	if c.name() == "lpush" {
		slices.Reverse(added)
		v.list = append(added, v.list...)
	} else {
		v.list = slices.Concat(v.list, added)
	}
	return int64(len(v.list))
}

func llen(c *call) any {
	l, bad := c.list()
	return or(bad, int64(len(l)))
}

func lrange(c *call) any {
	from, err1 := strconv.Atoi(c.args[2])
	to, err2 := strconv.Atoi(c.args[3])
	if err1 != nil || err2 != nil {
		return notInteger
	}
	l, bad := c.list()
	if bad != nil {
		return bad
	}
	if from < 0 {
		from = max(from+len(l), 0)
	}
	if to < 0 {
		to += len(l)
	}
	to = min(to, len(l)-1)
	if from > to {
		return array{}
	}
	return list(l[from : to+1])
}

// pop is LPOP and RPOP of one.
func pop(c *call) any {
	l, bad := c.list()
	if bad != nil || len(l) == 0 {
		return bad
	}
	v, _ := c.s.change(c.args[1], kindList)
	var text string
	if c.name() == "lpop" {
		text, v.list = l[0], l[1:]
	} else {
		text, v.list = l[len(l)-1], l[:len(l)-1]
	}
	c.s.tidy(c.args[1])
	return text
}
