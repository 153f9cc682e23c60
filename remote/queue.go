package remote

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// waiting is a message in the buffer.
type waiting struct {
	Message
	number      uint64 // of its first arrival
	first, last time.Time
	due         time.Time
	urgent      bool // due since it came, whatever the timings
	index       int  // in the heap
	// The neighbours in its addressee's list, by number.
	before, after *waiting
}

// queue holds the messages that wait: each equal one once, by the time at which
// it is due, and for each addressee in the order of first arrival. It does not
// look at the clock and is not safe for concurrent use.
type queue struct {
	timings Timings
	number  uint64
	equal   map[sameness]*waiting // the last of those that are equal
	due     dueHeap
	lists   map[addressee]*list
	// users are those of a context with a list of their own.
	users map[uint32]map[uint32]*list
}

// list is what waits for one addressee, in the order of first arrival.
type list struct{ head, tail *waiting }

func newQueue(t Timings) *queue {
	return &queue{
		timings: t,
		equal:   make(map[sameness]*waiting),
		lists:   make(map[addressee]*list),
		users:   make(map[uint32]map[uint32]*list),
	}
}

func (q *queue) len() int { return len(q.due) }

// offer takes a message, or restarts the wait of an equal one, which it then
// reports.
func (q *queue) offer(m Message, now time.Time) (coalesced bool) {
	key := m.sameness()
	if w := q.equal[key]; w != nil && len(w.IDs)+len(m.IDs) <= maxIDs {
		w.IDs = append(w.IDs, m.IDs...)
		w.Number, w.Placed = max(w.Number, m.Number), append(w.Placed, m.Placed...)
		w.last = now
		q.schedule(w)
		return true
	}
	q.number++
	w := &waiting{Message: m, number: q.number, first: now, last: now, due: q.timings.due(now, now)}
	q.equal[key] = w
	heap.Push(&q.due, w)
	q.append(w)
	return false
}

// offerNow takes a message that is due at once.
func (q *queue) offerNow(m Message, now time.Time) (coalesced bool) {
	coalesced = q.offer(m, now)
	w := q.equal[m.sameness()]
	w.urgent, w.due = true, now
	heap.Fix(&q.due, w.index)
	if coalesced {
		m.receipt.next, w.receipt = w.receipt, m.receipt
	}
	return coalesced
}

func (q *queue) schedule(w *waiting) {
	if !w.urgent {
		w.due = q.timings.due(w.first, w.last)
		heap.Fix(&q.due, w.index)
	}
}

func (q *queue) append(w *waiting) {
	to := w.addressee()
	l := q.lists[to]
	if l == nil {
		l = &list{}
		q.lists[to] = l
		if to.user != 0 {
			if q.users[to.context] == nil {
				q.users[to.context] = make(map[uint32]*list)
			}
			q.users[to.context][to.user] = l
		}
	}
	w.before = l.tail
	if l.tail != nil {
		l.tail.after = w
	} else {
		l.head = w
	}
	l.tail = w
}

// setTimings computes anew when every message is due.
func (q *queue) setTimings(t Timings) {
	q.timings = t
	for _, w := range q.due {
		if !w.urgent {
			w.due = t.due(w.first, w.last)
		}
	}
	heap.Init(&q.due)
}

// take removes the messages that are due, and with each the earlier ones that
// share a receiver with it, in the order of first arrival, and counts them.
func (q *queue) take(now time.Time, count *Flushed) []Message {
	var taken []*waiting
	for len(q.due) > 0 && !q.due[0].due.After(now) {
		taken = q.takeWith(q.due[0], taken)
	}
	for _, w := range taken {
		switch {
		case w.urgent:
			count.Sync++
		case w.due.After(now):
			count.Order++
		default:
			count.Due++
		}
	}
	return inOrder(taken)
}

// all removes everything, in the order of first arrival.
func (q *queue) all() []Message {
	var taken []*waiting
	for len(q.due) > 0 {
		w := q.due[len(q.due)-1]
		q.remove(w)
		taken = append(taken, w)
	}
	return inOrder(taken)
}

// takeWith removes w and what must not come after it: a message for one user
// follows the earlier ones for that user, for its context and for everybody; a
// message for many follows the earlier ones for each of them.
func (q *queue) takeWith(w *waiting, taken []*waiting) []*waiting {
	todo := []*waiting{w}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if w.index < 0 { // taken with another
			continue
		}
		q.remove(w)
		taken = append(taken, w)
		q.sharing(w.addressee(), func(l *list) {
			for e := l.head; e != nil && e.number < w.number; e = e.after {
				todo = append(todo, e)
			}
		})
	}
	return taken
}

// sharing calls f for the lists of all addressees that share a receiver with to.
func (q *queue) sharing(to addressee, f func(*list)) {
	call := func(l *list) {
		if l != nil {
			f(l)
		}
	}
	switch {
	case to.context == 0:
		for _, l := range q.lists {
			f(l)
		}
	case to.user == 0:
		call(q.lists[addressee{}])
		call(q.lists[to])
		for _, l := range q.users[to.context] {
			f(l)
		}
	default:
		call(q.lists[addressee{}])
		call(q.lists[addressee{context: to.context}])
		call(q.lists[to])
	}
}

func (q *queue) remove(w *waiting) {
	heap.Remove(&q.due, w.index)
	w.index = -1
	// An equal one may have begun to wait because this one had its ids.
	if key := w.sameness(); q.equal[key] == w {
		delete(q.equal, key)
	}
	to := w.addressee()
	l := q.lists[to]
	if w.before != nil {
		w.before.after = w.after
	} else {
		l.head = w.after
	}
	if w.after != nil {
		w.after.before = w.before
	} else {
		l.tail = w.before
	}
	w.before, w.after = nil, nil
	if l.head != nil {
		return
	}
	delete(q.lists, to)
	if to.user != 0 {
		delete(q.users[to.context], to.user)
		if len(q.users[to.context]) == 0 {
			delete(q.users, to.context)
		}
	}
}

// inOrder sorts by first arrival.
func inOrder(taken []*waiting) []Message {
	slices.SortFunc(taken, func(a, b *waiting) int { return cmp.Compare(a.number, b.number) })
	messages := make([]Message, len(taken))
	for i, w := range taken {
		messages[i] = w.Message
	}
	return messages
}

// dueHeap is a heap by due time, and by first arrival where that is the same.
type dueHeap []*waiting

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].number < h[j].number
	}
	return h[i].due.Before(h[j].due)
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return w
}
