package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// LockState makes the state folder and holds it: two servers would overwrite
// each other's files.
func LockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w: choose another with --state", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w: choose another with --state", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // the holder wrote it; without it the message is shorter
		f.Close()
		who := ""
		if len(pid) > 0 {
			who = " (process " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, fmt.Errorf("the state folder %s is held by a running server%s: stop it, or choose another with --state", dir, who)
	}
	if err = writePID(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writePID has the lock say who holds it.
func writePID(f *os.File) error {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	return nil
}
