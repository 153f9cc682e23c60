package cascade

import (
	"crypto/sha256"
	"time"
)

// lastGoodHold is a change that is held, in the manifest of the last good tree: the
// files that the gate resolves until it is confirmed, and whom it would close.
type lastGoodHold struct {
	Hold     Hold           `json:"hold"`
	Change   string         `json:"change"`   // its digest without a key
	Users    []Subject      `json:"users"`    // some of those whom it would close
	Accepted []lastGoodFile `json:"accepted"` // the tree, and the directory file, before it
}

// holding notes what is held from now on, with the files of the last prepare as
// what was accepted unless something is held already; nil: nothing. The caller
// holds the engine's load lock, and calls prepare.
func (k *lastGood) holding(h *held) {
	if h == nil {
		k.held = nil
		return
	}
	next := &lastGoodHold{Hold: *h.hold, Change: h.hold.raw, Users: h.some}
	if k.held != nil {
		next.Accepted = k.held.Accepted
	} else {
		for _, f := range k.files {
			next.Accepted = append(next.Accepted, f)
		}
	}
	k.held = next
}

// same reports whether two holds are the same on disk.
func (h *lastGoodHold) same(other *lastGoodHold) bool {
	if h == nil || other == nil {
		return h == other
	}
	return h.Change == other.Change && h.Hold.Sockets == other.Hold.Sockets && h.Hold.Since.Equal(other.Hold.Since)
}

// names calls f with the objects that the held change needs.
func (h *lastGoodHold) names(f func(string)) {
	if h == nil {
		return
	}
	for _, x := range h.Accepted {
		f(x.Good)
		f(x.Clean)
	}
}

// restoreHold takes up a change that was held when the process ended. No socket
// is open yet, so nothing can be counted: a change that was held is held again,
// and so is another one, unless those whom the held one would have sent away are
// served with it.
func (e *Engine) restoreHold(sn *Snapshot) {
	h := e.lastGood.held
	if h == nil || e.opt.Gate == "" || h.Hold.Property != e.opt.Gate {
		e.lastGood.holding(nil)
		return
	}
	accepted, err := e.accepted(sn, h)
	if err != nil {
		e.log.Error("the state before the held change cannot be read: the change counts", "digest", h.Hold.Digest, "err", err)
		problem := "a change was held when the server stopped, and the state before it cannot be read, so it counts: " + err.Error()
		e.brakeProblem.Store(&problem)
		e.lastGood.holding(nil)
		return
	}
	hold := h.Hold
	hold.raw = sn.changeDigest()
	hold.Digest = sn.schema.shownChange(hold.raw)
	if hold.raw != h.Change {
		gone := 0
		for _, su := range h.Users {
			if accepted.Serves(su, e.opt.Gate) && !sn.Serves(su, e.opt.Gate) {
				gone++
			}
		}
		if gone == 0 {
			e.log.Info("change is no longer held: it was put right while the server was down", "digest", h.Hold.Digest)
			e.lastGood.holding(nil)
			return
		}
		hold.Since, hold.Causes = time.Now().UTC(), sn.Causes(h.Users, e.opt.Gate)
	}
	e.hold(accepted, sn, &hold, h.Users)
	e.lastGood.holding(sn.held)
	e.log.Error("change still held: `sluice reload --confirm DIGEST` lets it through, saving the files back drops it",
		"digest", hold.Digest, "users", hold.Users, "sockets", hold.Sockets, "causes", hold.Causes)
}

// accepted builds the state before a held change from what is kept of it.
func (e *Engine) accepted(sn *Snapshot, h *lastGoodHold) (*Snapshot, error) {
	k := &lastGood{dir: e.lastGood.dir, log: e.lastGood.log, files: map[string]lastGoodFile{}}
	set := newFileSet(e.opt.Roots)
	out := *sn
	for _, kf := range h.Accepted {
		k.files[kf.key()] = kf
		if e.directory != nil && kf.key() == e.set.lastGoodKey(e.directory) {
			t, revision, err := e.acceptedDirectory(sn, kf)
			if err != nil {
				return nil, err
			}
			out.tables, out.revision = t, revision
			continue
		}
		for i, root := range e.opt.Roots {
			if root != string(kf.Root) {
				continue
			}
			f := &treeFile{root: i, rel: string(kf.Path), kind: kindOf(string(kf.Path)), status: FileOK}
			b, err := k.object(kf.Good)
			if err != nil {
				return nil, err
			}
			c, _, _ := parse(f.kind, f.rel, b) // it was in force
			f.have, f.digest = c, sha256.Sum256(b)
			set.files[fileKey(i, f.rel)] = f
		}
	}
	ed := sn.names.edit()
	out.tree = build(set, e.opt.Schema, ed, k.carry(set, e.opt.Schema, ed, e.opt.Getenv), e.opt.Getenv)
	out.names = ed.table()
	sn.names = out.names
	out.memo = e.nextMemo(&out)
	return &out, nil
}

// acceptedDirectory builds the tables of the directory file before a held
// change.
func (e *Engine) acceptedDirectory(sn *Snapshot, kf lastGoodFile) (*tables, string, error) {
	l := SourceLoad{}
	for _, x := range []struct {
		name string
		into **Batch
	}{{kf.Clean, &l.Base}, {kf.Good, &l.Batch}} {
		if x.name == "" {
			continue
		}
		b, err := e.lastGood.object(x.name)
		if err != nil {
			return nil, "", err
		}
		if c, _, ok := parse(kindDirectory, e.directory.rel, b); ok {
			*x.into, _, _ = directoryBatch(e.directory.rel, c.directory, e.opt.Schema)
		}
	}
	out := *sn
	if err := out.load(l, time.Now()); err != nil {
		return nil, "", err
	}
	sn.names = out.names
	return out.tables, kf.Good[:12], nil
}
