package redismodel

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

func (c *call) set() (map[string]struct{}, any) {
	v, bad := c.s.typed(c.args[1], kindSet)
	if bad != nil || v == nil {
		return nil, bad
	}
	return v.set, nil
}

func sadd(c *call) any {
	v, bad := c.s.change(c.args[1], kindSet)
	if bad != nil {
		return bad
	}
	before := len(v.set)
	for _, m := range c.args[2:] {
		v.set[m] = struct{}{}
	}
	return int64(len(v.set) - before)
}

func srem(c *call) any {
	s, bad := c.set()
	if bad != nil || s == nil {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	before := len(s)
	for _, m := range c.args[2:] {
		delete(s, m)
	}
	c.s.tidy(c.args[1])
	return int64(before - len(s))
}

func smembers(c *call) any {
	s, bad := c.set()
	return or(bad, set(list(slices.Sorted(maps.Keys(s)))))
}

func sismember(c *call) any {
	s, bad := c.set()
	_, there := s[c.args[2]]
	return or(bad, integer(there))
}

func scard(c *call) any {
	s, bad := c.set()
	return or(bad, int64(len(s)))
}

func sscan(c *call) any {
	cursor, count, bad := scanOptions(c.args[2:])
	if bad != nil {
		return bad
	}
	s, bad := c.set()
	if bad != nil {
		return bad
	}
	return scanned(slices.Sorted(maps.Keys(s)), cursor, count, func(m string) array { return array{m} })
}

func (c *call) zset() (map[string]float64, any) {
	v, bad := c.s.typed(c.args[1], kindZSet)
	if bad != nil || v == nil {
		return nil, bad
	}
	return v.zset, nil
}

// zadd has NX, XX, GT, LT and CH.
func zadd(c *call) any {
	var nx, xx, gt, lt, ch bool
	i := 2
options:
	for ; i < len(c.args); i++ {
		switch strings.ToUpper(c.args[i]) {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "GT":
			gt = true
		case "LT":
			lt = true
		case "CH":
			ch = true
		default:
			break options
		}
	}
	pairs := c.args[i:]
	if len(pairs) == 0 || len(pairs)%2 != 0 {
		return syntax
	}
	scores := make([]float64, len(pairs)/2)
	for i := range scores {
		f, err := strconv.ParseFloat(pairs[2*i], 64)
		if err != nil || math.IsNaN(f) {
			return notFloat
		}
		scores[i] = f
	}
	z, bad := c.zset()
	if bad != nil || z == nil && xx {
		return or(bad, int64(0))
	}
	v, _ := c.s.change(c.args[1], kindZSet)
	added, changed := int64(0), int64(0)
	for i, score := range scores {
		member := pairs[2*i+1]
		old, there := v.zset[member]
		switch {
		case there && (nx || gt && score <= old || lt && score >= old), !there && xx:
			continue
		case !there:
			added++
		case score != old:
			changed++
		}
		v.zset[member] = score
	}
	c.s.tidy(c.args[1])
	if ch {
		return added + changed
	}
	return added
}

func zscore(c *call) any {
	z, bad := c.zset()
	if score, there := z[c.args[2]]; there {
		return score
	}
	return bad
}

func zcard(c *call) any {
	z, bad := c.zset()
	return or(bad, int64(len(z)))
}

func zrem(c *call) any {
	z, bad := c.zset()
	if bad != nil || z == nil {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	before := len(z)
	for _, m := range c.args[2:] {
		delete(z, m)
	}
	c.s.tidy(c.args[1])
	return int64(before - len(z))
}

// limits reads the ends of a range of scores.
func limits(low, high string) (within func(float64) bool, bad any) {
	end := func(text string) (f float64, exclusive, ok bool) {
		text, exclusive = strings.CutPrefix(text, "(")
		f, err := strconv.ParseFloat(text, 64)
		return f, exclusive, err == nil && !math.IsNaN(f)
	}
	from, above, ok1 := end(low)
	to, below, ok2 := end(high)
	if !ok1 || !ok2 {
		return nil, failure("ERR min or max is not a float")
	}
	return func(f float64) bool { return (f > from || !above && f == from) && (f < to || !below && f == to) }, nil
}

// between are the members with such scores, in their order.
func (c *call) between() (members []string, bad any) {
	within, bad := limits(c.args[2], c.args[3])
	if bad != nil {
		return nil, bad
	}
	z, bad := c.zset()
	for m, score := range z {
		if within(score) {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b string) int { return cmp.Or(cmp.Compare(z[a], z[b]), cmp.Compare(a, b)) })
	return members, bad
}

// zrangebyscore has LIMIT.
func zrangebyscore(c *call) any {
	members, bad := c.between()
	if bad != nil {
		return bad
	}
	if options := c.args[4:]; len(options) > 0 {
		if len(options) != 3 || !strings.EqualFold(options[0], "LIMIT") {
			return syntax
		}
		offset, err1 := strconv.Atoi(options[1])
		n, err2 := strconv.Atoi(options[2])
		if err1 != nil || err2 != nil {
			return notInteger
		}
		members = members[min(max(offset, 0), len(members)):]
		if n >= 0 && n < len(members) {
			members = members[:n]
		}
	}
	return list(members)
}

func zcount(c *call) any {
	members, bad := c.between()
	return or(bad, int64(len(members)))
}

func zremrangebyscore(c *call) any {
	members, bad := c.between()
	if bad != nil || len(members) == 0 {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	for _, m := range members {
		delete(c.s.db[c.args[1]].zset, m)
	}
	c.s.tidy(c.args[1])
	return int64(len(members))
}
