package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

// The keys of the platform's own configdb.properties. Its properties of a
// connection are numbered, each NAME=VALUE.
const (
	platformURL         = "readUrl"
	platformProperty    = "readProperty."
	maxPlatformProperty = 20
	platformDatabase    = "configdb"
)

// platformOptions reads where the platform's configuration database is; own
// tells that the user is Sluice's, which counts for the user databases too.
func platformOptions(e *cascade.Engine) (o sqlpool.Options, own bool, err error) {
	o = sqlpool.Options{
		Hosts: cascade.ServerValue[[]string](e.Snapshot(), platform.PropHosts), Database: cascade.ServerValue[string](e.Snapshot(), platform.PropDatabase),
		User: cascade.ServerValue[string](e.Snapshot(), platform.PropUser), Password: cascade.ServerValue[string](e.Snapshot(), platform.PropPassword),
	}
	own = o.User != ""
	sn := e.Snapshot()
	if v, ok := sn.Get(cascade.Subject{}, platformURL); ok {
		hosts, database, err := platform.ParseURL(v.Text)
		if err != nil && len(o.Hosts) == 0 {
			return o, own, fmt.Errorf("%s of configdb.properties: %w", platformURL, err)
		}
		if len(o.Hosts) == 0 {
			o.Hosts = hosts
		}
		if o.Database == "" {
			o.Database = database
		}
	}
	for i := 1; i <= maxPlatformProperty && !own; i++ {
		v, ok := sn.Get(cascade.Subject{}, platformProperty+strconv.Itoa(i))
		if !ok {
			continue
		}
		switch name, value, _ := strings.Cut(v.Text, "="); strings.TrimSpace(name) {
		case "user":
			o.User = value
		case "password":
			o.Password = value
		}
	}
	if o.Database == "" {
		o.Database = platformDatabase
	}
	switch {
	case len(o.Hosts) == 0:
		return o, own, fmt.Errorf("%s is true, and nothing names the platform's database: set %s, or let the tree have its configdb.properties", platform.PropEnabled, platform.PropHosts)
	case o.User == "":
		return o, own, fmt.Errorf("%s is true, and nothing names its user: set %s and %s", platform.PropEnabled, platform.PropUser, platform.PropPassword)
	}
	o.TLS, err = databaseTLS(e, platform.PropTLS, platform.PropCA)
	return o, own, err
}

// openPlatform makes the reader of the platform's database, where the tree wants
// it.
func (n *Node) openPlatform() error {
	if !cascade.ServerValue[bool](n.engine.Snapshot(), platform.PropEnabled) {
		return nil
	}
	config, own, err := platformOptions(n.engine)
	if err != nil {
		return err
	}
	n.platform, err = platform.New(platform.Options{
		Config: config, Own: own, TLS: config.TLS, Engine: n.engine, Logger: n.log,
		Refresh: func() time.Duration {
			return cascade.ServerValue[time.Duration](n.engine.Snapshot(), platform.PropRefresh)
		},
		Queries: func() int { return int(cascade.ServerValue[int64](n.engine.Snapshot(), platform.PropQueries)) },
		Write:   func() bool { return cascade.ServerValue[bool](n.engine.Snapshot(), platform.PropWrite) },
		Connected: func(yield func(cascade.Subject) bool) {
			n.sockets.Users(func(context, user uint32) bool {
				return yield(cascade.Subject{Context: context, User: user})
			})
		},
	})
	return err
}

// loadUser makes the gate know a user.
func (n *Node) loadUser(ctx context.Context, contextID, user uint32) error {
	return n.platform.Load(ctx, cascade.Subject{Context: contextID, User: user})
}
