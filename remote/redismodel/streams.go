package redismodel

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// entryID orders the entries of a stream.
type entryID struct{ ms, seq uint64 }

func (i entryID) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

func (i entryID) compare(o entryID) int {
	return cmp.Or(cmp.Compare(i.ms, o.ms), cmp.Compare(i.seq, o.seq))
}

func (i entryID) next() entryID {
	if i.seq == math.MaxUint64 {
		return entryID{i.ms + 1, 0}
	}
	return entryID{i.ms, i.seq + 1}
}

// entry is not changed once it is in a stream.
type entry struct {
	id     entryID
	fields []string
}

func (e *entry) answer() array {
	fields := make(array, len(e.fields))
	for i, f := range e.fields {
		fields[i] = f
	}
	return array{e.id.String(), fields}
}

// stream is append-only but at its ends, so that a copy may share its entries.
type stream struct {
	entries []entry
	last    entryID
	added   int64
}

const badID = failure("ERR Invalid stream ID specified as stream command argument")

// parseID reads an id; seq stands for a sequence that is left out.
func parseID(text string, seq uint64) (id entryID, ok bool) {
	ms, rest, whole := strings.Cut(text, "-")
	var err error
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err != nil {
		return id, false
	}
	id.seq = seq
	if whole {
		id.seq, err = strconv.ParseUint(rest, 10, 64)
	}
	return id, err == nil
}

// search is the place of the first entry from id on.
func (s *stream) search(id entryID) int {
	at, _ := slices.BinarySearchFunc(s.entries, id, func(e entry, id entryID) int { return e.id.compare(id) })
	return at
}

// after are at most n entries above id, or all for n 0.
func (s *stream) after(id entryID, n int) []entry {
	list := s.entries[s.search(id.next()):]
	if n > 0 && len(list) > n {
		list = list[:n]
	}
	return list
}

func entriesAnswer(list []entry) array {
	out := make(array, len(list))
	for i := range list {
		out[i] = list[i].answer()
	}
	return out
}

// trim is what XADD and XTRIM cut a stream to.
type trim struct {
	maxLen int // below 0: not
	minID  *entryID
	about  bool
}

// nodeEntries is how many entries Redis keeps in one node of a stream, which is
// what an approximate trim removes as a whole.
const nodeEntries = 100

func (s *stream) cut(t trim) (n int) {
	if t.maxLen >= 0 {
		n = max(len(s.entries)-t.maxLen, 0)
	}
	if t.minID != nil {
		n = s.search(*t.minID)
	}
	if t.about {
		n -= n % nodeEntries
	}
	s.entries = s.entries[n:]
	return n
}

// parseTrim reads MAXLEN or MINID at args[i]; it returns the place behind.
func parseTrim(args []string, i int, t *trim) (next int, bad any) {
	by := strings.ToUpper(args[i])
	i++
	if i < len(args) && (args[i] == "~" || args[i] == "=") {
		t.about = args[i] == "~"
		i++
	}
	if i >= len(args) {
		return i, syntax
	}
	if by == "MAXLEN" {
		n, err := strconv.Atoi(args[i])
		if err != nil {
			return i, notInteger
		}
		if n < 0 {
			return i, failure("ERR The MAXLEN argument must be >= 0.")
		}
		t.maxLen = n
	} else {
		id, ok := parseID(args[i], 0)
		if !ok {
			return i, badID
		}
		t.minID = &id
	}
	i++
	if i+1 < len(args) && strings.EqualFold(args[i], "LIMIT") {
		if !t.about {
			return i, failure("ERR syntax error, LIMIT cannot be used without the special ~ option")
		}
		i += 2
	}
	return i, nil
}

