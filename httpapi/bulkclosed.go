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

// bulkClosed counts the sockets that writes of many records closed here lately.
type bulkClosed struct {
	mu   sync.Mutex
	list []bulkClosing // oldest first
}

type bulkClosing struct {
	at      time.Time
	sockets int
}

// recent is how many there were within bulkWindow.
func (b *bulkClosed) recent() int {
	b.mu.Lock()
	defer b.mu.Unlock()
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

// add notes what a write closed.
func (b *bulkClosed) add(sockets int) {
	if sockets == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) == maxBulkClosings {
		b.list[1].sockets += b.list[0].sockets
		b.list = b.list[1:]
	}
	b.list = append(b.list, bulkClosing{time.Now(), sockets})
}
