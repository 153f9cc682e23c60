package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// maxPlanFiles bounds the files of a candidate tree; the existing product ships
// some 600.
const maxPlanFiles = 2_000

// maxPlans is how many plans with files are made at once: each has a copy of the
// trees, on disk and in memory.
const maxPlans = 2

// effect is whom a change would concern.
type effect struct {
	// Properties tells for each how many subjects change.
	Properties []propertyEffect `json:"properties"`
	// Differences are the changes themselves, at most maxPreview; Omitted
	// counts the others.
	Differences []cascade.Difference `json:"differences"`
	Omitted     int                  `json:"omitted"`
	Sockets     socketEffect         `json:"sockets"`
	Errors      []finding.Finding    `json:"errors"` // of candidate files
}

type propertyEffect struct {
	Property string `json:"property"`
	Server   bool   `json:"server"` // the server's own value changes
	Contexts int    `json:"contexts"`
	Users    int    `json:"users"`
}

// socketEffect counts users by the gate: those who are connected to any member and
// would be closed, and those of the directory who would be let in.
type socketEffect struct {
	Connected int `json:"connected"` // on each member; who has sockets on two counts twice
	Closed    int `json:"closed"`    // each once
	LetIn     int `json:"letIn"`
	// Unreachable are the members whose users are not counted: they did not say.
	Unreachable []string `json:"unreachable"`
}

