package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/seed47708276/sluice/cascade"
)

// pending counts the connections of the listener for clients that are no sockets
// yet, by their peer. It has no more peers than there are such connections. The
// zero value is empty.
type pending struct {
	mu sync.Mutex
	of map[netip.Addr]int64
}

func (p *pending) add(peer netip.Addr) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[netip.Addr]int64)
	}
	p.of[peer]++
	return p.of[peer]
}

func (p *pending) remove(peer netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[peer]--; p.of[peer] <= 0 {
		delete(p.of, peer)
	}
}

// followClients is the ConnState of the listener for clients. A peer that has
// too many connections without a socket is refused more of them, but for this
// machine and the known proxies, behind whom all clients are.
func (s *Server) followClients(c net.Conn, state http.ConnState) {
	peer := netip.Addr{}
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		peer = at.Addr().Unmap().WithZone("")
	}
	switch state {
	case http.StateNew:
		mine := s.pending.add(peer)
		over := mine > cascade.ServerValue[int64](s.Engine.Snapshot(), PropMaxPending) && !peer.IsLoopback() && !s.Config().KnownProxy(peer)
		if s.budget.open.Add(1)+s.budget.sockets() > s.budget.clients || over {
			s.budget.refused.Add(1)
			_ = c.Close() // the server finds out, and says StateClosed
		}
	case http.StateHijacked, http.StateClosed:
		s.budget.open.Add(-1)
		s.pending.remove(peer)
	}
}
