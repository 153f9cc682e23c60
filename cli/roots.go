package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade"
)

// installedRoots are the trees of an installed server, in the order in which
// they are read: what a later one says wins. The first holds what a package or
// an image presets, the second is the platform's own, the third is the
// administrator's for Sluice.
var installedRoots = []string{"/usr/share/sluice/etc", "/opt/open-xchange/etc", "/etc/sluice"}

// rootsFile is the list of the roots that a server used without --etc, a line
// each, in its state folder.
const rootsFile = "roots"

// defaultRoots are the trees of a server that was started without --etc: the
// installed ones that exist, else ./etc. One that was used before and is gone
// stays in the list, so that a volume that is not mounted is noticed.
func defaultRoots(state string, installed []string) ([]string, error) {
	path := filepath.Join(state, rootsFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	used := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	var roots []string
	for _, dir := range installed {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() || slices.Contains(used, dir) {
			roots = append(roots, dir)
		}
	}
	if len(roots) == 0 {
		return []string{"etc"}, nil
	}
	if slices.Equal(roots, used) {
		return roots, nil
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w: choose another with --state", err)
	}
	if err := cascade.WriteFile(path, []byte(strings.Join(roots, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	return roots, nil
}
