package websockets

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// IPRules decide whether a session may be used from another address than before
// (docs/reference/handshake.md#ip-check). The zero value is mode none: every
// address may.
type IPRules struct {
	Strict    bool     // com.openexchange.IPCheck, or com.openexchange.ipcheck.mode=strict
	Whitelist []string // com.openexchange.IPCheckWhitelist: client ids, with * and ?
	MaskV4    int      // com.openexchange.IPMaskV4: bits that stay the same in one subnet; 0: no subnets
	MaskV6    int      // com.openexchange.IPMaskV6
	// Exempt is sluice.websockets.noIPCheck: addresses from which every session
	// may be used, where they are known to be the client's.
	Exempt []AddrRange
}

// ParseIPMask reads com.openexchange.IPMaskV4 (bits 32) or IPMaskV6 (128): a
// prefix length such as "/24" or "24", for version 4 also "255.255.255.0";
// nothing is 0. "/0" is refused: it would let every address pass, for which
// there is the mode none.
func ParseIPMask(text string, bits int) (int, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() && bits == 32 {
		if ones, _ := net.IPMask(a.AsSlice()).Size(); ones > 0 {
			return ones, nil
		}
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(text, "/")); err == nil && 0 < n && n <= bits {
		return n, nil
	}
	return 0, fmt.Errorf("%.64q is no subnet mask: write /1 to /%d", text, bits)
}

// The clients whose sessions keep the address of their login, because their
// devices change it all the time.
const (
	clientEAS  = "USM-EAS"
	clientJSON = "USM-JSON"
)

// pass reports whether a session may be used from an address that is not its
// own, and whether that address becomes its own.
func (r *IPRules) pass(s *Session, from clientAddress) (ok, adopt bool) {
	client := from.addr
	listed := r.lists(s.Client)
	adopt = listed || s.Client != clientEAS && s.Client != clientJSON
	ok = !r.Strict || listed || !from.assumed && inRanges(r.Exempt, client) || r.sameSubnet(s.Address, client)
	return ok, ok && adopt && client.IsValid()
}

func (r *IPRules) lists(client string) bool {
	for _, pattern := range r.Whitelist {
		if wildcard(pattern, client) {
			return true
		}
	}
	return false
}

func (r *IPRules) sameSubnet(a, b netip.Addr) bool {
	bits := r.MaskV4
	if a.Is6() {
		bits = r.MaskV6
	}
	if bits == 0 || a.BitLen() != b.BitLen() {
		return false
	}
	p, err := a.Prefix(bits)
	return err == nil && p.Contains(b)
}

// noAddressEvery is how often it is told that clients are refused because their
// address cannot be read: a proxy that is set up wrongly has all of them refused.
const noAddressEvery = 10 * time.Second

// noAddress tells that a session was refused for want of an address.
func (s *Server) noAddress(r *http.Request, session *Session, cfg *Config) {
	now := time.Now().UnixNano()
	last := s.toldNoAddress.Load()
	if last != 0 && now-last < int64(noAddressEvery) || !s.toldNoAddress.CompareAndSwap(last, now) {
		return
	}
	// What the header has is not repeated: it may be anything, a secret, too.
	s.log.Warn("the address of a client cannot be read, which the IP check refuses: look at what the proxy forwards, and whether it is in "+PropKnownProxies,
		slog.Any(keySession, session), slog.String("header", cfg.ForHeader),
		slog.Int("headers", len(r.Header.Values(cfg.ForHeader))), slog.String("peer", r.RemoteAddr))
}

// wildcard matches text against a pattern in which * stands for any text and ?
// for one byte.
func wildcard(pattern, text string) bool {
	p, t := 0, 0
	star, from := -1, 0 // the last *, and where the text that it stands for ends
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// checkAddress holds the client's address against the session's
// (docs/reference/handshake.md#ip-check). A session of our own store that was
// made without an address takes that of its first client.
func (s *Server) checkAddress(session *Session, from clientAddress, cfg *Config) (ok, adopt bool) {
	client := from.addr
	if s.opts.IPCheck != nil && !s.opts.IPCheck(session, client) {
		return false, false
	}
	if client.IsValid() && client == session.Address {
		return true, false
	}
	_, ours := s.opts.Sessions.(SessionMover)
	if ours && !session.Address.IsValid() && client.IsValid() {
		return true, true
	}
	var rules IPRules
	if cfg.IPRules != nil {
		rules = cfg.IPRules(session.Context, session.User)
	}
	ok, adopt = rules.pass(session, from)
	return ok, adopt && ours
}
