package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/mariadb"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
)

// noStore explains what a cluster needs that has only a Redis.
const noStore = "the cluster does not say where its decisions are kept: name a member whose store file counts (" +
	store.PropKeeper + "), or a database (" + store.PropDatabaseHosts + "), on all members, start them again, and run `sluice store adopt` on the one that has the right ones"

// handedStorePatience is how long a command may hold the file of a store that was
// closed so that this node opens it.
const handedStorePatience = 10 * time.Second

// openStore opens the store and fills the engine from it.
func (o *opening) openStore() (err error) {
	sopt := store.Options{Path: filepath.Join(o.State, store.FileName), Logger: o.log}
	if o.frozen != nil {
		sopt.Patience = handedStorePatience
	}
	if err := o.chooseStore(&sopt); err != nil {
		return err
	}
	// A copy of decisions that are kept elsewhere is made again.
	if sopt.Truth == nil && !o.NewState {
		if err := o.lostStore(sopt.Path); err != nil {
			return err
		}
	}
	if o.store, err = store.Open(sopt); err != nil {
		return err
	}
	o.fixed = o.Directory != ""
	return o.store.Load(o.apply)
}

// chooseStore says where the decisions are kept.
func (n *Node) chooseStore(sopt *store.Options) error {
	keeper := cascade.ServerValue[string](n.engine.Snapshot(), store.PropKeeper)
	database, named, err := DatabaseOptions(n.engine)
	if err != nil {
		return err
	}
	switch {
	case keeper != "" && named:
		return fmt.Errorf("%s and %s are both set: a cluster has one place for its decisions, so remove one", store.PropKeeper, store.PropDatabaseHosts)
	case keeper != "" && n.link == nil:
		return fmt.Errorf("%s is set and there is no Redis, over which the members reach the keeper: set com.openexchange.redis.hosts, or remove it", store.PropKeeper)
	case keeper != "":
		n.storeLink = n.link.StoreLink(keeper)
		n.setup = httpapi.StoreSetup{Kind: httpapi.StoreFollower, Truth: "the file of the keeper " + keeper, Keeper: keeper}
		if keeper != n.member {
			sopt.Truth = remote.Follower{StoreLink: n.storeLink}
			return nil
		}
		sopt.Witness = n.storeLink
		n.setup.Kind, n.setup.Adopt = httpapi.StoreKeeper, n.adoptKeeper
	case named:
		dopt := mariadb.Options{Pool: database, Logger: n.log}
		if n.link != nil {
			dopt.Nudger = n.link.StoreLink("")
		}
		if n.database, err = mariadb.Open(dopt); err != nil {
			return fmt.Errorf("%s: %w", store.PropDatabaseHosts, err)
		}
		sopt.Truth = n.database
		n.setup = httpapi.StoreSetup{Kind: httpapi.StoreDatabase, Truth: n.database.Describe(), Adopt: n.adoptDatabase}
	case n.link != nil:
		sopt.Truth = store.NoTruth{Reason: noStore}
		n.setup = httpapi.StoreSetup{Kind: httpapi.StoreNone, Truth: "nowhere: no keeper and no database is configured"}
	default:
		n.setup = httpapi.StoreSetup{Kind: httpapi.StoreAlone, Truth: "the file of this member", Adopt: func(context.Context, bool) error { return n.store.AdoptAlone() }}
	}
	return nil
}

// adoptKeeper makes this member's file that of the keeper.
func (n *Node) adoptKeeper(ctx context.Context, force bool) error {
	return n.store.Adopt(store.Adoption{
		Force: force,
		Missing: func(at store.Head) ([]store.Sealed, bool, error) {
			return n.storeLink.Missing(ctx, n.store.Identity(), at)
		},
		Register: func(id store.Identity, head store.Head) (store.Identity, error) {
			return n.storeLink.Adopt(ctx, id, head)
		},
	})
}

// adoptDatabase makes what this member's file has the truth in the database.
func (n *Node) adoptDatabase(ctx context.Context, force bool) error {
	return n.store.Adopt(store.Adoption{
		Force: force,
		Register: func(_ store.Identity, head store.Head) (store.Identity, error) {
			return n.database.Adopt(ctx, n.store, head, force)
		},
	})
}
