package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
)

// Platform is the platform's own database.
type Platform interface {
	// Load makes the engine know a context or a user; platform.ErrUnavailable
	// where that cannot be.
	Load(ctx context.Context, su cascade.Subject) error
	// Refresh reads all connected users again.
	Refresh(ctx context.Context) error
	Status() platform.Status
	// Write changes an attribute there; Reread reads a subject that another member
	// has changed.
	Write(ctx context.Context, w platform.Write) (platform.Change, error)
	Reread(ctx context.Context, su cascade.Subject) error
	// Sample returns up to n users, chosen by chance.
	Sample(ctx context.Context, n int) ([]cascade.Subject, error)
}

// load makes the engine know whom a question is about.
func (s *Server) load(ctx context.Context, su cascade.Subject) error {
	if s.Platform == nil {
		return nil
	}
	err := s.Platform.Load(ctx, su)
	if errors.Is(err, platform.ErrUnavailable) {
		return fail(http.StatusServiceUnavailable, "platform_unavailable", "%s: ask again when it answers (GET /admin/v1/platform)", err)
	}
	return err
}

func (s *Server) platformStatus(w http.ResponseWriter, _ *http.Request) error {
	if s.Platform == nil {
		return s.answer(w, http.StatusOK, platform.Status{Status: platform.Off, Problems: []string{}})
	}
	return s.answer(w, http.StatusOK, s.Platform.Status())
}

// refreshPlatform reads connected users again, at once, and tells how that went.
func (s *Server) refreshPlatform(w http.ResponseWriter, r *http.Request) error {
	if err := needsNoBody(w, r); err != nil {
		return err
	}
	if s.Platform != nil {
		s.Logger.Info("refresh of the platform asked for", "actor", Actor(r.Context()))
		if err := s.Platform.Refresh(r.Context()); err != nil {
			return fail(http.StatusServiceUnavailable, "platform_unavailable", "the platform's database was not read again: %s", err)
		}
	}
	return s.platformStatus(w, r)
}
