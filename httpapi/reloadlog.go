package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	// reloadsFile is in the state folder.
	reloadsFile = "reloads.json"
	// reloadsKept is how many changes of files are remembered, of at most
	// maxPublished differences each: weeks of work on a tree.
	reloadsKept = 50
	// reloadsBytes bounds them where values are long.
	reloadsBytes = 1 << 20
)

// reloadLog remembers the last changes of the files, over restarts.
type reloadLog struct {
	path    string // "": none is kept on disk
	changed chan struct{}

	mu   sync.Mutex
	list []json.RawMessage // configEvent, the newest first
}

// readReloads takes up what the last process has left in the state folder.
func readReloads(state string) (*reloadLog, error) {
	l := &reloadLog{changed: make(chan struct{}, 1)}
	if state == "" {
		return l, nil
	}
	l.path = filepath.Join(state, reloadsFile)
	b, err := os.ReadFile(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		var list []configEvent // so that what is no such event is refused
		err = errors.Join(json.Unmarshal(b, &list), json.Unmarshal(b, &l.list))
	}
	if err != nil {
		l.list = nil
		return l, fmt.Errorf("%s: the last reloads are not known: %w", l.path, err)
	}
	return l, nil
}

// add remembers a change. Run writes it.
func (l *reloadLog) add(e configEvent) {
	b, err := json.Marshal(e)
	if err != nil {
		return // of the program's own types, which can be
	}
	l.mu.Lock()
	l.list = slices.Insert(l.list, 0, json.RawMessage(b))
	size := 0
	for i := range l.list {
		if size += len(l.list[i]); i == reloadsKept || size > reloadsBytes && i > 0 {
			l.list = slices.Clip(l.list[:i])
			break
		}
	}
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default: // it will be written with the one before
	}
}

// newest are the changes that are remembered.
func (l *reloadLog) newest() []json.RawMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]json.RawMessage{}, l.list...)
}

// write replaces the file as a whole.
func (l *reloadLog) write() error {
	b, err := json.Marshal(l.newest())
	if err != nil {
		return err
	}
	next := l.path + ".new"
	if err := os.WriteFile(next, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, l.path)
}

// RunReloadLog writes what is remembered of reloads until ctx ends.
func (s *Server) RunReloadLog(ctx context.Context) {
	l := s.reloads
	for {
		done := false
		select {
		case <-l.changed:
		case <-ctx.Done():
			select {
			case <-l.changed: // a last one
				done = true
			default:
				return
			}
		}
		if l.path != "" {
			if err := l.write(); err != nil {
				s.Logger.Warn("the last reloads were not written: make room or correct the rights of the state folder", "err", err)
			}
		}
		if done {
			return
		}
	}
}

// listReloads answers the last changes of this member's files, the newest first.
func (s *Server) listReloads(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, map[string]any{"member": s.Member, "reloads": s.reloads.newest()})
}
