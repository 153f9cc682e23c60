package cli

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build is what a binary knows of its making.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // commit; absent where it was not built in a checkout
	Modified bool   `json:"modified,omitempty"` // the checkout had changes beyond that commit
	Go       string `json:"go"`
}

// release is the version that deploy/build.sh links in; other builds have that
// of their module.
var release string

func thisBuild() build {
	b := build{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = strings.TrimPrefix(info.Main.Version, "v")
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if release != "" {
		b.Version = release
	}
	return b
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if a.json() {
				return a.printJSON(b)
			}
			a.printf("sluice %s", b.Version)
			if b.Revision != "" {
				a.printf(" (%s", b.Revision)
				if b.Modified {
					a.printf(", modified")
				}
				a.printf(")")
			}
			a.printf(" %s\n", b.Go)
			return nil
		},
	}
}
