package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
)

// StoreKind says where the decisions of a member are kept.
type StoreKind string

// The kinds.
const (
	StoreAlone    StoreKind = "alone"    // in its own file: it has no cluster
	StoreKeeper   StoreKind = "keeper"   // in its own file, for the cluster
	StoreFollower StoreKind = "follower" // in the keeper's
	StoreDatabase StoreKind = "database" // in MariaDB
	StoreNone     StoreKind = "none"     // the cluster does not say where
)

// StoreSetup is what the server knows of the store beside its file.
type StoreSetup struct {
	Kind   StoreKind
	Truth  string // where decisions are kept, in a sentence
	Keeper string // whom the files name the keeper; "": nobody
	// Adopt makes this member's file the truth, with force also one that does not
	// have all that the cluster has acknowledged. It returns store.ErrBehind
	// without. nil: it cannot be.
	Adopt func(ctx context.Context, force bool) error
}

// adoptTimeout bounds comparing a million records and handing them over.
const adoptTimeout = 10 * time.Minute

// storeAnswer is how the store of this member stands.
type storeAnswer struct {
	Status   string               `json:"status"` // ok or degraded
	Detail   string               `json:"detail"`
	Kind     StoreKind            `json:"kind"`
	Truth    string               `json:"truth"`
	Identity store.Identity       `json:"identity"`
	Head     store.Head           `json:"head"`
	Records  map[store.Kind]int64 `json:"records"`
	Bytes    int64                `json:"bytes"`
	Skipped  []string             `json:"skipped"` // keys whose records in the database do not parse
}

func (s *Server) storeStatus(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, s.storeAnswer())
}

func (s *Server) storeAnswer() storeAnswer {
	n := s.Store.Stats()
	a := storeAnswer{
		Status: "ok", Kind: s.StoreSetup.Kind, Truth: s.StoreSetup.Truth, Identity: s.Store.Identity(), Head: s.Store.Head(),
		Records: n.Records, Bytes: n.Bytes, Skipped: s.Store.Skipped(),
	}
	if a.Kind == "" {
		a.Kind, a.Truth = StoreAlone, "the file of this member"
	}
	if err := s.Store.Standing(); err != nil {
		a.Status, a.Detail = "degraded", err.Error()
	}
	return a
}

// adoptAnswer is what an adoption did, or would do.
type adoptAnswer struct {
	storeAnswer
	Adopted bool `json:"adopted"` // false: nobody has confirmed it
	// Differences are what others hold differently, Omitted how many more there
	// are at least.
	Differences []difference `json:"differences"`
	Omitted     int          `json:"omitted"`
	Unreachable []string     `json:"unreachable"` // members that did not say what they hold
}

// adoptStore makes this member's file the truth of its cluster.
func (s *Server) adoptStore(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Confirm bool `json:"confirm"`
		Force   bool `json:"force"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	if s.StoreSetup.Adopt == nil {
		return fail(http.StatusConflict, "not_adoptable", "the file of this member cannot become the truth (%s): ask the member that sluice.store.keeper names, or any where a database is configured", s.storeAnswer().Truth)
	}
	ctx, cancel := context.WithTimeout(r.Context(), adoptTimeout)
	defer cancel()
	out := adoptAnswer{Differences: []difference{}, Unreachable: []string{}}
	if err := s.compareStores(ctx, &out); err != nil {
		return s.readProblem(err)
	}
	if in.Confirm {
		err := s.StoreSetup.Adopt(ctx, in.Force)
		if errors.Is(err, store.ErrBehind) {
			return fail(http.StatusConflict, "behind", "%s: have the last keeper run until it is, or adopt it all the same with \"force\" (--force): what it does not have is then lost", err)
		}
		if err != nil {
			return s.storeProblem(err)
		}
		out.Adopted = true
		s.Logger.Warn("this member's store is adopted as the truth", "actor", Actor(r.Context()), "differences", len(out.Differences)+out.Omitted)
	}
	out.storeAnswer = s.storeAnswer()
	return s.answer(w, http.StatusOK, out)
}
