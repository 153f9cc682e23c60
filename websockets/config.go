package websockets

import "time"

// Config is one immutable state of the settings that the server reads. The
// owner hands out the current one through Options.Config, which is called at
// each use, so that a reload takes effect at the next handshake or message.
// Only the heartbeat of a socket is fixed when it opens, because its client
// was told those values.
type Config struct {
	AllowedOrigins []string // sluice.websockets.allowedOrigins, see originAllowed
	MaxPerUser     int      // sluice.websockets.maxPerUser, at least 1
	MaxSockets     int      // sockets of all users on this member, at least 1

	PingInterval   time.Duration // sluice.websockets.pingInterval, above 0
	PingTimeout    time.Duration // sluice.websockets.pingTimeout, above 0
	ConnectTimeout time.Duration // sluice.websockets.connectTimeout, above 0
	MaxPayload     int64         // sluice.websockets.maxPayload: bytes of one message of a client

	DrainSpread time.Duration // sluice.drain.spread: over which Shutdown closes the sockets, 0 for at once

	Rebalance       bool          // sluice.websockets.rebalance: close what is more than this member's share
	RebalanceSpread time.Duration // sluice.websockets.rebalanceSpread: over which that is done, above 0

	QueueMessages int // sluice.websockets.queueMessages: frames waiting for one socket
	QueueBytes    int // sluice.websockets.queueBytes: their bytes, at least twice MaxMessageBytes
	MaxWaiting    int // sluice.mailpush.maxWaiting: messages of one name, with Message.Conflate, that wait before older ones are given up

	// Arrivals is sluice.websockets.arrivals: how many messages for single users a
	// second the server asks proof of by itself; 0: none.
	Arrivals int

	Cookie CookieConfig

	ConsiderXForwards bool        // com.openexchange.server.considerXForwards
	ForHeader         string      // com.openexchange.server.forHeader
	ProtocolHeader    string      // com.openexchange.server.protocolHeader
	KnownProxies      []AddrRange // com.openexchange.server.knownProxies, see ParseRanges

	// IPRules returns the rules of a user, whose properties may differ from
	// the server's. Nil: mode none for everybody. It must not block.
	IPRules func(context, user uint32) IPRules `json:"-"`

	// Recovery is sluice.websockets.recovery of a user: how long what a client
	// misses is kept for it; 0: not at all. Nil: 0 for everybody. It must not block.
	Recovery func(context, user uint32) time.Duration `json:"-"`

	Sessions SessionConfig
}

// SessionConfig bounds the sessions (docs/reference/sessions.md#limits). The
// lifetimes are those of sessions made from now on, and of all in App Suite's
// store.
type SessionConfig struct {
	Max          int           // com.openexchange.sessiond.maxSession: on this member; 0 or above MaxSessions: MaxSessions
	MaxPerUser   int           // com.openexchange.sessiond.maxSessionPerUser; 0: no limit but Max
	Lifetime     time.Duration // com.openexchange.sessiond.sessionDefaultLifeTime, above 0
	LongLifetime time.Duration // com.openexchange.sessiond.sessionLongLifeTime, above 0: of those that stay signed in
}

// CookieConfig names the secret cookie (docs/reference/handshake.md#secret-cookie).
type CookieConfig struct {
	Hash   string   // com.openexchange.cookie.hash: CookieRemember, anything else is "calculate"
	Fields []string // com.openexchange.cookie.hash.fields: header names, in order
	Salt   string   // com.openexchange.cookie.hash.salt
}

// CookieRemember is the value of CookieConfig.Hash for which the name that the
// session remembers counts, whatever the request says.
const CookieRemember = "remember"

// The documented defaults (docs/reference/handshake.md#checks,
// docs/reference/socketio.md#defaults).
const (
	DefaultMaxPerUser     = 8
	DefaultPingInterval   = 25 * time.Second
	DefaultPingTimeout    = 20 * time.Second
	DefaultConnectTimeout = 45 * time.Second
	DefaultMaxPayload     = 1_000_000
	DefaultDrainSpread    = 10 * time.Second
	DefaultRebalance      = 60 * time.Second
	DefaultQueueMessages  = 256
	DefaultQueueBytes     = 1 << 20
	DefaultMaxWaiting     = 32
	DefaultArrivals       = 10

	DefaultMaxSessionsPerUser = 100
	DefaultLongLifetime       = 7 * 24 * time.Hour

	// DefaultMaxSockets keeps one member below about 4 GiB at the 20 KiB that
	// an idle socket may take with its share of the kernel's memory.
	DefaultMaxSockets = 200_000
)

// DefaultConfig returns the documented defaults: no allowed origins beyond the
// request's own, the right-most X-Forwarded-For entry as client address, and
// no salt.
func DefaultConfig() *Config {
	return &Config{
		MaxPerUser:        DefaultMaxPerUser,
		MaxSockets:        DefaultMaxSockets,
		PingInterval:      DefaultPingInterval,
		PingTimeout:       DefaultPingTimeout,
		ConnectTimeout:    DefaultConnectTimeout,
		MaxPayload:        DefaultMaxPayload,
		DrainSpread:       DefaultDrainSpread,
		Rebalance:         true,
		RebalanceSpread:   DefaultRebalance,
		QueueMessages:     DefaultQueueMessages,
		QueueBytes:        DefaultQueueBytes,
		MaxWaiting:        DefaultMaxWaiting,
		Arrivals:          DefaultArrivals,
		ConsiderXForwards: true,
		ForHeader:         "X-Forwarded-For",
		ProtocolHeader:    "X-Forwarded-Proto",
		Sessions: SessionConfig{
			MaxPerUser:   DefaultMaxSessionsPerUser,
			Lifetime:     SessionLifetime,
			LongLifetime: DefaultLongLifetime,
		},
	}
}
