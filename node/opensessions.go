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
func (n *Node) openSessions() (websockets.Sessions, error) {
	if !cascade.ServerValue[bool](n.engine.Snapshot(), websockets.PropRedisSessions) {
		if n.link != nil {
			return redissessions.New(redissessions.Options{
				Client: n.redis, Cluster: n.link.Name(), Logger: n.log,
				Limits:  func() websockets.SessionConfig { return n.settings.Config().Sessions },
				Removed: n.sessionEnded,
				Ready:   n.agreeSalt,
			})
		}
		n.own = websockets.NewMemorySessions(func(ses *websockets.Session) { n.sockets.CloseSession(ses) })
		if err := n.own.Keep(sessionShelf{n.store}, n.log); err != nil {
			return nil, err
		}
		n.own.Limit(func() websockets.SessionConfig { return n.settings.Config().Sessions })
		return n.own, nil
	}
	if cascade.ServerValue[string](n.engine.Snapshot(), websockets.PropCookieSalt) == "" {
		return nil, fmt.Errorf("%s is not set: with %s the cookies are App Suite's, so set its salt", websockets.PropCookieSalt, websockets.PropRedisSessions)
	}
	if n.redis == nil {
		way, _, err := remote.ReadRedis(n.engine.Snapshot())
		if err != nil {
			return nil, err
		}
		remote.SetRedisLogger(n.log)
		if w := way.Warning(); w != "" {
			n.redisWarning = w
			n.log.Warn(w)
		}
		if n.redis, err = remote.NewClient(way); err != nil {
			return nil, fmt.Errorf("%w: %s needs the Redis of App Suite (com.openexchange.redis.hosts)", err, websockets.PropRedisSessions)
		}
	}
	var err error
	n.appSuite, err = appsuite.New(appsuite.Options{
		Client: n.redis, Config: n.settings.Config, Logger: n.log,
		Held: func(ids map[string]bool) []websockets.Selector { return n.sockets.Held(ids) },
		End:  func(sel websockets.Selector) { n.sockets.CloseSockets(sel, websockets.CauseSession) },
	})
	return n.appSuite, err
}
