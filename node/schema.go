package node

import (
	"slices"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

const (
	propLogLevel  = "sluice.log.level"
	propMustExist = "sluice.state.mustExist"
)

// properties of the server process itself.
var properties = []cascade.Declaration{
	{
		Name: propMustExist, Kind: cascade.Bool, Default: "false", Server: true, Local: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Whether a start is refused where the state folder is new or empty: with it the overrides, the directory and the tokens are lost, and everybody who was switched off is served.",
	},
	{
		Name: propLogLevel, Kind: cascade.Enum, Enum: []string{"debug", "info", "warn", "error"}, Default: "info", Server: true,
		File: "sluice.properties", Since: "sluice 0.9", Doc: "Least level that is logged.",
	},
}

// Schema is everything that Sluice declares. A mistake in a declaration is a
// mistake in the code, and panics.
func Schema() *cascade.Schema {
	s, err := cascade.NewSchema(slices.Concat(websockets.Prefixes, remote.Prefixes, store.Prefixes, platform.Prefixes),
		websockets.Properties, remote.Properties, store.Properties, platform.Properties, httpapi.Properties, properties)
	if err != nil {
		panic(err)
	}
	return s.Together(remote.Together, httpapi.PushTogether)
}
