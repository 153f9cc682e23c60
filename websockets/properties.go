package websockets

import (
	"math"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// Prefixes below which the declarations of Sluice are complete.
var Prefixes = []string{"com.openexchange.websockets."}

// PropEnabled is the gate (docs/reference/handshake.md#gate).
const PropEnabled = "com.openexchange.websockets.enabled"

// PropWhenDisabled tells what becomes of the sockets of a user whom the gate does
// not serve, and of the handshakes; with its values.
const (
	PropWhenDisabled   = "sluice.websockets.whenDisabled"
	WhenDisabledRefuse = "refuse" // they are closed and refused
	WhenDisabledHold   = "hold"   // they are kept, and muted
)

// Names of the other properties that the sockets read.
const (
	PropAllowedOrigins    = "sluice.websockets.allowedOrigins"
	PropMaxPerUser        = "sluice.websockets.maxPerUser"
	PropPingInterval      = "sluice.websockets.pingInterval"
	PropPingTimeout       = "sluice.websockets.pingTimeout"
	PropConnectTimeout    = "sluice.websockets.connectTimeout"
	PropMaxPayload        = "sluice.websockets.maxPayload"
	PropQueueMessages     = "sluice.websockets.queueMessages"
	PropQueueBytes        = "sluice.websockets.queueBytes"
	PropMaxWaiting        = "sluice.mailpush.maxWaiting"
	PropRecovery          = "sluice.websockets.recovery"
	PropArrivals          = "sluice.websockets.arrivals"
	PropDrainSpread       = "sluice.drain.spread"
	PropRebalance         = "sluice.websockets.rebalance"
	PropRebalanceSpread   = "sluice.websockets.rebalanceSpread"
	PropCookieHash        = "com.openexchange.cookie.hash"
	PropCookieFields      = "com.openexchange.cookie.hash.fields"
	PropCookieSalt        = "com.openexchange.cookie.hash.salt"
	PropConsiderXForwards = "com.openexchange.server.considerXForwards"
	PropForHeader         = "com.openexchange.server.forHeader"
	PropProtocolHeader    = "com.openexchange.server.protocolHeader"
	PropKnownProxies      = "com.openexchange.server.knownProxies"

	PropIPCheck     = "com.openexchange.IPCheck"
	PropIPCheckMode = "com.openexchange.ipcheck.mode"
	PropIPWhitelist = "com.openexchange.IPCheckWhitelist"
	PropIPMaskV4    = "com.openexchange.IPMaskV4"
	PropIPMaskV6    = "com.openexchange.IPMaskV6"
	PropNoIPCheck   = "sluice.websockets.noIPCheck"

	PropRedisSessions      = "com.openexchange.sessiond.redis.enabled"
	PropMaxSessions        = "com.openexchange.sessiond.maxSession"
	PropMaxSessionsPerUser = "com.openexchange.sessiond.maxSessionPerUser"
	PropSessionLifetime    = "com.openexchange.sessiond.sessionDefaultLifeTime"
	PropLongLifetime       = "com.openexchange.sessiond.sessionLongLifeTime"
)

// The values of PropIPCheckMode.
const (
	IPCheckNone    = "none"
	IPCheckStrict  = "strict"
	IPCheckCountry = "countrycode" // counts as strict: there is no data on countries here
)

// maxLifetime of a session in ms, a year: longer is a mistake in the unit.
const maxLifetime = 366 * 24 * 3_600_000

const (
	ownFile    = "sluice.properties"
	serverFile = "server.properties"
	sessFile   = "sessiond.properties"
	ownSince   = "sluice 0.9"
)

// Properties of the sockets (docs/reference/handshake.md#listener-properties,
// docs/sockets.md). The gate is resolved for the user, all others in the server
// scope.
var Properties = []cascade.Declaration{
	{
		Name: PropEnabled, Kind: cascade.Bool, Default: "true", File: "websockets.properties", Since: "7.8.3",
		Doc: "Whether a user is served on /socket.io and /ws.",
	},
	{
		Name: PropWhenDisabled, Kind: cascade.Enum, Enum: []string{WhenDisabledRefuse, WhenDisabledHold}, Default: WhenDisabledRefuse, File: ownFile, Since: ownSince,
		Related: []string{PropEnabled},
		Doc:     "Whether the sockets of a user who is switched off are closed and refused, or kept and muted until the user is switched on again.",
	},
	{
		Name: PropRecovery, Kind: cascade.TimeSpan, Default: "2m", Min: 0, Max: int64(MaxRecovery / time.Millisecond), File: ownFile, Since: ownSince,
		Doc: "How long after the end of its socket a client gets what it has missed when it comes back; 0: not at all.",
	},
	{
		Name: PropAllowedOrigins, Kind: cascade.List, Default: "", Server: true, File: ownFile, Since: ownSince,
		Doc: "Origins that may connect beside the host of the request itself.",
	},
	{
		Name: PropMaxPerUser, Kind: cascade.Int, Default: "8", Min: 1, Max: 1000, Server: true, File: ownFile, Since: ownSince,
		Doc: "Sockets that one user may have.",
	},
	{
		Name: PropPingInterval, Kind: cascade.TimeSpan, Default: "25s", Min: 100, Max: 600_000, Server: true, File: ownFile, Since: ownSince,
		Doc: "Time between heartbeats; a socket keeps what it was told when it opened.",
	},
	{
		Name: PropPingTimeout, Kind: cascade.TimeSpan, Default: "20s", Min: 100, Max: 600_000, Server: true, File: ownFile, Since: ownSince,
		Doc: "How long the answer to a heartbeat may take.",
	},
	{
		Name: PropConnectTimeout, Kind: cascade.TimeSpan, Default: "45s", Min: 100, Max: 600_000, Server: true, File: ownFile, Since: ownSince,
		Doc: "How long a client may take to send its Socket.IO CONNECT.",
	},
	{
		Name: PropMaxPayload, Kind: cascade.Int, Default: "1000000", Min: 1024, Max: 16 << 20, Server: true, File: ownFile, Since: ownSince,
		Doc: "Bytes of one message of a client.",
	},
	{
		Name: PropQueueMessages, Kind: cascade.Int, Default: "256", Min: 1, Max: 65_536, Server: true, File: ownFile, Since: ownSince,
		Doc: "Messages that may wait for one socket; beyond it the socket is closed as too slow.",
	},
	{
		Name: PropQueueBytes, Kind: cascade.Int, Default: "1048576", Min: 2 * MaxMessageBytes, Max: 64 << 20, Server: true, File: ownFile, Since: ownSince,
		Doc: "Bytes that may wait for one socket; beyond it the socket is closed as too slow.",
	},
	{
		Name: PropMaxWaiting, Kind: cascade.Int, Default: "32", Min: 1, Max: 65_536, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropQueueMessages},
		Doc:     "Notifications of one topic that may wait for one socket; beyond it only the newest of each folder is kept.",
	},
	{
		Name: PropArrivals, Kind: cascade.Int, Default: "10", Min: 0, Max: 1000, Server: true, File: ownFile, Since: ownSince,
		Doc: "Messages a second, for single users, that a member asks clients for proof of arrival of without being told to; 0: none.",
	},
	{
		Name: PropDrainSpread, Kind: cascade.TimeSpan, Default: "10s", Min: 0, Max: 600_000, Server: true, File: ownFile, Since: ownSince,
		Doc: "Time over which the sockets are closed when the server stops.",
	},
	{
		Name: PropRebalance, Kind: cascade.Bool, Default: "true", Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropRebalanceSpread},
		Doc:     "Whether a member that has many more sockets than the others closes some of them, which then come back elsewhere.",
	},
	{
		Name: PropRebalanceSpread, Kind: cascade.TimeSpan, Default: "60s", Min: 1_000, Max: 3_600_000, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropRebalance},
		Doc:     "Time over which a member closes the sockets that it has too many.",
	},
	{
		Name: PropCookieHash, Kind: cascade.Enum, Enum: []string{"calculate", CookieRemember}, Default: "calculate", Server: true, File: serverFile, Since: "6.20",
		Related: []string{PropCookieFields, PropCookieSalt},
		Doc:     "Whether the name of the secret cookie is calculated from the request or remembered with the session.",
	},
	{
		Name: PropCookieFields, Kind: cascade.List, Default: "", Server: true, File: serverFile, Since: "6.20",
		Related: []string{PropCookieHash},
		Doc:     "Header fields that take part in the name of the secret cookie.",
	},
	{
		Name: PropCookieSalt, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: serverFile, Since: "7.0",
		Related: []string{PropCookieHash},
		Doc:     "Salt of the name of the secret cookie.",
	},
	{
		Name: PropConsiderXForwards, Kind: cascade.Bool, Default: "true", Server: true, File: serverFile, Since: "7.0",
		Related: []string{PropForHeader, PropKnownProxies},
		Doc:     "Whether the client's address is taken from the header of the proxies.",
	},
	{
		Name: PropForHeader, Kind: cascade.Text, Default: "X-Forwarded-For", Server: true, File: serverFile, Since: "7.0",
		Related: []string{PropConsiderXForwards},
		Doc:     "Header in which proxies pass the client's address.",
	},
	{
		Name: PropProtocolHeader, Kind: cascade.Text, Default: "X-Forwarded-Proto", Server: true, File: serverFile, Since: "7.0",
		Related: []string{PropConsiderXForwards},
		Doc:     "Header in which proxies pass ws or wss; with wss the origin of the own host must be https.",
	},
	{
		Name: PropKnownProxies, Kind: cascade.Text, Default: "", Server: true, File: serverFile, Since: "7.0",
		Related: []string{PropConsiderXForwards},
		Doc:     "Addresses and ranges of the proxies; the right-most other address is the client.",
	},
	{
		Name: PropIPCheck, Kind: cascade.Bool, Default: "false", File: serverFile, Since: "6.0",
		Related: []string{PropIPCheckMode},
		Doc:     "Whether a session is refused from another address than before; true is the mode strict.",
	},
	{
		Name: PropIPCheckMode, Kind: cascade.Enum, Enum: []string{IPCheckNone, IPCheckStrict, IPCheckCountry}, Default: IPCheckNone, File: serverFile, Since: "7.10",
		Related: []string{PropIPCheck, PropIPWhitelist, PropIPMaskV4, PropIPMaskV6, PropNoIPCheck},
		Doc:     "Which addresses a session may be used from; countrycode, which needs data on countries, counts as strict.",
	},
	{
		Name: PropIPWhitelist, Kind: cascade.List, Default: `"open-xchange-mailapp", "open-xchange-mobile-api-facade"`, File: serverFile, Since: "6.20",
		Related: []string{PropIPCheckMode},
		Doc:     "Client ids whose sessions may be used from every address; * stands for any text, ? for one character.",
	},
	{
		Name: PropIPMaskV4, Kind: cascade.Text, Default: "", File: serverFile, Since: "6.20",
		Related: []string{PropIPCheckMode, PropIPMaskV6},
		Doc:     "Subnet within which a session may change its version 4 address, as /24 or 255.255.255.0.",
	},
	{
		Name: PropIPMaskV6, Kind: cascade.Text, Default: "", File: serverFile, Since: "6.20",
		Related: []string{PropIPCheckMode, PropIPMaskV4},
		Doc:     "Subnet within which a session may change its version 6 address, as /64.",
	},
	{
		Name: PropNoIPCheck, Kind: cascade.Text, Default: "127.0.0.0/8, ::1", Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropIPCheckMode},
		Doc:     "Addresses and ranges from which every session may be used: what noipcheck.cnf holds in the existing system.",
	},
	{
		Name: PropRedisSessions, Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: sessFile, Since: "8.0",
		Related: []string{PropCookieSalt, "com.openexchange.redis.hosts"},
		Doc:     "Whether sessions are those that App Suite 8 keeps in Redis.",
	},
	{
		Name: PropMaxSessions, Kind: cascade.Int, Default: "0", Min: 0, Max: math.MaxInt32, Server: true, File: sessFile, Since: "6.0",
		Doc: "Sessions that one member keeps, of at most 200000; 0 is the most.",
	},
	{
		Name: PropMaxSessionsPerUser, Kind: cascade.Int, Default: "100", Min: 0, Max: math.MaxInt32, Server: true, File: sessFile, Since: "6.0",
		Doc: "Sessions that one user may have; 0 is no limit.",
	},
	{
		Name: PropSessionLifetime, Kind: cascade.Duration, Unit: "ms", Default: "3600000", Min: 1000, Max: maxLifetime, Server: true, File: sessFile, Since: "6.0",
		Doc: "How long a session lives that nobody uses.",
	},
	{
		Name: PropLongLifetime, Kind: cascade.TimeSpan, Default: "1W", Min: 1000, Max: maxLifetime, Server: true, File: sessFile, Since: "6.0",
		Doc: "How long a session of App Suite lives that nobody uses and whose user stays signed in.",
	},
}
