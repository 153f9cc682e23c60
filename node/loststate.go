package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// lastGoodDir is the folder of the last good files in the state folder.
const lastGoodDir = "lastgood"

// freshState reports whether a state folder holds nothing that a server left
// there: neither the store nor the last good files.
func freshState(dir string) bool {
	for _, name := range []string{store.FileName, filepath.Join(lastGoodDir, "manifest")} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// lostState says what is missing with a state folder, and what to do.
func (n *Node) lostState(why string) error {
	return fmt.Errorf(`the state folder %s is empty, and %s.
Missing are the overrides, the directory, the tokens and sessions that it held, and the last good files: who was switched off would be served.
Next: mount it, or stop here and copy its files (%s, lastgood/, cookie-salt) back from a backup; "sluice export" of another member, "sluice import" here bring the directory and the overrides back.
To begin with nothing, start once with --new-state`, n.state, why, store.FileName)
}

// mustExist refuses a new state folder where the tree says that there is one.
func (n *Node) mustExist(sn *cascade.Snapshot) error {
	if why := hadState(sn); why != "" {
		return n.lostState(why)
	}
	return nil
}

// hadState is what the tree says of a state folder that must exist; "" where it
// says nothing.
func hadState(sn *cascade.Snapshot) string {
	if v, _ := sn.Get(cascade.Subject{}, propMustExist); v.Effective != true {
		return ""
	}
	x := sn.Explain(cascade.Subject{}, propMustExist, cascade.ExplainOptions{})
	return fmt.Sprintf("%s=true (%s) says that this server had one", propMustExist, x.Origin)
}

// lostStore refuses a state folder that has its other files and no store, where
// the tree says that there is one.
func (n *Node) lostStore(path string) error {
	why := hadState(n.engine.Snapshot())
	if _, err := os.Stat(path); why == "" || !errors.Is(err, fs.ErrNotExist) {
		return nil // another error is that of opening it
	}
	return fmt.Errorf(`the state folder %s has no %s, and %s.
Missing are the overrides, the directory, the tokens and sessions that it held: who was switched off would be served.
Next: copy the file back from a backup; "sluice export" of another member, "sluice import" here bring the directory and the overrides back.
To begin without them, start once with --new-state`, n.state, store.FileName, why)
}

// knownTimeout bounds asking Redis for what it knows of this member.
const knownTimeout = 3 * time.Second

// knownState refuses a new state folder of the keeper of a cluster that knows it
// to have had one, and has the cluster know this one. Where the decisions are on
// another member or in a database, nothing of them is lost with the folder.
func (o *opening) knownState() error {
	if o.link == nil || cascade.ServerValue[string](o.engine.Snapshot(), store.PropKeeper) != o.member {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), knownTimeout)
	defer cancel()
	added, err := o.redis.SAdd(ctx, "sluice:{"+o.link.Name()+"}:state", o.member).Result()
	switch {
	case err != nil:
		o.log.Warn("Redis cannot be asked whether this member had a state folder before", "state", o.state, "new", o.fresh, "err", err)
	case added == 0 && o.fresh && !o.NewState:
		// This start has written its files there already: with them the next one
		// would take the folder for an old one.
		return errors.Join(o.lostState(fmt.Sprintf("cluster %s knows member %s with one", o.link.Name(), o.member)),
			os.RemoveAll(filepath.Join(o.state, lastGoodDir)))
	}
	return nil
}
