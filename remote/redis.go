package remote

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seed47708276/sluice/cascade"
)

const redisPrefix = "com.openexchange.redis."

// The modes of a Redis.
const (
	Standalone = "standalone"
	Sentinel   = "sentinel"
	Cluster    = "cluster"
)

// Redis is the way to a Redis, as the properties below com.openexchange.redis
// describe it (docs/reference/cluster.md#redis-properties).
type Redis struct {
	Mode       string   // Standalone, Sentinel or Cluster: never guessed from the number of hosts
	Hosts      []string // host or host:port; of the sentinels in that mode
	MasterID   string   // the master that the sentinels watch
	Username   string   // of Redis; sentinels are asked without credentials
	Password   string
	TLS        bool
	VerifyPeer bool   // whether the certificate must be one that this system trusts, for the host's name
	CA         string // PEM file of the authorities that are trusted instead of the system's; "": the system's
	Database   int    // -1 and 0: the first; a cluster has no other

	CommandTimeout time.Duration // of one read or write, above 0
	ConnectTimeout time.Duration // above 0, TLS included

	MaxConnections int           // 0 or less: defaultConnections; of each node of a cluster
	MaxIdle        int           // connections kept; 0 or less: all
	MinIdle        int           // 0 or less: none
	MaxWait        time.Duration // for a connection when all are in use; 0 or less: as long as the caller's context
	MaxIdleTime    time.Duration // of a connection; 0 or less: for ever
}

const (
	redisPort    = "6379"
	sentinelPort = "26379"

	// defaultConnections is where the existing system has no limit. A command
	// takes below a millisecond, so that these are enough for more than 50,000
	// a second, and each costs 64 KiB of buffers.
	defaultConnections = 64
	// unlimitedWait stands for a wait that only the caller's context ends.
	unlimitedWait = time.Hour
	// commandRetries is how often a command is tried again whose connection
	// turned out to be broken, as all are when Redis was restarted. A command
	// that timed out is tried again too: commands that must not run twice carry
	// an id.
	commandRetries  = 1
	minRetryBackoff = 10 * time.Millisecond
	maxRetryBackoff = 100 * time.Millisecond
	// clusterReload is how old the client's idea of the cluster may get. After
	// the death of a master go-redis dials the dead node until then.
	clusterReload = time.Second
)

// ReadRedis reads the properties in the server scope. enabled is false where
// com.openexchange.redis.enabled says so, or is absent as hosts and mode are.
// The error names the property that does not fit.
func ReadRedis(sn *cascade.Snapshot) (r Redis, enabled bool, err error) {
	if on, set := lookUp[bool](sn, "enabled"); set {
		enabled = on
	} else {
		_, hosts := lookUp[[]string](sn, "hosts")
		_, mode := lookUp[string](sn, "mode")
		enabled = hosts || mode
	}
	if !enabled {
		return Redis{}, false, nil
	}
	for _, d := range Properties {
		if v, _ := sn.Get(cascade.Subject{}, d.Name); v.Err != nil && strings.HasPrefix(d.Name, redisPrefix) {
			return Redis{}, true, fmt.Errorf("%s: %w", d.Name, v.Err)
		}
	}
	if on, _ := lookUp[bool](sn, "starttls"); on {
		return Redis{}, true, fmt.Errorf("%sstarttls: Redis cannot change to TLS on a connection: set %sssl and a port that speaks TLS", redisPrefix, redisPrefix)
	}
	r = Redis{
		Mode:           redisValue[string](sn, "mode"),
		Hosts:          redisValue[[]string](sn, "hosts"),
		MasterID:       redisValue[string](sn, "sentinel.masterId"),
		Username:       redisValue[string](sn, "username"),
		Password:       redisValue[string](sn, "password"),
		TLS:            redisValue[bool](sn, "ssl"),
		VerifyPeer:     redisValue[bool](sn, "verifyPeer"),
		CA:             caFile(sn),
		Database:       int(redisValue[int64](sn, "database")),
		CommandTimeout: redisDuration(sn, "commandTimeoutMillis", time.Millisecond),
		ConnectTimeout: redisDuration(sn, "connectTimeoutMillis", time.Millisecond),
		MaxConnections: int(redisValue[int64](sn, "connection.pool.maxTotal")),
		MaxIdle:        int(redisValue[int64](sn, "connection.pool.maxIdle")),
		MinIdle:        int(redisValue[int64](sn, "connection.pool.minIdle")),
		MaxWait:        redisDuration(sn, "connection.pool.maxWaitSeconds", time.Second),
		MaxIdleTime:    redisDuration(sn, "connection.pool.minIdleSeconds", time.Second),
	}
	return r, true, r.Validate()
}

// lookUp returns a value and whether the tree sets it.
func lookUp[T any](sn *cascade.Snapshot, name string) (value T, set bool) {
	v, ok := sn.Get(cascade.Subject{}, redisPrefix+name)
	value, _ = v.Effective.(T)
	return value, ok && v.Scope != cascade.ScopeDefault
}

func redisValue[T any](sn *cascade.Snapshot, name string) T {
	v, _ := lookUp[T](sn, name)
	return v
}

func redisDuration(sn *cascade.Snapshot, name string, unit time.Duration) time.Duration {
	return time.Duration(redisValue[int64](sn, name)) * unit
}

