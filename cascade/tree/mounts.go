package tree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountInfo is where the kernel lists the mounts of the process, and tells
// pollers of a change.
const mountInfo = "/proc/self/mountinfo"

// mountPoints lists where something is mounted, in the order of the mounts, each
// with the number of its mount.
func mountPoints() (points []string, numbered map[string]string, err error) {
	b, err := os.ReadFile(mountInfo)
	if err != nil {
		return nil, nil, err
	}
	numbered = map[string]string{}
	for line := range strings.Lines(string(b)) {
		// number, parent, device, root within the device, mount point, ...
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		points = append(points, point)
		numbered[point] += fields[0] + " "
	}
	return points, numbered, nil
}

// unescapeMount reads the octal escapes of blanks, tabs, line feeds and
// backslashes.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// inside reports whether a path is a folder or lies in it.
func inside(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// concerning picks the mounts above, at or below the paths.
func concerning(numbered map[string]string, paths []string) map[string]string {
	out := map[string]string{}
	for point, number := range numbered {
		for _, p := range paths {
			if inside(p, point) || inside(point, p) {
				out[point] = number
				break
			}
		}
	}
	return out
}

// WatchMounts kicks until ctx ends.
func (w *Watcher) WatchMounts(ctx context.Context) error {
	// Not with os.Open: the poller of Go's runtime would wait for the same
	// descriptor, and the kernel tells only one of the two of a change.
	mounts, err := unix.Open(mountInfo, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: mountInfo, Err: err}
	}
	defer func() { _ = unix.Close(mounts) }()
	end, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer end.Close()
	defer held.Close()
	stop := context.AfterFunc(ctx, func() { _ = held.Close() }) // which the poll sees at the other end
	defer stop()
	for {
		fds := []unix.PollFd{{Fd: int32(mounts), Events: unix.POLLPRI}, {Fd: int32(end.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("poll %s: %w", mountInfo, err)
		case ctx.Err() != nil || fds[1].Revents != 0:
			return nil
		case fds[0].Revents&(unix.POLLPRI|unix.POLLERR) != 0 && w.mountsChanged():
			w.kick()
		}
	}
}

// mountsChanged compares the mounts that concern the trees with those that were
// last seen. Others come and go all the time where containers run.
func (w *Watcher) mountsChanged() bool {
	_, numbered, err := mountPoints()
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.files.other()
		return true // reading everything again finds out
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := concerning(numbered, w.paths)
	if maps.Equal(now, w.mounts) {
		return false
	}
	w.mounts = now
	w.files.other()
	return true
}

// noteMounts takes up what is watched and the mounts that concern it. One that
// changed since the trees were read kicks.
func (w *Watcher) noteMounts() {
	_, numbered, err := mountPoints()
	if err != nil {
		return // WatchMounts says so
	}
	paths := slices.Clone(w.roots)
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.want {
		paths = append(paths, p)
	}
	before := w.mounts
	w.paths, w.mounts = paths, concerning(numbered, paths)
	if before != nil && !maps.Equal(before, w.mounts) {
		w.files.other()
		w.kick()
	}
}

// MountedFiles lists the files of the trees that are mount points themselves:
// a write to what is mounted makes no event in the folder.
func MountedFiles(files []string) []string {
	points, _, err := mountPoints()
	if err != nil {
		return nil // the slow rescan finds their changes
	}
	at := map[string]bool{}
	for _, p := range points {
		if fi, err := os.Lstat(p); err == nil && !fi.IsDir() {
			at[p] = true
		}
	}
	if len(at) == 0 {
		return nil
	}
	var out []string
	for _, f := range files {
		if at[f] {
			out = append(out, f)
		} else if real, err := filepath.EvalSymlinks(f); err == nil && real != f && at[real] {
			out = append(out, real)
		}
	}
	return out
}
