package websockets

import (
	"context"
	"log/slog"
	"time"
)

// SessionShelf keeps the sessions of MemorySessions over a restart.
type SessionShelf interface {
	// Put keeps sessions, and returns when they are on the disk.
	Put(ctx context.Context, sessions ...*Session) error
	// Drop forgets sessions, and returns when that is on the disk.
	Drop(ctx context.Context, ids ...string) error
	// Each calls f for every session that is kept.
	Each(f func(*Session)) error
}

const (
	// shelfEvery is how often the lives that were extended are written: a crash
	// takes at most this much of a session's lifetime of an hour.
	shelfEvery = 10 * time.Second
	// shelfBatch bounds what is written at once.
	shelfBatch = 1000
	// shelfTimeout bounds the last writing when the store is closed.
	shelfTimeout = 5 * time.Second
)

// Keep takes up what a shelf has, and keeps on it what comes from now on. It is
// called once, before anything else.
func (m *MemorySessions) Keep(shelf SessionShelf, log *slog.Logger) error {
	m.shelf, m.shelfLog = shelf, log
	m.touched, m.gone = make(map[string]bool), make(map[string]bool)
	now, expired := time.Now(), []string{}
	err := shelf.Each(func(s *Session) {
		if s.Expired(now) {
			expired = append(expired, s.ID)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.Secret != "" { // as an older version kept it
			m.touched[s.ID] = true
		}
		m.addLocked(s.Sealed())
	})
	if err != nil {
		return err
	}
	for _, id := range expired {
		m.gone[id] = true
	}
	m.stop, m.shelved = make(chan struct{}), make(chan struct{})
	go m.runShelf()
	return nil
}

// runShelf writes what need not be written at once, until Close.
func (m *MemorySessions) runShelf() {
	defer close(m.shelved)
	t := time.NewTicker(shelfEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			m.writeShelf(context.Background())
		case <-m.stop:
			ctx, cancel := context.WithTimeout(context.Background(), shelfTimeout)
			defer cancel()
			m.writeShelf(ctx)
			return
		}
	}
}

func (m *MemorySessions) writeShelf(ctx context.Context) {
	for {
		m.mu.Lock()
		var put []*Session
		for id := range m.touched {
			delete(m.touched, id)
			if h := m.byID[id]; h != nil {
				put = append(put, h.session)
			}
			if len(put) == shelfBatch {
				break
			}
		}
		var drop []string
		for id := range m.gone {
			delete(m.gone, id)
			drop = append(drop, id)
			if len(drop) == shelfBatch {
				break
			}
		}
		m.mu.Unlock()
		if len(put)+len(drop) == 0 {
			return
		}
		var err error
		if len(put) > 0 {
			err = m.shelf.Put(ctx, put...)
		}
		if err == nil && len(drop) > 0 {
			err = m.shelf.Drop(ctx, drop...)
		}
		if err != nil {
			m.shelfLog.Error("sessions are not kept: after a restart some have ended early", slog.Any("err", err))
			m.mu.Lock()
			for _, s := range put {
				m.touched[s.ID] = true
			}
			for _, id := range drop {
				m.gone[id] = true
			}
			m.mu.Unlock()
			return
		}
	}
}
