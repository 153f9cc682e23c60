package node

import (
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// apply hands the engine what the store has, unless the directory comes from a
// file.
func (n *Node) apply(b cascade.Batch) error {
	if n.fixed {
		return nil
	}
	return n.engine.Apply(b)
}

// stored is told of each write.
func (n *Node) stored(b cascade.Batch, entries []store.Entry) {
	// What is stored was checked by the same rules.
	if err := n.apply(b); err != nil {
		n.log.Error("a stored write cannot be applied", "err", err)
	}
	if entries == nil { // everything was replaced
		n.endOwnersOfLog()
	}
	n.endOwners(entries)
	n.api.Stored(entries)
}

// endOwners ends the sessions of contexts and users that were deleted or have a
// new owner, be it that the ids are taken again already.
func (n *Node) endOwners(entries []store.Entry) {
	if n.fixed {
		return
	}
	var list []websockets.EndedOwner
	for i := range entries {
		for _, o := range entries[i].EndedOwners() {
			list = append(list, websockets.EndedOwner{Context: o.Context, User: o.User, At: entries[i].Time})
		}
	}
	n.sockets.EndOwners(list)
}

// endOwnersOfLog does the same for what the log tells: a deletion counts over a
// restart, since it is on the disk before it is acknowledged, and on a member that
// took the whole state over.
func (n *Node) endOwnersOfLog() {
	if n.fixed {
		return
	}
	var list []websockets.EndedOwner
	err := n.store.EachEnded(time.Now().Add(-websockets.EndedFor), func(o cascade.Subject, at time.Time) {
		list = append(list, websockets.EndedOwner{Context: o.Context, User: o.User, At: at})
	})
	if err != nil {
		n.log.Error("older deletions are not known: sessions of contexts and users whose ids have a new owner may be let in", "err", err)
	}
	n.sockets.EndOwners(list)
}
