package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
)

// What came of a member's reload.
const (
	reloadOK       = "ok"
	reloadBadFiles = "bad_files"   // some did not load; their last good contents are in force
	reloadFailed   = "unreachable" // the member did not answer: it may have read its files
)

// memberReload is what came of it on one member. A member answers another one
// with it.
type memberReload struct {
	Member string `json:"member"`
	Status string `json:"status"`
	Error  string `json:"error,omitempty"` // why there is no result
	*cascade.ReloadResult
	// Omitted are changes and errors that an answer of another member has no
	// room for: its own log and GET /admin/v1/config have them.
	Omitted int `json:"omitted,omitempty"`
}

// encode is the result for another member, as much of it as an answer holds.
func (m *memberReload) encode() ([]byte, error) {
	r, all := *m.ReloadResult, len(m.Changed)+len(m.Errors)
	m.ReloadResult = &r
	for {
		m.Omitted = all - len(r.Changed) - len(r.Errors)
		b, err := json.Marshal(m)
		if err != nil || len(b) <= maxMemberAnswer || m.Omitted == all {
			return b, err
		}
		if r.Noticed != nil {
			r.Noticed = nil // the member's log has it
			continue
		}
		r.Changed, r.Errors = r.Changed[:len(r.Changed)/2], r.Errors[:len(r.Errors)/2]
	}
}

// reloadOwn reads this member's trees; with accept, folders that are empty or
// missing as they are.
func (s *Server) reloadOwn(ctx context.Context, accept bool) (memberReload, error) {
	read := s.Engine.Reload
	if accept {
		read = s.Engine.Accept
	}
	r, err := read(ctx)
	if err != nil {
		return memberReload{}, err
	}
	if s.Platform != nil {
		if err := s.Platform.Refresh(ctx); err != nil {
			// It is no error of the files; /readyz has it.
			s.Logger.Warn("the platform's database was not read again", "err", err)
		}
	}
	own := memberReload{Member: s.Member, Status: reloadOK, ReloadResult: &r}
	if r.BadFiles > 0 {
		own.Status = reloadBadFiles
	}
	return own, nil
}

// reloadAll makes all members read their trees now. That one did not load is
// no reason to leave the others as they are: each has its own files.
func (s *Server) reloadAll(w http.ResponseWriter, r *http.Request, accept bool) error {
	var list []memberReload
	wait := s.ask(r.Context(), opReload, memberQuestion{From: s.Member, Actor: Actor(r.Context()), Accept: accept}, func(a remote.Answer) error {
		var m memberReload
		if err := json.Unmarshal(a.Body, &m); err != nil {
			return err
		}
		if m.ReloadResult == nil || m.Status != reloadOK && m.Status != reloadBadFiles {
			return errors.New("the answer has no result: run the same Sluice on all members")
		}
		m.Member = a.Member
		list = append(list, m)
		return nil
	})
	s.Logger.Info("reload asked for", "actor", Actor(r.Context()), "cluster", true)
	own, err := s.reloadOwn(r.Context(), accept)
	for _, name := range wait() {
		list = append(list, memberReload{Member: name, Status: reloadFailed, Error: "it did not answer: ask it for GET /admin/v1/config, or reload again"})
	}
	if err != nil {
		return err
	}
	list = append(list, own)
	slices.SortStableFunc(list, func(a, b memberReload) int { return cmp.Compare(a.Member, b.Member) })
	status := http.StatusOK
	for _, m := range list {
		status = max(status, statusOf(m.Status))
	}
	return s.answer(w, status, map[string][]memberReload{"members": list})
}

// statusOf is 422 for a member of which a file did not load. One that did not
// answer is told of in the body: the others have done what was asked.
func statusOf(result string) int {
	if result == reloadBadFiles {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

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
