package cascade

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// lastGoodCarry brings back the last good entries: it compiles the last clean
// contents of the files that exist, so that what is wrong now can fall back on them.
func lastGoodCarry(k *tree.LastGood, set *tree.Set, schema *Schema, names *tables.NameEdit, getenv func(string) (string, bool)) carry {
	clean, same := k.CleanFiles(set)
	if same {
		return newCarry() // nothing changed since it all was good
	}
	return build(clean, schema, names, newCarry(), getenv).carry
}

// keepLastGood has a snapshot kept for the next start. The caller holds load.
func (e *Engine) keepLastGood(sn *Snapshot) {
	e.lastGood.Prepare(e.set, sn.tree.files, sn.tree.findings, e.directory)
}

// keepHold has the change that is held kept for the next start, from the next
// keepLastGood on; nil: none is. The caller holds load.
func (e *Engine) keepHold(h *held) {
	if h == nil {
		e.lastGood.Holding(nil)
		return
	}
	hold, err := json.Marshal(h.hold)
	users, also := json.Marshal(h.some)
	if err = errors.Join(err, also); err != nil {
		e.log.Error("held change is not saved for the next start, which will let it through", "digest", h.hold.Digest, "err", err)
		e.lastGood.Holding(nil)
		return
	}
	e.lastGood.Holding(&tree.HeldChange{Hold: hold, Change: h.hold.raw, Users: users})
}

// restoreHold takes up a change that was held when the process ended. No socket
// is open yet, so nothing can be counted: a change that was held is held again,
// and so is another one, unless those whom the held one would have sent away are
// served with it.
func (e *Engine) restoreHold(sn *Snapshot) {
	h := e.lastGood.Held
	if h == nil {
		return
	}
	var was Hold
	var users []Subject
	err := errors.Join(json.Unmarshal(h.Hold, &was), json.Unmarshal(h.Users, &users))
	if err == nil && (e.opt.Gate == "" || was.Property != e.opt.Gate) {
		e.keepHold(nil)
		return
	}
	var accepted *Snapshot
	if err == nil {
		accepted, err = e.accepted(sn)
	}
	if err != nil {
		e.log.Error("the state before the held change cannot be read: the change counts", "digest", was.Digest, "err", err)
		problem := "a change was held when the server stopped, and the state before it cannot be read, so it counts: " + err.Error()
		e.brakeProblem.Store(&problem)
		e.keepHold(nil)
		return
	}
	hold := was
	hold.raw = sn.changeDigest()
	hold.Digest = sn.schema.shownChange(hold.raw)
	if hold.raw != h.Change {
		gone := 0
		for _, su := range users {
			if accepted.Serves(su, e.opt.Gate) && !sn.Serves(su, e.opt.Gate) {
				gone++
			}
		}
		if gone == 0 {
			e.log.Info("change is no longer held: it was put right while the server was down", "digest", was.Digest)
			e.keepHold(nil)
			return
		}
		hold.Since, hold.Causes = time.Now().UTC(), sn.Causes(users, e.opt.Gate)
	}
	e.hold(accepted, sn, &hold, users)
	e.keepHold(sn.held)
	e.log.Error("change still held: `sluice reload --confirm DIGEST` lets it through, saving the files back drops it",
		"digest", hold.Digest, "users", hold.Users, "sockets", hold.Sockets, "causes", hold.Causes)
}

// accepted builds the state before a held change from what is kept of it.
func (e *Engine) accepted(sn *Snapshot) (*Snapshot, error) {
	set, was, err := e.lastGood.Accepted(e.opt.Roots)
	if err != nil {
		return nil, err
	}
	out := *sn
	if e.directory != nil {
		if kf, ok := was.Find(e.set, e.directory); ok {
			if out.tables, out.revision, err = e.acceptedDirectory(sn, kf); err != nil {
				return nil, err
			}
		}
	}
	ed := sn.names.Edit()
	out.tree = build(set, e.opt.Schema, ed, lastGoodCarry(was, set, e.opt.Schema, ed, e.opt.Getenv), e.opt.Getenv)
	out.names = ed.Table()
	sn.names = out.names
	out.memo = e.nextMemo(&out)
	return &out, nil
}

// acceptedDirectory builds the tables of the directory file before a held
// change.
func (e *Engine) acceptedDirectory(sn *Snapshot, kf tree.GoodFile) (*tables.Tables, string, error) {
	l := SourceLoad{}
	for _, x := range []struct {
		name string
		into **Batch
	}{{kf.Clean, &l.Base}, {kf.Good, &l.Batch}} {
		if x.name == "" {
			continue
		}
		b, err := e.lastGood.Object(x.name)
		if err != nil {
			return nil, "", err
		}
		if c, _, ok := tree.Parse(tree.KindDirectory, e.directory.Rel, b); ok {
			*x.into, _, _ = directoryBatch(e.directory.Rel, c.Directory, e.opt.Schema)
		}
	}
	out := *sn
	if err := out.load(l, time.Now()); err != nil {
		return nil, "", err
	}
	sn.names = out.names
	return out.tables, kf.Good[:12], nil
}