// Validate reports what no client can be made of.
func (r *Redis) Validate() error {
	if _, err := r.addresses(); err != nil {
		return err
	}
	switch {
	case r.Mode != Standalone && r.Mode != Sentinel && r.Mode != Cluster:
		return fmt.Errorf("%smode: %.64q is none of %s, %s and %s", redisPrefix, r.Mode, Standalone, Sentinel, Cluster)
	case len(r.Hosts) == 0:
		return fmt.Errorf("%shosts: there is none", redisPrefix)
	case r.Mode == Standalone && len(r.Hosts) > 1:
		return fmt.Errorf("%shosts: %d are set, and mode %s has one: set mode to %s or %s", redisPrefix, len(r.Hosts), Standalone, Sentinel, Cluster)
	case r.Mode == Cluster && r.Database > 0:
		return fmt.Errorf("%sdatabase: a cluster has only database 0", redisPrefix)
	case r.Mode == Sentinel && r.MasterID == "":
		return fmt.Errorf("%ssentinel.masterId: the sentinels must be told which master", redisPrefix)
	case r.CommandTimeout <= 0 || r.ConnectTimeout <= 0:
		return errors.New(redisPrefix + "commandTimeoutMillis and connectTimeoutMillis must be above 0")
	}
	return nil
}

// addresses are the hosts with their ports. The existing system takes the
// default for a port that is none; here that is an error, because it would
// lead to another Redis than the one that is meant.
func (r *Redis) addresses() ([]string, error) {
	fallback := redisPort
	if r.Mode == Sentinel {
		fallback = sentinelPort
	}
	list := make([]string, 0, len(r.Hosts))
	for _, entry := range r.Hosts {
		host, port := strings.Trim(entry, "[]"), fallback
		if strings.Count(entry, ":") == 1 || strings.Contains(entry, "]:") {
			var err error
			if host, port, err = net.SplitHostPort(entry); err != nil {
				return nil, fmt.Errorf("%shosts: %.256q is no host:port", redisPrefix, entry)
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
			return nil, fmt.Errorf("%shosts: %.256q is no host:port", redisPrefix, entry)
		}
		list = append(list, net.JoinHostPort(host, port))
	}
	return list, nil
}

// NewClient makes the client of a Redis; it connects when it is used. The
// caller closes it. A context that ends ends its command, which go-redis would
// not do by itself, and nothing is sent that a plain Redis does not know.
func NewClient(r Redis) (redis.UniversalClient, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	addrs, err := r.addresses()
	if err != nil {
		return nil, err
	}
	connections := r.MaxConnections
	if connections <= 0 {
		connections = defaultConnections
	}
	dialer, err := r.dialer()
	if err != nil {
		return nil, err
	}
	base := redis.Options{
		Addr:                     addrs[0],
		Dialer:                   listen(dialer),
		Username:                 r.Username,
		Password:                 r.Password,
		DB:                       max(r.Database, 0),
		MaxRetries:               commandRetries,
		MinRetryBackoff:          minRetryBackoff,
		MaxRetryBackoff:          maxRetryBackoff,
		DialTimeout:              r.ConnectTimeout,
		DialerRetries:            1,
		ReadTimeout:              r.CommandTimeout,
		WriteTimeout:             r.CommandTimeout,
		ContextTimeoutEnabled:    true,
		PipelinePoolSize:         -1, // pipelines use the same connections as all
		PoolSize:                 connections,
		MaxActiveConns:           connections,
		PoolTimeout:              positive(r.MaxWait, unlimitedWait),
		MinIdleConns:             min(max(r.MinIdle, 0), connections),
		MaxIdleConns:             min(max(r.MaxIdle, 0), connections),
		ConnMaxIdleTime:          positive(r.MaxIdleTime, -1),
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch r.Mode {
	case Sentinel:
		return redis.NewFailoverClient(failover(&base, r.MasterID, addrs)), nil
	case Cluster:
		return redis.NewClusterClient(cluster(&base, addrs)), nil
	default:
		return redis.NewClient(&base), nil
	}
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func failover(o *redis.Options, master string, sentinels []string) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		MasterName: master, SentinelAddrs: sentinels,
		Dialer: o.Dialer, Username: o.Username, Password: o.Password, DB: o.DB,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, DialerRetries: o.DialerRetries,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		PipelinePoolSize: o.PipelinePoolSize, PoolSize: o.PoolSize, MaxActiveConns: o.MaxActiveConns, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, ConnMaxIdleTime: o.ConnMaxIdleTime,
		DisableIdentity: o.DisableIdentity, // without maintenance notifications, which this mode does not have
	}
}

func cluster(o *redis.Options, addrs []string) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: addrs, ClusterStateReloadInterval: clusterReload,
		Dialer: o.Dialer, Username: o.Username, Password: o.Password,
		MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, DialerRetries: o.DialerRetries,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		PipelinePoolSize: o.PipelinePoolSize, PoolSize: o.PoolSize, MaxActiveConns: o.MaxActiveConns, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, ConnMaxIdleTime: o.ConnMaxIdleTime,
		DisableIdentity: o.DisableIdentity, MaintNotificationsConfig: o.MaintNotificationsConfig,
	}
}

// keepAlive notices within 45 s that the other end of an idle connection is
// gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}
