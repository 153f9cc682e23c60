package store

import "github.com/seed47708276/sluice/cascade"

// Names of the properties that say where the decisions of a cluster are kept.
const (
	PropKeeper           = "sluice.store.keeper"
	PropDatabaseHosts    = "sluice.database.hosts"
	PropDatabaseName     = "sluice.database.name"
	PropDatabaseUser     = "sluice.database.user"
	PropDatabasePassword = "sluice.database.password"
	PropDatabaseTLS      = "sluice.database.tls"
	PropDatabaseCA       = "sluice.database.tls.ca"
)

// Prefixes below which the declarations of this package are complete.
var Prefixes = []string{"sluice.store.", "sluice.database."}

const (
	propFile  = "sluice.properties"
	propSince = "sluice 0.9"
)

// Properties of the store.
var Properties = []cascade.Declaration{
	{
		Name: PropKeeper, Kind: cascade.Text, NoDefault: true, Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{"sluice.remote.member", PropDatabaseHosts},
		Doc:     "Name of the member whose store file is the truth of the cluster; the same on all members.",
	},
	{
		Name: PropDatabaseHosts, Kind: cascade.List, NoDefault: true, Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropDatabaseName, PropDatabaseUser, PropDatabasePassword},
		Doc:     "MariaDB, host[:port] or a socket's path, that keeps the decisions of the cluster; of Galera all nodes, in the same order on all members.",
	},
	{
		Name: PropDatabaseName, Kind: cascade.Text, Default: "sluice", Server: true, Restart: true, File: propFile, Since: propSince,
		Doc: "Name of the database.",
	},
	{
		Name: PropDatabaseUser, Kind: cascade.Text, Default: "sluice", Server: true, Restart: true, File: propFile, Since: propSince,
		Doc: "User of the database.",
	},
	{
		Name: PropDatabasePassword, Kind: cascade.Text, Default: "", Server: true, Restart: true, Secret: true, File: propFile, Since: propSince,
		Doc: "Password of the database.",
	},
	{
		Name: PropDatabaseTLS, Kind: cascade.Bool, Default: "false", Server: true, Restart: true, File: propFile, Since: propSince,
		Related: []string{PropDatabaseCA},
		Doc:     "Whether connections to the database use TLS and check its certificate.",
	},
	{
		Name: PropDatabaseCA, Kind: cascade.Text, NoDefault: true, Server: true, Local: true, Restart: true, File: propFile, Since: propSince,
		Doc: "File with the certificates, in PEM, that the database's is checked against; those of the system where it is not set.",
	},
}
