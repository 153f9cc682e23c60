package httpapi

import (
	"log/slog"
	"sync/atomic"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Settings keeps the sockets' configuration as the engine has it now.
type Settings struct {
	engine *cascade.Engine
	log    *slog.Logger
	salt   string
	cur    atomic.Pointer[websockets.Config]
}

// NewSettings follows the engine for as long as that lives. ownSalt is the
// salt of the cookie's name where the tree has none.
func NewSettings(e *cascade.Engine, log *slog.Logger, ownSalt string) *Settings {
	s := &Settings{engine: e, log: log, salt: ownSalt}
	s.read()
	names := make([]string, 0, len(websockets.Properties))
	for _, d := range websockets.Properties {
		names = append(names, d.Name)
	}
	e.Subscribe(names, func([]cascade.EffectiveChange) { s.read() })
	return s
}

// Config returns the current settings; they are not changed.
func (s *Settings) Config() *websockets.Config { return s.cur.Load() }

func (s *Settings) read() {
	e, c := s.engine, websockets.DefaultConfig()
	c.AllowedOrigins = e.List(websockets.PropAllowedOrigins).Server()
	c.MaxPerUser = int(e.Int(websockets.PropMaxPerUser).Server())
	c.PingInterval = e.TimeSpan(websockets.PropPingInterval).Server()
	c.PingTimeout = e.TimeSpan(websockets.PropPingTimeout).Server()
	c.ConnectTimeout = e.TimeSpan(websockets.PropConnectTimeout).Server()
	c.MaxPayload = e.Int(websockets.PropMaxPayload).Server()
	c.QueueMessages = int(e.Int(websockets.PropQueueMessages).Server())
	c.QueueBytes = int(e.Int(websockets.PropQueueBytes).Server())
	c.Cookie = websockets.CookieConfig{
		Hash:   e.Text(websockets.PropCookieHash).Server(),
		Fields: e.List(websockets.PropCookieFields).Server(),
		Salt:   e.Text(websockets.PropCookieSalt).Server(),
	}
	if c.Cookie.Salt == "" {
		c.Cookie.Salt = s.salt
	}
	c.ConsiderXForwards = e.Bool(websockets.PropConsiderXForwards).For(cascade.Subject{})
	c.ForHeader = e.Text(websockets.PropForHeader).Server()
	proxies, err := websockets.ParseProxies(e.Text(websockets.PropKnownProxies).Server())
	if err != nil {
		s.log.Error("the known proxies stay as they were", "key", websockets.PropKnownProxies, "err", err)
		if old := s.cur.Load(); old != nil {
			proxies = old.KnownProxies
		}
	}
	c.KnownProxies = proxies
	s.cur.Store(c)
}
