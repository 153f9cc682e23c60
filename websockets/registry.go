package websockets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/seed47708276/sluice/shared"
)

// Registry is where a socket is made known to the other members of a cluster.
type Registry interface {
	// Register is called once the socket has passed every check and is in the
	// hub, before the 101. limit is how many sockets its user may have in the
	// cluster. It returns ErrTooMany, ErrDuplicate, nil, or another error when
	// the other members cannot be told: their messages would pass the socket by.
	// former is the member whose socket it takes over; "": none, or this one;
	// shared.FormerUnknown: Peers.Former tells.
	Register(ctx context.Context, r shared.Registration, limit int) (former string, err error)
	// Unregister is called for every socket for which Register was called, when
	// it leaves or was refused. It must not block.
	Unregister(r shared.Registration)
}

func (s *socket) registration() shared.Registration {
	return shared.Registration{
		ID: hex.EncodeToString(s.id[:]), Context: s.subject.context, User: s.subject.user,
		Connection: s.connection, Session: sessionDigest(s.session),
	}
}

// sessionDigest stands for the id of a session where the id itself is not to be.
func sessionDigest(id string) string {
	digest := sha256.Sum256([]byte(id))
	return hex.EncodeToString(digest[:8])
}

// registerInCluster registers a socket with the cluster.
func (s *Server) registerInCluster(ctx context.Context, sock *socket) *refusal {
	if s.opts.Registry == nil {
		return nil
	}
	former, err := s.opts.Registry.Register(ctx, sock.registration(), s.opts.Config().MaxPerUser)
	switch {
	case errors.Is(err, shared.ErrDuplicate):
		return refuseDuplicate
	case errors.Is(err, shared.ErrTooMany):
		return refuseTooMany
	case err != nil:
		return refuseCluster
	}
	if sock.rec != nil {
		sock.rec.former = former
	}
	if !s.hub.has(sock) { // the gate has closed it meanwhile
		s.opts.Registry.Unregister(sock.registration())
	}
	return nil
}

// withdraw takes a socket that has left the hub from the cluster's registry.
func (s *Server) withdraw(sock *socket) {
	if s.opts.Registry != nil {
		s.opts.Registry.Unregister(sock.registration())
	}
}

// Registrations calls f for the sockets in the hub until f returns false. No
// lock is held meanwhile.
func (s *Server) Registrations(f func(shared.Registration) bool) {
	goOn := true
	s.hub.subjects(func(k subject) bool {
		var list []shared.Registration
		s.hub.user(k, func(sock *socket) { list = append(list, sock.registration()) })
		for _, r := range list {
			if goOn = goOn && f(r); !goOn {
				break
			}
		}
		return goOn
	})
}

// Registered reports whether the socket is in the hub, or is about to leave.
func (s *Server) Registered(context, user uint32, id string) bool {
	found := false
	s.hub.user(subject{context, user}, func(sock *socket) { found = found || hex.EncodeToString(sock.id[:]) == id })
	if found {
		return true
	}
	sh := s.hub.shard(subject{context, user})
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for sock := range sh.leaving { // which may tell how far its client has got first
		found = found || sock.rec != nil && hex.EncodeToString(sock.id[:]) == id
	}
	return found
}
