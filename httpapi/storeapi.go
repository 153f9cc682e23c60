package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed47708276/sluice/cascade/store"
)

// storeAnswer is how the store of this member stands.
type storeAnswer struct {
	Status   string               `json:"status"` // ok or degraded
	Detail   string               `json:"detail"`
	Head     store.Head           `json:"head"`
	Records  map[store.Kind]int64 `json:"records"`
	Bytes    int64                `json:"bytes"`
	Diverged *store.DivergedError `json:"diverged"` // null: it has not
}

func (s *Server) storeStatus(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, s.storeAnswer())
}

func (s *Server) storeAnswer() storeAnswer {
	n := s.Store.Stats()
	a := storeAnswer{Status: "ok", Head: s.Store.Head(), Records: n.Records, Bytes: n.Bytes}
	if err := s.Store.Standing(); err != nil {
		a.Status, a.Detail = "degraded", err.Error()
		errors.As(err, &a.Diverged)
	}
	return a
}

// keepStore ends a divergence.
func (s *Server) keepStore(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Keep string `json:"keep"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	keep := store.Keep(in.Keep)
	if keep != store.KeepMember && keep != store.KeepCluster {
		return fail(http.StatusUnprocessableEntity, "bad_keep", "keep is member, for what this member has, or cluster")
	}
	ctx, cancel := context.WithTimeout(r.Context(), keepTimeout)
	defer cancel()
	backup, err := s.Store.Resolve(ctx, keep)
	var bad *store.BadWriteError
	if errors.As(err, &bad) {
		return fail(http.StatusConflict, "not_diverged", "%s", bad)
	}
	if err != nil {
		return s.storeProblem(err)
	}
	s.Logger.Warn("a divergence of the store is ended", "keep", in.Keep, "actor", Actor(r.Context()), "backup", backup)
	return s.answer(w, http.StatusOK, struct {
		storeAnswer
		Backup string `json:"backup"` // file with what this member had; "": nothing was replaced
	}{s.storeAnswer(), backup})
}