func xadd(c *call) any {
	make_, t, i := true, trim{maxLen: -1}, 2
options:
	for ; i < len(c.args); i++ {
		switch strings.ToUpper(c.args[i]) {
		case "NOMKSTREAM":
			make_ = false
		case "MAXLEN", "MINID":
			next, bad := parseTrim(c.args, i, &t)
			if bad != nil {
				return bad
			}
			i = next - 1
		default:
			break options
		}
	}
	if len(c.args)-i < 3 || (len(c.args)-i)%2 == 0 {
		return c.arity()
	}
	key, wanted := c.args[1], c.args[i]
	v, bad := c.s.typed(key, kindStream)
	if bad != nil {
		return bad
	}
	if v == nil && !make_ {
		if wanted != "*" {
			if _, ok := parseID(strings.TrimSuffix(wanted, "-*"), 0); !ok {
				return badID
			}
		}
		return nil
	}
	last := entryID{}
	if v != nil {
		last = v.stream.last
	}
	id := entryID{ms: uint64(c.s.millis())}
	switch {
	case wanted == "*":
		if id.compare(last) <= 0 {
			id = last.next()
		}
	case strings.HasSuffix(wanted, "-*"):
		var ok bool
		if id, ok = parseID(strings.TrimSuffix(wanted, "-*"), 0); !ok {
			return badID
		}
		if id.ms == last.ms && last != (entryID{}) {
			id = last.next()
		}
	default:
		var ok bool
		if id, ok = parseID(wanted, 0); !ok {
			return badID
		}
		if id == (entryID{}) {
			return failure("ERR The ID specified in XADD must be greater than 0-0")
		}
	}
	if id.compare(last) <= 0 {
		return failure("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	}
	v, _ = c.s.change(key, kindStream)
	v.stream.entries = append(v.stream.entries, entry{id, slices.Clone(c.args[i+1:])})
	v.stream.last = id
	v.stream.added++
	v.stream.cut(t)
	c.s.wakeReaders()
	return id.String()
}

func xlen(c *call) any {
	v, bad := c.s.typed(c.args[1], kindStream)
	if bad != nil || v == nil {
		return or(bad, int64(0))
	}
	return int64(len(v.stream.entries))
}

func xtrim(c *call) any {
	t := trim{maxLen: -1}
	if by := strings.ToUpper(c.args[2]); by != "MAXLEN" && by != "MINID" {
		return syntax
	}
	if next, bad := parseTrim(c.args, 2, &t); bad != nil || next != len(c.args) {
		return or(bad, syntax)
	}
	v, bad := c.s.typed(c.args[1], kindStream)
	if bad != nil || v == nil {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	return int64(v.stream.cut(t))
}

func xdel(c *call) any {
	ids := make([]entryID, 0, len(c.args))
	for _, text := range c.args[2:] {
		id, ok := parseID(text, 0)
		if !ok {
			return badID
		}
		ids = append(ids, id)
	}
	v, bad := c.s.typed(c.args[1], kindStream)
	if bad != nil || v == nil {
		return or(bad, int64(0))
	}
	c.s.remember(c.args[1])
	before := len(v.stream.entries)
	left := make([]entry, 0, before)
	for _, e := range v.stream.entries {
		if !slices.Contains(ids, e.id) {
			left = append(left, e)
		}
	}
	v.stream.entries = left
	return int64(before - len(left))
}

// xsetid sets what counts as the last id.
func xsetid(c *call) any {
	id, ok := parseID(c.args[2], 0)
	if !ok || len(c.args) != 3 {
		return badID
	}
	v, bad := c.s.typed(c.args[1], kindStream)
	if bad != nil || v == nil {
		return or(bad, noKey)
	}
	if n := len(v.stream.entries); n > 0 && id.compare(v.stream.entries[n-1].id) < 0 {
		return failure("ERR The ID specified in XSETID is smaller than the target stream top item")
	}
	c.s.remember(c.args[1])
	v.stream.last = id
	return okay
}

// bound reads an end of a range; exclusive ends begin with a parenthesis.
func bound(text string, upper bool) (id entryID, ok bool) {
	seq := uint64(0)
	if upper {
		seq = math.MaxUint64
	}
	switch text {
	case "-":
		return entryID{}, true
	case "+":
		return entryID{math.MaxUint64, math.MaxUint64}, true
	}
	if rest, exclusive := strings.CutPrefix(text, "("); exclusive {
		if id, ok = parseID(rest, seq); !ok {
			return id, false
		}
		if !upper {
			return id.next(), true
		}
		if id.seq > 0 {
			return entryID{id.ms, id.seq - 1}, true
		}
		return entryID{id.ms - 1, math.MaxUint64}, id.ms > 0
	}
	return parseID(text, seq)
}

func xrange(c *call) any    { return ranged(c, 2, 3, false) }
func xrevrange(c *call) any { return ranged(c, 3, 2, true) }

func ranged(c *call, from, to int, reverse bool) any {
	low, ok1 := bound(c.args[from], false)
	high, ok2 := bound(c.args[to], true)
	if !ok1 || !ok2 {
		return badID
	}
	count := -1
	if len(c.args) > 4 {
		if len(c.args) != 6 || !strings.EqualFold(c.args[4], "COUNT") {
			return syntax
		}
		n, err := strconv.Atoi(c.args[5])
		if err != nil {
			return notInteger
		}
		if n == 0 {
			return noArray{}
		}
		count = n
	}
	v, bad := c.s.typed(c.args[1], kindStream)
	if bad != nil || v == nil {
		return or(bad, array{})
	}
	list := v.stream.entries[v.stream.search(low):]
	if end := v.stream.search(high.next()); high != (entryID{math.MaxUint64, math.MaxUint64}) {
		list = list[:max(end-(len(v.stream.entries)-len(list)), 0)]
	}
	list = slices.Clone(list)
	if reverse {
		slices.Reverse(list)
	}
	if count >= 0 && len(list) > count {
		list = list[:count]
	}
	return entriesAnswer(list)
}
