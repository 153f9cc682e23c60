package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/node"
)

// Permissions that what holds secrets should not give: to everybody at all, and
// to write also not to the group.
const (
	othersAll  fs.FileMode = 0o007
	groupWrite fs.FileMode = 0o020
	notOwner   fs.FileMode = 0o077
)

// looseModes warns of what holds secrets and may be read or written by more
// than those who need it: the state folder, the keys of TLS, the token file.
func looseModes(e *cascade.Engine, state string) []finding.Finding {
	var out []finding.Finding
	look := func(path, what string, bad fs.FileMode, fix string) {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm()&bad == 0 {
			return // one that is missing is an error of the server that wants it
		}
		out = append(out, finding.Finding{
			Path: filepath.ToSlash(path), Severity: finding.Warning, Code: "loose-mode",
			Text: fmt.Sprintf("%s has mode %04o, so that others than the user that Sluice runs as may use it: chmod %s", what, fi.Mode().Perm(), fix),
		})
	}
	if state == "" {
		state = presentState()
	}
	if state != "" {
		if uid, ok := ownerOf(state); ok && os.Geteuid() == 0 && uid != 0 {
			out = append(out, e.UnreadableFor(uid)...)
		}
		look(state, "the state folder, which holds tokens, sessions and the last good tree,", notOwner, "700")
	}
	for _, name := range []string{httpapi.PropPublicKey, httpapi.PropAdminKey, httpapi.PropTokenFile} {
		if path := cascade.ServerValue[string](e.Snapshot(), name); path != "" {
			look(path, "the file of "+name, othersAll|groupWrite, "640")
		}
	}
	return out
}

// ownerOf is the user whose a folder is: of a state folder, the one that runs the
// server.
func ownerOf(dir string) (uid uint32, ok bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

// presentState is the state folder of `sluice serve`, where there is one.
func presentState() string {
	for _, dir := range append(filepath.SplitList(os.Getenv("STATE_DIRECTORY")), systemState, localState) {
		if _, err := os.Stat(filepath.Join(dir, node.SaltFile)); err == nil {
			return dir
		}
	}
	return ""
}