// effectOf compares the present state with one that other trees (nil: the same)
// and a batch would lead to, for some subjects (nil: all). It ends with ctx.
func (s *Server) effectOf(ctx context.Context, roots []string, b cascade.Batch, of []cascade.Subject) (*effect, error) {
	now := s.Engine.Snapshot()
	then, findings, err := s.Engine.Candidate(ctx, roots, b)
	switch {
	case ctx.Err() != nil:
		return nil, planFailed(ctx.Err())
	case err != nil:
		return nil, fail(http.StatusUnprocessableEntity, "bad_plan", "%s", err)
	}
	e := &effect{Properties: []propertyEffect{}, Differences: []cascade.Difference{}, Errors: []finding.Finding{}}
	if roots != nil {
		for _, f := range findings {
			if f.Severity == finding.Error {
				e.Errors = append(e.Errors, f)
			}
		}
	}
	at := make(map[string]int)
	err = cascade.Compare(ctx, now, then, of, func(d cascade.Difference) {
		i, seen := at[d.Property]
		if !seen {
			i = len(e.Properties)
			at[d.Property] = i
			e.Properties = append(e.Properties, propertyEffect{Property: d.Property})
		}
		p := &e.Properties[i]
		switch {
		case d.Subject.Context == 0:
			p.Server = true
		case d.Subject.User == 0:
			p.Contexts++
		default:
			p.Users++
		}
		if d.New != nil && then.LookedUp(d.Subject, d.Property) {
			hidden := cascade.Mask
			d.New = &hidden
		}
		if len(e.Differences) < maxPreview {
			e.Differences = append(e.Differences, d)
		} else {
			e.Omitted++
		}
	})
	if err != nil {
		return nil, planFailed(err)
	}
	enabled := s.Engine.Bool(websockets.PropEnabled)
	allowed := func(sn *cascade.Snapshot, su cascade.Subject) bool {
		return sn.Account(su) == cascade.AccountOpen && enabled.In(sn, su)
	}
	closed := map[cascade.Subject]struct{}{}
	count := func(su cascade.Subject) {
		if allowed(now, su) && !allowed(then, su) {
			closed[su] = struct{}{}
		}
	}
	s.Sockets.Users(func(context, user int32) bool {
		e.Sockets.Connected++
		count(cascade.Subject{Context: uint32(context), User: uint32(user)})
		return ctx.Err() == nil
	})
	q := usersQuestion{All: of == nil}
	for _, su := range of {
		q.Contexts = append(q.Contexts, su.Context)
	}
	slices.Sort(q.Contexts)
	q.Contexts = slices.Compact(q.Contexts)
	silent := s.askUsers(ctx, q, func(a *usersAnswer) { e.Sockets.Connected += a.Everybody }, func(_ string, su cascade.Subject, _ int) { count(su) })
	e.Sockets.Closed, e.Sockets.Unreachable = len(closed), some(silent)
	for su := range then.Subjects() {
		if ctx.Err() != nil {
			break
		}
		if su.User != 0 && allowed(then, su) && !allowed(now, su) {
			e.Sockets.LetIn++
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, planFailed(err)
	}
	return e, nil
}

// subjectsOf are those whose values a write may change: users of a context too,
// which are found where the context is among them.
func subjectsOf(e *store.Entry) []cascade.Subject {
	var list []cascade.Subject
	for _, c := range e.Changes {
		if c.User == 0 && c.Kind != store.KindToken {
			return nil
		}
		list = append(list, c.Subject())
	}
	return list
}

// plan answers what candidate files and overrides would change, and for whom.
func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Files     map[string]*string `json:"files"` // path below the root to its text; null: it is gone
		Whole     bool               `json:"whole"` // files are the whole tree; else what is not named stays
		Overrides []json.RawMessage  `json:"overrides"`
	}
	if err := readBulk(w, r, &in); err != nil {
		return err
	}
	var batch cascade.Batch
	var of []cascade.Subject
	if len(in.Overrides) > 0 {
		if err := s.writable(); err != nil {
			return err
		}
		if len(in.Overrides) > maxBulk {
			return fail(http.StatusUnprocessableEntity, "bad_write", "overrides has at most %d entries", maxBulk)
		}
		changes, err := s.bulkChanges(in.Overrides, "plan", Actor(r.Context()), true)
		if err != nil {
			return err
		}
		e, err := s.Store.Do(r.Context(), store.Write{Actor: Actor(r.Context()), Reason: "plan", Action: "plan", Changes: changes, DryRun: true})
		if err != nil {
			return s.storeProblem(err)
		}
		batch, of = e.Batch(), subjectsOf(&e)
	}
	var roots []string
	if in.Files != nil || in.Whole {
		select {
		case s.planning <- struct{}{}:
			defer func() { <-s.planning }()
		default:
			w.Header().Set("Retry-After", streamsRetry)
			return fail(http.StatusTooManyRequests, "too_many_plans", "%d plans with files are being made: try again", maxPlans)
		}
		dir, err := os.MkdirTemp("", planFolder(s.State)+"*")
		if err != nil {
			return planFailed(err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				s.Logger.Error("candidate tree not removed", "err", err)
			}
		}()
		if roots, err = s.candidateTree(r.Context(), dir, in.Files, in.Whole); err != nil {
			return err
		}
		of = nil
	}
	e, err := s.effectOf(r.Context(), roots, batch, of)
	if err != nil {
		return err
	}
	return s.answer(w, http.StatusOK, e)
}

// planFolder is how the names of the folders of a server's plans begin, which are
// with the other temporary files: a plan that fills the disk of the state folder
// would have the store fail. The state folder tells whose they are.
func planFolder(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "sluice-plan-" + hex.EncodeToString(sum[:8]) + "-"
}

// RemovePlans removes what the plans of a server that was killed have left. The
// caller holds the state folder, so that no other server uses them.
func RemovePlans(state string) error {
	entries, err := os.ReadDir(os.TempDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), planFolder(state)) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(os.TempDir(), e.Name())))
		}
	}
	return err
}

