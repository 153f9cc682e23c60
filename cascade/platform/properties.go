package platform

import "github.com/seed47708276/sluice/cascade"

// Names of the properties.
const (
	PropEnabled  = "sluice.platform.enabled"
	PropHosts    = "sluice.platform.hosts"
	PropDatabase = "sluice.platform.database"
	PropUser     = "sluice.platform.user"
	PropPassword = "sluice.platform.password"
	PropTLS      = "sluice.platform.tls"
	PropCA       = "sluice.platform.tls.ca"
	PropRefresh  = "sluice.platform.refresh"
	PropQueries  = "sluice.platform.queries"
	PropWrite    = "sluice.platform.write"
)

// Prefixes below which the declarations of this package are complete.
var Prefixes = []string{"sluice.platform."}

const (
	propFile  = "sluice.properties"
	propSince = "sluice 0.9"
)

// Properties of the platform's database.
var Properties = []cascade.Declaration{
	{
		Name: PropEnabled, Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropHosts, PropRefresh},
		Doc:     "Whether contexts, users, attributes, permissions and resellers are read, live, from the platform's own database.",
	},
	{
		Name: PropHosts, Kind: cascade.List, Default: "", Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropEnabled, PropUser},
		Doc:     "MariaDB of the platform's configuration database, host[:port]; empty: as readUrl and readProperty.N of configdb.properties say.",
	},
	{
		Name: PropDatabase, Kind: cascade.Text, Default: "", Server: true, Restart: true, File: propFile, Since: propSince,
		Doc: "Name of the platform's configuration database; empty: that of readUrl, else configdb.",
	},
	{
		Name: PropUser, Kind: cascade.Text, Default: "", Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropPassword},
		Doc:     "User that reads the configuration database and all user databases; empty: those of readProperty.N and db_pool.",
	},
	{
		Name: PropPassword, Kind: cascade.Text, Default: "", Server: true, Restart: true, Secret: true, File: propFile, Since: propSince,
		Doc: "Password of sluice.platform.user.",
	},
	{
		Name: PropTLS, Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropCA},
		Doc:     "Whether connections to the platform's databases use TLS and check the certificate.",
	},
	{
		Name: PropCA, Kind: cascade.Text, NoDefault: true, Server: true, Local: true, Restart: true, File: propFile, Since: propSince,
		Doc: "File with the certificates, in PEM, that those of the platform's databases are checked against; those of the system where it is not set.",
	},
	{
		Name: PropRefresh, Kind: cascade.TimeSpan, Default: "60s", Min: 1000, Max: 3600_000, Server: true, File: propFile, Since: propSince,
		Related: []string{PropQueries},
		Doc:     "How often what the platform's database says of connected users is read again, and how old an answer a handshake takes.",
	},
	{
		Name: PropWrite, Kind: cascade.Bool, Default: "false", Server: true, File: propFile, Since: propSince,
		Related: []string{PropEnabled},
		Doc:     "Whether `sluice enable`, `disable` and `reset` with --platform may write the platform's own attributes: the tables contextAttribute and user_attribute.",
	},
	{
		Name: PropQueries, Kind: cascade.Int, Default: "20", Min: 1, Max: 1000, Server: true, File: propFile, Since: propSince,
		Doc: "Most queries a second with which connected users are read again; 500 users of one user database take 2.",
	},
}
