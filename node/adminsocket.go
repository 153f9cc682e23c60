package node

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
)

const (
	// SystemSocket is that of the server of a machine; its folder outlives no
	// restart of the machine.
	SystemSocket = "/run/sluice/admin.sock"
	// StateSocket is the socket's name in a state folder.
	StateSocket = "admin.sock"
)

// socketPath is where the node makes its socket. One whose state folder is
// named is one of several on the machine, and keeps to that folder.
func (n *Node) socketPath(opt Options) string {
	if opt.Socket != "" {
		return opt.Socket
	}
	if path := cascade.ServerValue[string](n.engine.Snapshot(), httpapi.PropAdminSocket); path != "" {
		return path
	}
	if dir := filepath.Dir(SystemSocket); opt.MachineSocket && os.MkdirAll(dir, 0o755) == nil && unix.Access(dir, unix.W_OK) == nil {
		return SystemSocket
	}
	return filepath.Join(opt.State, StateSocket)
}
