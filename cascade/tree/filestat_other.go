//go:build !linux

package tree

import "syscall"

// birth is when a file was made. It counts on Linux only: elsewhere a folder
// that gets the inode number of the one before is taken for it.
type birth struct{}

func birthOf(string) birth { return birth{} }

// changeTime is 0, since each system names that field differently. Inode, size
// and modification time still tell that a file changed.
func changeTime(*syscall.Stat_t) int64 { return 0 }

// stampsTell: a time of change is not known here, so every file is read.
func stampsTell(string) bool { return false }
