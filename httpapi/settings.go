package httpapi

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Settings keeps the sockets' configuration as the engine has it now.
type Settings struct {
	engine     *cascade.Engine
	log        *slog.Logger
	salt       string // our own; changed by SetSalt
	maxSockets int
	appSuite   bool       // the sessions are those of App Suite; fixed at start
	mu         sync.Mutex // one read at a time, so that none stores an older state
	exempt     []websockets.AddrRange
	cur        atomic.Pointer[websockets.Config]
}

// NewSettings follows the engine for as long as that lives. ownSalt is the
// salt of the cookie's name where the tree has none and the sessions are our
// own: those of App Suite need the salt of the existing system. files is how
// many descriptors the process may have, which bounds the sockets.
func NewSettings(e *cascade.Engine, log *slog.Logger, ownSalt string, files int) *Settings {
	s := &Settings{engine: e, log: log, salt: ownSalt, maxSockets: maxSockets(files)}
	s.appSuite = server[bool](e.Snapshot(), websockets.PropRedisSessions)
	names := make([]string, 0, len(websockets.Properties))
	for _, d := range websockets.Properties {
		names = append(names, d.Name)
	}
	e.Subscribe(names, func([]cascade.EffectiveChange) { s.read() })
	// After Subscribe: a change between the two would go unnoticed.
	s.read()
	return s
}

// SetSalt changes our own salt, to that of the cluster.
func (s *Settings) SetSalt(salt string) {
	s.mu.Lock()
	s.salt = salt
	s.mu.Unlock()
	s.read()
}

// Config returns the current settings; they are not changed.
func (s *Settings) Config() *websockets.Config { return s.cur.Load() }

func (s *Settings) read() {
	s.mu.Lock()
	defer s.mu.Unlock()
	sn, c := s.engine.Snapshot(), websockets.DefaultConfig()
	c.AllowedOrigins = server[[]string](sn, websockets.PropAllowedOrigins)
	c.MaxPerUser = int(server[int64](sn, websockets.PropMaxPerUser))
	c.MaxSockets = s.maxSockets
	c.PingInterval = server[time.Duration](sn, websockets.PropPingInterval)
	c.PingTimeout = server[time.Duration](sn, websockets.PropPingTimeout)
	c.ConnectTimeout = server[time.Duration](sn, websockets.PropConnectTimeout)
	c.MaxPayload = server[int64](sn, websockets.PropMaxPayload)
	c.QueueMessages = int(server[int64](sn, websockets.PropQueueMessages))
	c.QueueBytes = int(server[int64](sn, websockets.PropQueueBytes))
	c.MaxWaiting = int(server[int64](sn, websockets.PropMaxWaiting))
	c.Arrivals = int(server[int64](sn, websockets.PropArrivals))
	c.DrainSpread = server[time.Duration](sn, websockets.PropDrainSpread)
	c.Rebalance = server[bool](sn, websockets.PropRebalance)
	c.RebalanceSpread = server[time.Duration](sn, websockets.PropRebalanceSpread)
	c.Cookie = websockets.CookieConfig{
		Hash:   server[string](sn, websockets.PropCookieHash),
		Fields: server[[]string](sn, websockets.PropCookieFields),
		Salt:   server[string](sn, websockets.PropCookieSalt),
	}
	c.Cookie.Salt = s.saltOr(c.Cookie.Salt)
	c.ConsiderXForwards = server[bool](sn, websockets.PropConsiderXForwards)
	c.ForHeader = server[string](sn, websockets.PropForHeader)
	c.ProtocolHeader = server[string](sn, websockets.PropProtocolHeader)
	var proxies []websockets.AddrRange
	if before := s.cur.Load(); before != nil {
		proxies = before.KnownProxies
	}
	c.KnownProxies = s.ranges(sn, websockets.PropKnownProxies, proxies)
	s.exempt = s.ranges(sn, websockets.PropNoIPCheck, s.exempt)
	c.IPRules = s.ipRules(s.exempt)
	c.Recovery = s.recovery
	s.checkIPProperties(sn)
	c.Sessions = websockets.SessionConfig{
		Max:          int(server[int64](sn, websockets.PropMaxSessions)),
		MaxPerUser:   int(server[int64](sn, websockets.PropMaxSessionsPerUser)),
		Lifetime:     time.Duration(server[int64](sn, websockets.PropSessionLifetime)) * time.Millisecond,
		LongLifetime: server[time.Duration](sn, websockets.PropLongLifetime),
	}
	s.cur.Store(c)
}

