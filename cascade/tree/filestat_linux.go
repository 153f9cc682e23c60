package tree

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// birth is when a file was made; zero where its file system does not say.
type birth = unix.StatxTimestamp

func birthOf(path string) birth {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return birth{}
	}
	return st.Btime
}

// changeTime is when the file's entry last changed, in nanoseconds since 1970.
func changeTime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }

// stampsTell reports whether a path is on a file system of this machine, whose
// time stamps tell of each write. Others may show those of a while ago.
func stampsTell(path string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}
