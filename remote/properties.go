// Package remote declares the properties of the cluster link: the buffer of
// remote messages and the connection to Redis.
package remote

import "github.com/seed47708276/sluice/cascade"

// Prefixes below which the declarations of this package are complete.
var Prefixes = []string{"com.openexchange.redis."}

// Names of the buffer's properties (docs/reference/cluster.md#buffer).
const (
	PropDelay     = "com.openexchange.websockets.grizzly.remote.delayDuration"
	PropMaxDelay  = "com.openexchange.websockets.grizzly.remote.maxDelayDuration"
	PropFrequency = "com.openexchange.websockets.grizzly.remote.timerFrequency"
)

const (
	maxBufferMillis = 600_000   // ten minutes: beyond it a message is no news
	maxMillis       = 3_600_000 // an hour
	file            = "redis.properties"
)

// Properties of the cluster link (docs/reference/cluster.md, docs/cluster.md).
// The buffer's three are read in the server scope, in milliseconds.
var Properties = []cascade.Declaration{
	{
		Name: PropDelay, Kind: cascade.Duration, Unit: "ms", Default: "1000", Min: 0, Max: maxBufferMillis, Server: true, File: "websockets.properties", Since: "7.8.3",
		Related: []string{PropMaxDelay},
		Doc:     "How long a message for other members waits for an equal one; 0 sends at once.",
	},
	{
		Name: PropMaxDelay, Kind: cascade.Duration, Unit: "ms", Default: "3000", Min: 0, Max: maxBufferMillis, Server: true, File: "websockets.properties", Since: "7.8.3",
		Related: []string{PropDelay},
		Doc:     "How long equal messages may make a message wait in all, since the first; 0 is no limit.",
	},
	{
		Name: PropFrequency, Kind: cascade.Duration, Unit: "ms", Default: "500", Min: 10, Max: maxBufferMillis, Server: true, File: "websockets.properties", Since: "7.8.3",
		Doc: "How often messages that are due are looked for.",
	},

	{
		Name: "com.openexchange.redis.enabled", Kind: cascade.Bool, NoDefault: true, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Whether Redis is used; when absent, it is where hosts or mode is set.",
	},
	{
		Name: "com.openexchange.redis.sites.enabled", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Whether further sites have a Redis of their own.",
	},
	{
		Name: "com.openexchange.redis.sites", Kind: cascade.List, NoDefault: true, Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Ids of the further sites.",
	},
	{
		Name: "com.openexchange.redis.mode", Kind: cascade.Enum, Enum: []string{"standalone", "cluster", "sentinel"}, Default: "standalone", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "What the hosts are.",
	},
	{
		Name: "com.openexchange.redis.hosts", Kind: cascade.List, Default: "localhost:6379", Server: true, Local: true, Restart: true, File: file, Since: "8.0",
		Doc: "Addresses, host[:port]; the port is 6379, in sentinel mode 26379.",
	},
	{
		Name: "com.openexchange.redis.sentinel.masterId", Kind: cascade.Text, Default: "mymaster", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Name of the master that the sentinels watch.",
	},
	{
		Name: "com.openexchange.redis.username", Kind: cascade.Text, Default: "", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "User of the connection.",
	},
	{
		Name: "com.openexchange.redis.password", Kind: cascade.Text, Default: "", Server: true, Restart: true, Secret: true, File: file, Since: "8.0",
		Doc: "Password of the connection.",
	},
	{
		Name: "com.openexchange.redis.ssl", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Whether the connection uses TLS.",
	},
	{
		Name: "com.openexchange.redis.starttls", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Whether the connection starts TLS after it is made.",
	},
	{
		Name: "com.openexchange.redis.verifyPeer", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.0",
		Related: []string{PropCA},
		Doc:     "Whether the certificate of Redis is checked.",
	},
	{
		Name: "com.openexchange.redis.database", Kind: cascade.Int, Default: "-1", Min: -1, Max: 65535, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Number of the database; -1 is the server's own.",
	},
	{
		Name: "com.openexchange.redis.impendingInvalidation", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.impendingInvalidationDelay", Kind: cascade.Duration, Unit: "ms", Default: "2000", Min: 0, Max: maxMillis, Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.remoteInvalidationForPersonalFolders", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.lettuceCommandLatencyMetrics", Kind: cascade.Bool, Default: "true", Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.commandTimeoutMillis", Kind: cascade.Duration, Unit: "ms", Default: "5000", Min: 1, Max: maxMillis, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "How long a command may take.",
	},
	{
		Name: "com.openexchange.redis.connectTimeoutMillis", Kind: cascade.Duration, Unit: "ms", Default: "5000", Min: 1, Max: maxMillis, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "How long connecting may take.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.maxTotal", Kind: cascade.Int, Default: "-1", Min: -1, Max: 100_000, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Connections at most; -1 is no limit.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.maxIdle", Kind: cascade.Int, Default: "100", Min: -1, Max: 100_000, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Idle connections at most.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.minIdle", Kind: cascade.Int, Default: "0", Min: -1, Max: 100_000, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "Idle connections at least.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.maxWaitSeconds", Kind: cascade.Duration, Unit: "s", Default: "10", Min: -1, Max: 3600, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "How long a caller waits for a connection.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.minIdleSeconds", Kind: cascade.Duration, Unit: "s", Default: "60", Min: -1, Max: 86_400, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "How long a connection is idle before it is closed.",
	},
	{
		Name: "com.openexchange.redis.connection.pool.cleanerRunSeconds", Kind: cascade.Duration, Unit: "s", Default: "10", Min: -1, Max: 86_400, Server: true, Restart: true, File: file, Since: "8.0",
		Doc: "How often idle connections are looked for.",
	},
	{
		Name: "com.openexchange.redis.breaker.enabled", Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.breaker.failureThreshold", Kind: cascade.Int, Default: "5", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.breaker.failureExecutions", Kind: cascade.Int, Default: "0", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.breaker.successThreshold", Kind: cascade.Int, Default: "2", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.breaker.successExecutions", Kind: cascade.Int, Default: "0", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},
	{
		Name: "com.openexchange.redis.breaker.delayMillis", Kind: cascade.Duration, Unit: "ms", Default: "60000", Server: true, Restart: true, File: file, Since: "8.12",
		Doc: "Read by the existing system only.",
	},

	{
		Name: PropCA, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: "sluice.properties", Since: "sluice 0.9",
		Related: []string{"com.openexchange.redis.verifyPeer", "com.openexchange.redis.ssl"},
		Doc:     "PEM file of the authorities that the certificate of Redis is checked with; empty: those of the system.",
	},
	{
		Name: PropCluster, Kind: cascade.Text, Default: "sluice", Server: true, Restart: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Name that the keys in Redis carry, so that several clusters may share one.",
	},
	{
		Name: PropMember, Kind: cascade.Text, NoDefault: true, Server: true, Local: true, Restart: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Name of this member; the host name where it is not set.",
	},
	{
		Name: PropLease, Kind: cascade.TimeSpan, Default: "5s", Min: 1_000, Max: 60_000, Server: true, Restart: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "How long a member that says nothing counts as alive.",
	},
	{
		Name: PropKeep, Kind: cascade.TimeSpan, Default: "2m", Min: 1_000, Max: 600_000, Server: true, Restart: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "How long beyond its lease what a member that is away lacks is kept for it.",
	},
	{
		Name: PropMaxBuffered, Kind: cascade.Int, Default: "100000", Min: 1, Max: 10_000_000, Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Messages for other members that may wait at once.",
	},
	{
		Name: PropDedupWindow, Kind: cascade.TimeSpan, Default: "5m", Min: 1_000, Max: 3_600_000, Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "How long the id of a message is remembered.",
	},
}
