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
func (s *Node) openStore(opt Options) (err error) {
	sopt := store.Options{Path: filepath.Join(opt.State, store.FileName), Logger: s.log}
	if s.frozen != nil {
		sopt.Patience = handedStorePatience
	}
	if err := s.chooseStore(&sopt); err != nil {
		return err
	}
	// A copy of decisions that are kept elsewhere is made again.
	if sopt.Truth == nil && !opt.NewState {
		if err := s.lostStore(sopt.Path); err != nil {
			return err
		}
	}
	if s.store, err = store.Open(sopt); err != nil {
		return err
	}
	s.fixed = opt.Directory != ""
	return s.store.Load(s.apply)
}

// chooseStore says where the decisions are kept.
func (s *Node) chooseStore(sopt *store.Options) error {
	keeper := cascade.ServerValue[string](s.engine.Snapshot(), store.PropKeeper)
	database, named, err := DatabaseOptions(s.engine)
	if err != nil {
		return err
	}
	switch {
	case keeper != "" && named:
		return fmt.Errorf("%s and %s are both set: a cluster has one place for its decisions, so remove one", store.PropKeeper, store.PropDatabaseHosts)
	case keeper != "" && s.link == nil:
		return fmt.Errorf("%s is set and there is no Redis, over which the members reach the keeper: set com.openexchange.redis.hosts, or remove it", store.PropKeeper)
	case keeper != "":
		s.storeLink = s.link.StoreLink(keeper)
		s.setup = httpapi.StoreSetup{Kind: httpapi.StoreFollower, Truth: "the file of the keeper " + keeper, Keeper: keeper}
		if keeper != s.member {
			sopt.Truth = remote.Follower{StoreLink: s.storeLink}
			return nil
		}
		sopt.Witness = s.storeLink
		s.setup.Kind, s.setup.Adopt = httpapi.StoreKeeper, s.adoptKeeper
	case named:
		dopt := mariadb.Options{Pool: database, Logger: s.log}
		if s.link != nil {
			dopt.Nudger = s.link.StoreLink("")
		}
		if s.database, err = mariadb.Open(dopt); err != nil {
			return fmt.Errorf("%s: %w", store.PropDatabaseHosts, err)
		}
		sopt.Truth = s.database
		s.setup = httpapi.StoreSetup{Kind: httpapi.StoreDatabase, Truth: s.database.Describe(), Adopt: s.adoptDatabase}
	case s.link != nil:
		sopt.Truth = store.NoTruth{Reason: noStore}
		s.setup = httpapi.StoreSetup{Kind: httpapi.StoreNone, Truth: "nowhere: no keeper and no database is configured"}
	default:
		s.setup = httpapi.StoreSetup{Kind: httpapi.StoreAlone, Truth: "the file of this member", Adopt: func(context.Context, bool) error { return s.store.AdoptAlone() }}
	}
	return nil
}

// adoptKeeper makes this member's file that of the keeper.
func (s *Node) adoptKeeper(ctx context.Context, force bool) error {
	return s.store.Adopt(store.Adoption{
		Force: force,
		Missing: func(at store.Head) ([]store.Sealed, bool, error) {
			return s.storeLink.Missing(ctx, s.store.Identity(), at)
		},
		Register: func(id store.Identity, head store.Head) (store.Identity, error) {
			return s.storeLink.Adopt(ctx, id, head)
		},
	})
}

// adoptDatabase makes what this member's file has the truth in the database.
func (s *Node) adoptDatabase(ctx context.Context, force bool) error {
	return s.store.Adopt(store.Adoption{
		Force: force,
		Register: func(_ store.Identity, head store.Head) (store.Identity, error) {
			return s.database.Adopt(ctx, s.store, head, force)
		},
	})
}
