package cascade

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