// candidateTree writes trees to compare with below dir: the present ones, unless
// the given files are the whole, with the given files in the place of theirs.
func (s *Server) candidateTree(ctx context.Context, dir string, files map[string]*string, whole bool) (roots []string, err error) {
	if len(files) > maxPlanFiles {
		return nil, fail(http.StatusUnprocessableEntity, "bad_plan", "a plan has at most %d files", maxPlanFiles)
	}
	from := s.Roots
	if whole {
		from = from[:0]
	}
	copied := planCopy{ctx: ctx}
	for i, root := range from {
		roots = append(roots, filepath.Join(dir, strconv.Itoa(i)))
		if err := copied.tree(roots[i], root); err != nil {
			return nil, planFailed(err)
		}
	}
	if len(roots) == 0 {
		roots = []string{filepath.Join(dir, "0")}
		if err := os.Mkdir(roots[0], 0o700); err != nil {
			return nil, planFailed(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name || strings.Contains(name, `\`) || name == "." || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, fail(http.StatusUnprocessableEntity, "bad_path", "%.200q is no path below a root: write it like contextSets/brand.yml", name)
		}
		place, found := filepath.Join(roots[len(roots)-1], filepath.FromSlash(name)), false
		for _, root := range roots {
			p := filepath.Join(root, filepath.FromSlash(name))
			if _, err := os.Stat(p); err == nil {
				place, found = p, true
			}
		}
		switch {
		case text == nil && !found:
			return nil, fail(http.StatusUnprocessableEntity, "bad_path", "%.200q is not there, so it cannot go", name)
		case text == nil:
			err = os.Remove(place)
		default:
			if err = os.MkdirAll(filepath.Dir(place), 0o700); err == nil {
				err = os.WriteFile(place, []byte(*text), 0o600)
			}
		}
		if errno := syscall.Errno(0); errors.As(err, &errno) && slices.Contains(notAFile, errno) {
			return nil, fail(http.StatusUnprocessableEntity, "bad_path", "%.200q cannot be a file (%s): compare it with the other paths", name, errno)
		}
		if err != nil {
			return nil, planFailed(err)
		}
	}
	return roots, nil
}

// notAFile is what is wrong where a path is a folder's, or goes through a file,
// or is too long.
var notAFile = []syscall.Errno{syscall.EISDIR, syscall.ENOTDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENAMETOOLONG}

func planFailed(err error) error {
	var p *problem
	switch {
	case errors.As(err, &p):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(http.StatusBadRequest, "bad_request", "the request ended before its plan: send it again")
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fail(http.StatusInsufficientStorage, "disk_full", "the candidate tree does not fit into the folder for temporary files: make room")
	}
	return fmt.Errorf("candidate tree: %w", err)
}

// planCopy copies trees for a plan. It ends with its request, and at bounds that
// hold for all trees together.
type planCopy struct {
	ctx   context.Context
	files int
	bytes int64
	above []folderID // the folders that the walk is in
}

// folderID tells a folder that is reached by a link from one that is not.
type folderID struct{ dev, ino uint64 }

// Bounds of what a plan copies: what a load reads of large trees is far below.
const (
	maxPlanCopied      = 20_000
	maxPlanCopiedBytes = 256 << 20
)

// tree copies what a load would read. As there, links are followed but for one
// that leads to a folder above it, and the file of the master password is never
// read.
func (p *planCopy) tree(to, from string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t) // of every file system that Go knows on Linux
	id := folderID{st.Dev, st.Ino}
	if slices.Contains(p.above, id) || len(p.above) > cascade.MaxDepth {
		return nil
	}
	p.above = append(p.above, id)
	defer func() { p.above = p.above[:len(p.above)-1] }()
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Name() == masterPassword {
			continue
		}
		path, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ELOOP):
			// A link that leads nowhere, or what an editor has just removed.
		case err != nil:
			return err
		case fi.IsDir():
			if err := p.tree(target, path); err != nil {
				return err
			}
		case fi.Mode().IsRegular() && fi.Size() <= maxBulkBody:
			if err := p.file(target, path, fi.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

// masterPassword is the name of the existing system's file of master passwords.
const masterPassword = "mpasswd"

func (p *planCopy) file(to, from string, size int64) error {
	p.files++
	p.bytes += size
	if p.files > maxPlanCopied || p.bytes > maxPlanCopiedBytes {
		return fail(http.StatusUnprocessableEntity, "bad_plan", "the server's trees have more than %d files or %d MiB: send the whole tree with \"whole\", or compare two with `sluice diff`", maxPlanCopied, maxPlanCopiedBytes>>20)
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	return err
}
