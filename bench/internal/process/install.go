package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// centrifugo is the version that is compared with.
const centrifugo = "v6.9.1"

// Centrifugo returns the binary of that peer. It is built once for a user of
// this machine, which takes some minutes, and is kept in the cache folder.
func Centrifugo(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: set HOME or XDG_CACHE_HOME", err)
	}
	folder := filepath.Join(cache, "sluice-bench", "centrifugo-"+centrifugo)
	binary := filepath.Join(folder, "centrifugo")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	// The module's own versions count, and no workspace or module of the caller.
	return binary, Run(ctx, folder, "env", "GOBIN="+folder, "GOFLAGS=-mod=mod", "go", "install", "github.com/centrifugal/centrifugo/v6@"+centrifugo)
}
