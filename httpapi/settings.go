package httpapi

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Settings keeps the sockets' configuration as the engine has it now.
type Settings struct {
	engine *cascade.Engine
	log    *slog.Logger
	salt   string
	mu     sync.Mutex // one read at a time, so that none stores an older state
	cur    atomic.Pointer[websockets.Config]
}

// NewSettings follows the engine for as long as that lives. ownSalt is the
// salt of the cookie's name where the tree has none.
func NewSettings(e *cascade.Engine, log *slog.Logger, ownSalt string) *Settings {
	s := &Settings{engine: e, log: log, salt: ownSalt}
	names := make([]string, 0, len(websockets.Properties))
	for _, d := range websockets.Properties {
		names = append(names, d.Name)
	}
	e.Subscribe(names, func([]cascade.EffectiveChange) { s.read() })
	// After Subscribe: a change between the two would go unnoticed.
	s.read()
	return s
}

// Config returns the current settings; they are not changed.
func (s *Settings) Config() *websockets.Config { return s.cur.Load() }

func (s *Settings) read() {
	s.mu.Lock()
	defer s.mu.Unlock()
	sn, c := s.engine.Snapshot(), websockets.DefaultConfig()
	c.AllowedOrigins = server[[]string](sn, websockets.PropAllowedOrigins)
	c.MaxPerUser = int(server[int64](sn, websockets.PropMaxPerUser))
	c.PingInterval = server[time.Duration](sn, websockets.PropPingInterval)
	c.PingTimeout = server[time.Duration](sn, websockets.PropPingTimeout)
	c.ConnectTimeout = server[time.Duration](sn, websockets.PropConnectTimeout)
	c.MaxPayload = server[int64](sn, websockets.PropMaxPayload)
	c.QueueMessages = int(server[int64](sn, websockets.PropQueueMessages))
	c.QueueBytes = int(server[int64](sn, websockets.PropQueueBytes))
	c.DrainSpread = server[time.Duration](sn, websockets.PropDrainSpread)
	c.Cookie = websockets.CookieConfig{
		Hash:   server[string](sn, websockets.PropCookieHash),
		Fields: server[[]string](sn, websockets.PropCookieFields),
		Salt:   server[string](sn, websockets.PropCookieSalt),
	}
	if c.Cookie.Salt == "" {
		c.Cookie.Salt = s.salt
	}
	c.ConsiderXForwards = server[bool](sn, websockets.PropConsiderXForwards)
	c.ForHeader = server[string](sn, websockets.PropForHeader)
	proxies, err := websockets.ParseProxies(server[string](sn, websockets.PropKnownProxies))
	if err != nil {
		if old := s.cur.Load(); old != nil {
			proxies = old.KnownProxies
		}
		s.log.Error("the known proxies stay as they were: correct the list", "property", websockets.PropKnownProxies, "proxies", len(proxies), "err", err)
	}
	c.KnownProxies = proxies
	s.cur.Store(c)
}

// server is a value of the server view. All of a configuration come from one
// snapshot, so that it never mixes two loads.
func server[T any](sn *cascade.Snapshot, name string) T {
	v, _ := sn.Get(cascade.Subject{}, name)
	t, _ := v.Effective.(T)
	return t
}
