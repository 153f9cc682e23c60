package httpapi

import (
	"math"
	"slices"

	"github.com/seed47708276/sluice/httpapi/auth"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Names of the listeners' properties.
const (
	PropPublicHost = "sluice.public.host"
	PropPublicPort = "sluice.public.port"
	PropAdminHost  = "sluice.admin.host"
	PropAdminPort  = "sluice.admin.port"
	PropPublicCert = "sluice.public.tls.cert"
	PropPublicKey  = "sluice.public.tls.key"
	PropAdminCert  = "sluice.admin.tls.cert"
	PropAdminKey   = "sluice.admin.tls.key"
	PropTokenFile  = "sluice.admin.tokenFile"
	// PropAdminSocket is read where the command line gives no path.
	PropAdminSocket   = "sluice.admin.socket"
	PropSocketGroup   = "sluice.admin.socketGroup"
	PropMetricsPublic = "sluice.metrics.public"
	PropMaxPending    = "sluice.public.maxPendingPerPeer"
	PropMaxClose      = "sluice.gate.maxClose"
)

// Names of the service account's properties.
const (
	PropBasicLogin    = "com.openexchange.rest.services.basic-auth.login"
	PropBasicPassword = "com.openexchange.rest.services.basic-auth.password"
)

const (
	ownFile  = "sluice.properties"
	ownSince = "sluice 0.9"
)

// Properties of the listeners, and of what producers of notifications send.
var Properties = slices.Concat(listenerProperties, pushProperties, registrationProperties, auth.Properties)

var listenerProperties = []cascade.Declaration{
	{
		Name: PropMaxClose, Kind: cascade.Int, Enum: []string{maxCloseAuto, maxCloseOff}, Default: maxCloseAuto, Min: 0, Max: math.MaxInt32, Server: true, File: ownFile, Since: ownSince,
		Related: []string{websockets.PropEnabled},
		Doc:     "Sockets of a member that one change of files may close without being held; auto is the greater of 2 % of the member's own and 100 divided by the live members.",
	},
	{
		Name: PropPublicHost, Kind: cascade.Text, Default: "127.0.0.1", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Address of the listener for clients.",
	},
	{
		Name: PropPublicPort, Kind: cascade.Int, Default: "8011", Min: 0, Max: 65_535, Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Port of the listener for clients; 0 takes any free one.",
	},
	{
		Name: PropMaxPending, Kind: cascade.Int, Default: "1024", Min: 1, Max: 1_000_000, Server: true, Local: true, File: ownFile, Since: ownSince,
		Doc: "Connections without a socket that one address may have to the listener for clients; this machine and com.openexchange.server.knownProxies may have any number.",
	},
	{
		Name: PropPublicCert, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropPublicKey},
		Doc:     "File with the certificate chain of the listener for clients, in PEM; empty: no TLS. Its contents may change without a restart.",
	},
	{
		Name: PropPublicKey, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropPublicCert},
		Doc:     "File with the key of that certificate, in PEM.",
	},
	{
		Name: PropAdminHost, Kind: cascade.Text, Default: "127.0.0.1", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Address of the listener for administrators.",
	},
	{
		Name: PropAdminPort, Kind: cascade.Int, Default: "8012", Min: 0, Max: 65_535, Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Port of the listener for administrators; 0 takes any free one.",
	},
	{
		Name: PropAdminCert, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminKey},
		Doc:     "File with the certificate chain of the listener for administrators, in PEM; empty: no TLS. Its contents may change without a restart.",
	},
	{
		Name: PropAdminKey, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminCert},
		Doc:     "File with the key of that certificate, in PEM.",
	},
	{
		Name: PropTokenFile, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "File with tokens of administrators, one a line: NAME ROLE TOKEN [EXPIRES]; empty: none. Its contents may change without a restart.",
	},
	{
		Name: PropAdminSocket, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropSocketGroup},
		Doc:     "Path of the Unix socket for administrators of this machine, at most 107 bytes; empty: /run/sluice/admin.sock where that can be written and --state is not given, else admin.sock in the state folder.",
	},
	{
		Name: PropSocketGroup, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminSocket},
		Doc:     "Group whose members are editors on that socket, beside root and the user of the service; empty: none.",
	},
	{
		Name: PropMetricsPublic, Kind: cascade.Bool, Default: "false", Server: true, Local: true, File: ownFile, Since: ownSince,
		Doc: "Whether the listener for administrators answers /metrics without a token.",
	},
	{
		Name: PropBasicLogin, Kind: cascade.Text, Default: "", Server: true, File: "server.properties", Since: "7.6.1",
		Related: []string{PropBasicPassword},
		Doc:     "Login of the service account that reads below /preliminary; empty: nobody may.",
	},
	{
		Name: PropBasicPassword, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: "server.properties", Since: "7.6.1",
		Related: []string{PropBasicLogin},
		Doc:     "Password of that account; empty: nobody may.",
	},
}
