package httpapi

import (
	"math/rand/v2"
	"net/http"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// sampledUser is a user by its ids.
type sampledUser struct {
	Context uint32 `json:"context"`
	User    uint32 `json:"user"`
}

// sampleOfUsers answers with some users, chosen by chance: of the platform where
// its database is read, else of the directory and of those who are connected
// here.
func (s *Server) sampleOfUsers(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	var list []cascade.Subject
	if s.Platform != nil {
		if list, err = s.Platform.Sample(r.Context(), limit); err != nil {
			return fail(http.StatusServiceUnavailable, "platform_unavailable", "the platform's database was not read: %s", err)
		}
	} else if list, err = s.sampleKnown(limit); err != nil {
		return err
	}
	out := []sampledUser{}
	for _, su := range list {
		out = append(out, sampledUser{su.Context, su.User})
	}
	return s.answer(w, http.StatusOK, map[string]any{"users": out})
}

// sampleKnown takes half of the connected users, and the rest of the directory,
// from an id chosen by chance on.
func (s *Server) sampleKnown(limit int) (list []cascade.Subject, err error) {
	seen, met := 0, map[cascade.Subject]bool{}
	s.Sockets.Users(func(context, user int32) bool {
		su := cascade.Subject{Context: uint32(context), User: uint32(user)}
		if seen++; len(list) < (limit+1)/2 {
			list = append(list, su)
		} else if at := rand.IntN(seen); at < len(list) {
			list[at] = su
		}
		return true
	})
	for _, su := range list {
		met[su] = true
	}
	if s.Fixed {
		return list, nil
	}
	// Contexts are numbered from 1 on: half of the starts are among the first.
	from := store.UserKey(rand.Uint32N(uint32(1)<<(1+rand.Uint32N(30))), rand.Uint32N(cascade.MaxID))
	for _, after := range []*store.Key{&from, nil} {
		records, _, err := s.Store.List(store.KindUser, cascade.Subject{}, false, after, limit, func(r *store.Record) bool { return !r.Deleted })
		if err != nil {
			return list, s.readProblem(err)
		}
		for _, r := range records {
			if su := r.Subject(); len(list) < limit && !met[su] {
				met[su] = true
				list = append(list, su)
			}
		}
	}
	return list, nil
}
