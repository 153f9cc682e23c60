package websockets

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// MaxRanges bounds com.openexchange.server.knownProxies, because every
// handshake walks the list for every forwarded address, and
// sluice.websockets.noIPCheck.
const MaxRanges = 256

// maxForwarded bounds the forwarded addresses that a handshake looks at, from
// the right. Chains of proxies are far shorter.
const maxForwarded = 32

// AddrRange is a range of addresses of one family, both ends included.
type AddrRange struct{ From, To netip.Addr }

// ParseRanges reads the comma list of com.openexchange.server.knownProxies or
// sluice.websockets.noIPCheck: single addresses, CIDR prefixes and "from-to"
// ranges (docs/reference/handshake.md#client-address). The error names the
// first entry that is none of these; the caller decides whether the old list
// stays.
func ParseRanges(list string) ([]AddrRange, error) {
	var ranges []AddrRange
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		r, err := parseRange(entry)
		if err != nil {
			return nil, err
		}
		if len(ranges) == MaxRanges {
			return nil, fmt.Errorf("more than %d entries: use prefixes such as 10.0.0.0/8", MaxRanges)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parseRange(entry string) (AddrRange, error) {
	bad := fmt.Errorf("%.64q is no address, prefix (10.0.0.0/8) or range (10.0.0.1-10.0.0.9)", entry)
	if p, err := netip.ParsePrefix(entry); err == nil {
		p = p.Masked()
		return AddrRange{p.Addr().Unmap(), lastOf(p).Unmap()}, nil
	}
	from, to, isRange := strings.Cut(entry, "-")
	a, err := netip.ParseAddr(strings.TrimSpace(from))
	if err != nil {
		return AddrRange{}, bad
	}
	b := a
	if isRange {
		if b, err = netip.ParseAddr(strings.TrimSpace(to)); err != nil {
			return AddrRange{}, bad
		}
	}
	a, b = a.Unmap().WithZone(""), b.Unmap().WithZone("")
	if a.BitLen() != b.BitLen() || b.Less(a) {
		return AddrRange{}, bad
	}
	return AddrRange{a, b}, nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (r AddrRange) contains(a netip.Addr) bool {
	return a.BitLen() == r.From.BitLen() && !a.Less(r.From) && !r.To.Less(a)
}

// clientAddress is where a handshake comes from.
type clientAddress struct {
	addr netip.Addr // zero: not known
	// assumed: it is that of the connection, where a proxy could have forwarded
	// another. It may be the proxy's own, which exempts nobody from the IP check.
	assumed bool
}

// clientAddr is the address of the client
// (docs/reference/handshake.md#client-address): of the forwarded ones, from the
// right, the first that is no known proxy. Where that is no address ("unknown",
// "_hidden"), or none but proxies are named, the address is not known; so it is
// where nothing is forwarded and the connection is that of a known proxy.
// Without proxies it is the peer of the connection, if that has an IP address.
func clientAddr(r *http.Request, cfg *Config) clientAddress {
	if cfg.ConsiderXForwards {
		if values := r.Header.Values(cfg.ForHeader); len(values) > 0 {
			return clientAddress{addr: forwardedAddr(values, cfg.KnownProxies)}
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return clientAddress{}
	}
	a := plainAddr(peer.Addr())
	if cfg.ConsiderXForwards && inRanges(cfg.KnownProxies, a) {
		return clientAddress{}
	}
	return clientAddress{addr: a, assumed: cfg.ConsiderXForwards}
}

// forwardedAddr is zero where the client's address cannot be read.
func forwardedAddr(values []string, proxies []AddrRange) netip.Addr {
	rest := strings.Join(values, ",")
	for range maxForwarded {
		entry := rest
		comma := strings.LastIndexByte(rest, ',')
		if comma >= 0 {
			entry = rest[comma+1:]
			rest = rest[:comma]
		}
		a, ok := parseForwarded(strings.TrimSpace(entry))
		if !ok {
			return netip.Addr{}
		}
		if !inRanges(proxies, a) {
			return a
		}
		if comma < 0 {
			return netip.Addr{}
		}
	}
	return netip.Addr{}
}

// parseForwarded reads what proxies write: an address, ADDRESS:PORT, and one of
// version 6 in brackets with a port or without; each also in quotes.
func parseForwarded(entry string) (netip.Addr, bool) {
	if n := len(entry); n >= 2 && entry[0] == '"' && entry[n-1] == '"' {
		entry = entry[1 : n-1]
	}
	if a, err := netip.ParseAddr(entry); err == nil {
		return plainAddr(a), true
	}
	if ap, err := netip.ParseAddrPort(entry); err == nil {
		return plainAddr(ap.Addr()), true
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if a, err := netip.ParseAddr(inner); err == nil && a.Is6() {
				return plainAddr(a), true
			}
		}
	}
	return netip.Addr{}, false
}

// plainAddr has one form for each address.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// KnownProxy reports whether an address is one of KnownProxies.
func (c *Config) KnownProxy(a netip.Addr) bool { return inRanges(c.KnownProxies, a) }

func inRanges(ranges []AddrRange, a netip.Addr) bool {
	for _, r := range ranges {
		if r.contains(a) {
			return true
		}
	}
	return false
}

// overTLS reports whether the client is known to use TLS: up to here, or up to
// a proxy that says wss (docs/reference/handshake.md#client-address; other
// values do not count).
func overTLS(r *http.Request, cfg *Config) bool {
	return r.TLS != nil || cfg.ConsiderXForwards && strings.EqualFold(r.Header.Get(cfg.ProtocolHeader), "wss")
}

// ForwardedAddrs are the addresses that a header of proxies names, the client's
// first. ok is false where one of them cannot be read, or there are too many.
func ForwardedAddrs(values []string) (list []netip.Addr, ok bool) {
	for entry := range strings.SplitSeq(strings.Join(values, ","), ",") {
		a, ok := parseForwarded(strings.TrimSpace(entry))
		if !ok || len(list) == maxForwarded {
			return nil, false
		}
		list = append(list, a)
	}
	return list, true
}

// InRanges reports whether one of the ranges has the address.
func InRanges(ranges []AddrRange, a netip.Addr) bool { return inRanges(ranges, plainAddr(a)) }
