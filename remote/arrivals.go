package remote

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
)

// maxUnread bounds the answers of the keeper that are still on their way although
// their writes have arrived. Above it writes wait for their answers.
const maxUnread = 16

// arrivals has who waits for writes of this member know of their entries as soon as
// the stream of the keeper has them: they are on its disk and acknowledged, and its
// own answer comes two hops later.
type arrivals struct {
	mu      sync.Mutex
	waiting *arrival // nil: nobody waits. A store proposes one group at a time
	unread  int
}

// arrival is one group of writes.
type arrival struct {
	missing map[string]bool // requests whose entries did not come yet
	entries []store.Sealed
	all     chan struct{} // closed when none is missing
}

// await begins to wait for a group; nil: too many answers are unread.
func (a *arrivals) await(group []*store.Proposal) *arrival {
	w := &arrival{missing: make(map[string]bool, len(group)), all: make(chan struct{})}
	for _, p := range group {
		w.missing[p.Write.Request] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unread >= maxUnread {
		return nil
	}
	a.unread++
	a.waiting = w
	return w
}

// read notes that the answer of a group has come, or will not.
func (a *arrivals) read() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unread--
}

// end ends the waiting for a group.
func (a *arrivals) end(w *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == w {
		a.waiting = nil
	}
}

// take is given what the stream has. It returns the revision of the last message
// where all of them are of the group that waits, whose owner takes them, and 0
// where somebody else is to look.
func (a *arrivals) take(messages []redis.XMessage) (last uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ours := a.waiting, true
	if w == nil {
		return 0
	}
	for _, m := range messages {
		number, _, _ := strings.Cut(m.ID, "-")
		revision, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return 0
		}
		x, err := sealedOf(m, revision)
		if err != nil || !w.missing[x.Request] {
			ours = false
			continue
		}
		delete(w.missing, x.Request)
		w.entries = append(w.entries, x)
		last = revision
	}
	if len(w.missing) == 0 {
		a.waiting = nil
		close(w.all)
	}
	if !ours {
		return 0
	}
	return last
}

// made are the entries up to the first gap: what is after it has to be asked for.
func (w *arrival) made() []store.Sealed {
	slices.SortFunc(w.entries, func(x, y store.Sealed) int { return int(int64(x.Revision) - int64(y.Revision)) })
	for i := 1; i < len(w.entries); i++ {
		if !w.entries[i].Follows(w.entries[i-1].Head()) {
			return w.entries[:i]
		}
	}
	return w.entries
}

// settle sets the answers of a group that has arrived.
func (w *arrival) settle(group []*store.Proposal) {
	by := make(map[string]*store.Sealed, len(w.entries))
	for i := range w.entries {
		by[w.entries[i].Request] = &w.entries[i]
	}
	for _, p := range group {
		x := by[p.Write.Request]
		if p.Err = store.Again(&x.Entry, p.Write); p.Err == nil {
			p.Entry = x.Entry
		}
	}
}
