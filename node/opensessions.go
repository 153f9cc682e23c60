package node

import (
	"fmt"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
	"github.com/seed47708276/sluice/websockets/appsuite"
	"github.com/seed47708276/sluice/websockets/redissessions"
)

// openSessions returns those of App Suite where it keeps them in Redis, else our
// own: in the Redis of the cluster, or in memory.
func (s *Node) openSessions() (websockets.Sessions, error) {
	if !cascade.ServerValue[bool](s.engine.Snapshot(), websockets.PropRedisSessions) {
		if s.link != nil {
			return redissessions.New(redissessions.Options{
				Client: s.redis, Cluster: s.link.Name(), Logger: s.log,
				Limits:  func() websockets.SessionConfig { return s.settings.Config().Sessions },
				Removed: s.sessionEnded,
				Ready:   s.agreeSalt,
			})
		}
		s.own = websockets.NewMemorySessions(func(ses *websockets.Session) { s.sockets.CloseSession(ses) })
		if err := s.own.Keep(sessionShelf{s.store}, s.log); err != nil {
			return nil, err
		}
		s.own.Limit(func() websockets.SessionConfig { return s.settings.Config().Sessions })
		return s.own, nil
	}
	if cascade.ServerValue[string](s.engine.Snapshot(), websockets.PropCookieSalt) == "" {
		return nil, fmt.Errorf("%s is not set: with %s the cookies are App Suite's, so set its salt", websockets.PropCookieSalt, websockets.PropRedisSessions)
	}
	if s.redis == nil {
		way, _, err := remote.ReadRedis(s.engine.Snapshot())
		if err != nil {
			return nil, err
		}
		remote.SetRedisLogger(s.log)
		if w := way.Warning(); w != "" {
			s.redisWarning = w
			s.log.Warn(w)
		}
		if s.redis, err = remote.NewClient(way); err != nil {
			return nil, fmt.Errorf("%w: %s needs the Redis of App Suite (com.openexchange.redis.hosts)", err, websockets.PropRedisSessions)
		}
	}
	var err error
	s.appSuite, err = appsuite.New(appsuite.Options{
		Client: s.redis, Config: s.settings.Config, Logger: s.log,
		Held: func(ids map[string]bool) []websockets.Selector { return s.sockets.Held(ids) },
		End:  func(sel websockets.Selector) { s.sockets.CloseSockets(sel, websockets.CauseSession) },
	})
	return s.appSuite, err
}