// recovery is how long what a user's clients miss is kept.
func (s *Settings) recovery(context, user int32) time.Duration {
	return value[time.Duration](s.engine.Snapshot(), cascade.Subject{Context: uint32(context), User: uint32(user)}, websockets.PropRecovery)
}

// saltOr keeps the salt that App Suite's sessions were served with when a
// reload takes it away: without it nobody's cookie would fit.
func (s *Settings) saltOr(salt string) string {
	switch {
	case salt != "":
		return salt
	case !s.appSuite:
		return s.salt
	}
	before := s.cur.Load()
	if before == nil || before.Cookie.Salt == "" {
		return "" // with which the sessions do not start
	}
	s.log.Error("the salt stays as it was: App Suite sessions need one", "property", websockets.PropCookieSalt)
	return before.Cookie.Salt
}

func (s *Settings) ranges(sn *cascade.Snapshot, name string, old []websockets.AddrRange) []websockets.AddrRange {
	list, err := websockets.ParseRanges(server[string](sn, name))
	if err != nil {
		s.log.Error("the addresses stay as they were: correct the list", "property", name, "ranges", len(old), "err", err)
		return old
	}
	return list
}

// checkIPProperties reports what does not fit in the server scope.
func (s *Settings) checkIPProperties(sn *cascade.Snapshot) {
	if mode := server[string](sn, websockets.PropIPCheckMode); mode == websockets.IPCheckCountry {
		s.log.Error("there is no data on countries here: the check counts as strict, set none or strict", "property", websockets.PropIPCheckMode)
	}
	for name, bits := range map[string]int{websockets.PropIPMaskV4: 32, websockets.PropIPMaskV6: 128} {
		if _, err := websockets.ParseIPMask(server[string](sn, name), bits); err != nil {
			s.log.Error("subnets are not considered: correct the mask", "property", name, "err", err)
		}
	}
}

// ipRules resolves the rules of a user, which any scope may set. A mask that
// does not fit is no mask, so that the check gets stricter.
func (s *Settings) ipRules(exempt []websockets.AddrRange) func(context, user int32) websockets.IPRules {
	return func(context, user int32) websockets.IPRules {
		su, sn := cascade.Subject{Context: uint32(context), User: uint32(user)}, s.engine.Snapshot()
		rules := websockets.IPRules{
			Strict: value[bool](sn, su, websockets.PropIPCheck) ||
				value[string](sn, su, websockets.PropIPCheckMode) != websockets.IPCheckNone,
			Exempt: exempt,
		}
		for _, client := range value[[]string](sn, su, websockets.PropIPWhitelist) {
			rules.Whitelist = append(rules.Whitelist, strings.Trim(client, `"`))
		}
		rules.MaskV4 = s.mask(sn, su, websockets.PropIPMaskV4, 32)
		rules.MaskV6 = s.mask(sn, su, websockets.PropIPMaskV6, 128)
		return rules
	}
}

func (s *Settings) mask(sn *cascade.Snapshot, su cascade.Subject, name string, bits int) int {
	n, err := websockets.ParseIPMask(value[string](sn, su, name), bits)
	if err != nil {
		s.log.Warn("subnets are not considered for a user: correct the mask", "property", name, "context", su.Context, "user", su.User, "err", err)
	}
	return n
}

// server is a value of the server view. All of a configuration come from one
// snapshot, so that it never mixes two loads.
func server[T any](sn *cascade.Snapshot, name string) T {
	return value[T](sn, cascade.Subject{}, name)
}

func value[T any](sn *cascade.Snapshot, su cascade.Subject, name string) T {
	v, _ := sn.Get(su, name)
	t, _ := v.Effective.(T)
	return t
}
