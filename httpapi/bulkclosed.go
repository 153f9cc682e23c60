package httpapi

import (
	"sync"
	"time"
)

// bulkWindow is how long the sockets that writes of many records closed count
// along: an import is many requests.
const bulkWindow = 10 * time.Minute

// maxBulkClosings bounds what is remembered; beyond it the two oldest are one.
const maxBulkClosings = 256

// bulkClosed counts the sockets that writes of many records, asked of this
// member, closed lately.
type bulkClosed struct {
	mu   sync.Mutex
	list []*bulkClosing // oldest first
}

type bulkClosing struct {
	at      time.Time
	sockets int
}

// recent is how many there were within bulkWindow.
func (b *bulkClosed) recent() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.recentLocked()
}

func (b *bulkClosed) recentLocked() int {
	from := time.Now().Add(-bulkWindow)
	for len(b.list) > 0 && b.list[0].at.Before(from) {
		b.list = b.list[1:]
	}
	n := 0
	for _, c := range b.list {
		n += c.sockets
	}
	return n
}

// take notes what a write is about to close, unless that and the recent ones are
// more than the limit (below 0: any number), and returns how many those were. Two
// writes at once do not both count as the only one.
func (b *bulkClosed) take(sockets, limit int) (c *bulkClosing, recent int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	recent = b.recentLocked()
	if limit >= 0 && sockets+recent > limit {
		return nil, recent
	}
	if len(b.list) == maxBulkClosings {
		b.list[1].sockets += b.list[0].sockets
		b.list = b.list[1:]
	}
	c = &bulkClosing{time.Now(), sockets}
	b.list = append(b.list, c)
	return c, recent
}

// undone takes back what take has noted: the write was not done. nil: nothing
// was.
func (b *bulkClosed) undone(c *bulkClosing) {
	if c == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.sockets = 0
}
