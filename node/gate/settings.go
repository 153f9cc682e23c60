package gate

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
// own: those of App Suite need the salt of the existing system. maxSockets is
// how many sockets the process has descriptors for.
func NewSettings(e *cascade.Engine, log *slog.Logger, ownSalt string, maxSockets int) *Settings {
	s := &Settings{engine: e, log: log, salt: ownSalt, maxSockets: maxSockets}
	s.appSuite = cascade.ServerValue[bool](e.Snapshot(), websockets.PropRedisSessions)
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
	// All are of one snapshot, so that a configuration never mixes two loads.
	sn, c := s.engine.Snapshot(), websockets.DefaultConfig()
	c.AllowedOrigins = cascade.ServerValue[[]string](sn, websockets.PropAllowedOrigins)
	c.MaxPerUser = int(cascade.ServerValue[int64](sn, websockets.PropMaxPerUser))
	c.MaxSockets = s.maxSockets
	c.PingInterval = cascade.ServerValue[time.Duration](sn, websockets.PropPingInterval)
	c.PingTimeout = cascade.ServerValue[time.Duration](sn, websockets.PropPingTimeout)
	c.ConnectTimeout = cascade.ServerValue[time.Duration](sn, websockets.PropConnectTimeout)
	c.MaxPayload = cascade.ServerValue[int64](sn, websockets.PropMaxPayload)
	c.QueueMessages = int(cascade.ServerValue[int64](sn, websockets.PropQueueMessages))
	c.QueueBytes = int(cascade.ServerValue[int64](sn, websockets.PropQueueBytes))
	c.MaxWaiting = int(cascade.ServerValue[int64](sn, websockets.PropMaxWaiting))
	c.Arrivals = int(cascade.ServerValue[int64](sn, websockets.PropArrivals))
	c.DrainSpread = cascade.ServerValue[time.Duration](sn, websockets.PropDrainSpread)
	c.Rebalance = cascade.ServerValue[bool](sn, websockets.PropRebalance)
	c.RebalanceSpread = cascade.ServerValue[time.Duration](sn, websockets.PropRebalanceSpread)
	c.Cookie = websockets.CookieConfig{
		Hash:   cascade.ServerValue[string](sn, websockets.PropCookieHash),
		Fields: cascade.ServerValue[[]string](sn, websockets.PropCookieFields),
		Salt:   cascade.ServerValue[string](sn, websockets.PropCookieSalt),
	}
	c.Cookie.Salt = s.saltOr(c.Cookie.Salt)
	c.ConsiderXForwards = cascade.ServerValue[bool](sn, websockets.PropConsiderXForwards)
	c.ForHeader = cascade.ServerValue[string](sn, websockets.PropForHeader)
	c.ProtocolHeader = cascade.ServerValue[string](sn, websockets.PropProtocolHeader)
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
		Max:          int(cascade.ServerValue[int64](sn, websockets.PropMaxSessions)),
		MaxPerUser:   int(cascade.ServerValue[int64](sn, websockets.PropMaxSessionsPerUser)),
		Lifetime:     time.Duration(cascade.ServerValue[int64](sn, websockets.PropSessionLifetime)) * time.Millisecond,
		LongLifetime: cascade.ServerValue[time.Duration](sn, websockets.PropLongLifetime),
	}
	s.cur.Store(c)
}

// recovery is how long what a user's clients miss is kept.
func (s *Settings) recovery(context, user uint32) time.Duration {
	return cascade.ValueOf[time.Duration](s.engine.Snapshot(), cascade.Subject{Context: context, User: user}, websockets.PropRecovery)
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
	list, err := websockets.ParseRanges(cascade.ServerValue[string](sn, name))
	if err != nil {
		s.log.Error("the addresses stay as they were: correct the list", "property", name, "ranges", len(old), "err", err)
		return old
	}
	return list
}

// checkIPProperties reports what does not fit in the server scope.
func (s *Settings) checkIPProperties(sn *cascade.Snapshot) {
	if mode := cascade.ServerValue[string](sn, websockets.PropIPCheckMode); mode == websockets.IPCheckCountry {
		s.log.Error("there is no data on countries here: the check counts as strict, set none or strict", "property", websockets.PropIPCheckMode)
	}
	for name, bits := range map[string]int{websockets.PropIPMaskV4: 32, websockets.PropIPMaskV6: 128} {
		if _, err := websockets.ParseIPMask(cascade.ServerValue[string](sn, name), bits); err != nil {
			s.log.Error("subnets are not considered: correct the mask", "property", name, "err", err)
		}
	}
}

// ipRules resolves the rules of a user, which any scope may set. A mask that
// does not fit is no mask, so that the check gets stricter.
func (s *Settings) ipRules(exempt []websockets.AddrRange) func(context, user uint32) websockets.IPRules {
	return func(context, user uint32) websockets.IPRules {
		su, sn := cascade.Subject{Context: context, User: user}, s.engine.Snapshot()
		rules := websockets.IPRules{
			Strict: cascade.ValueOf[bool](sn, su, websockets.PropIPCheck) ||
				cascade.ValueOf[string](sn, su, websockets.PropIPCheckMode) != websockets.IPCheckNone,
			Exempt: exempt,
		}
		for _, client := range cascade.ValueOf[[]string](sn, su, websockets.PropIPWhitelist) {
			rules.Whitelist = append(rules.Whitelist, strings.Trim(client, `"`))
		}
		rules.MaskV4 = s.mask(sn, su, websockets.PropIPMaskV4, 32)
		rules.MaskV6 = s.mask(sn, su, websockets.PropIPMaskV6, 128)
		return rules
	}
}

func (s *Settings) mask(sn *cascade.Snapshot, su cascade.Subject, name string, bits int) int {
	n, err := websockets.ParseIPMask(cascade.ValueOf[string](sn, su, name), bits)
	if err != nil {
		s.log.Warn("subnets are not considered for a user: correct the mask", "property", name, "context", su.Context, "user", su.User, "err", err)
	}
	return n
}
