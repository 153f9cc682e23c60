package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed47708276/sluice/websockets"
)

const (
	// predecessorFile and binaryFile are the descriptors that a successor begins with.
	predecessorFile = 3
	binaryFile      = 4
	// SuccessorFlag is the flag of `sluice serve` that tells of the first.
	SuccessorFlag = "successor"
	// readyPatience bounds the time from the last packet until the successor is
	// ready: a store of a large installation is loaded in it.
	readyPatience = 30 * time.Second
	// helloPatience bounds the start of a process.
	helloPatience = 20 * time.Second
)

// successor is the process that is to take over.
type successor struct {
	cmd     *exec.Cmd
	pipe    *pipe
	ended   chan struct{}
	version string
	format  string
}

// startSuccessor starts a binary with the arguments of this process, and waits until
// it says who it is.
func startSuccessor(path string, args []string) (*successor, error) {
	binary, err := trustedBinary(path)
	if err != nil {
		return nil, err
	}
	defer binary.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "successor")
	defer theirs.Close()
	p, err := pipeOf(os.NewFile(uintptr(pair[0]), "handover"))
	if err != nil {
		return nil, err
	}
	flag := "--" + SuccessorFlag
	// The very file that was looked at, whatever has its name by now.
	cmd := &exec.Cmd{
		Path: fmt.Sprintf("/proc/self/fd/%d", binaryFile), Args: append(append([]string{path}, args...), fmt.Sprintf("%s=%d", flag, predecessorFile)),
		Env:    slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") }), // it is not that one
		Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs, binary},
	}
	if err := cmd.Start(); err != nil {
		_ = p.conn.Close()
		return nil, fmt.Errorf("%s cannot be started: %w: install it again", path, err)
	}
	s := &successor{cmd: cmd, pipe: p, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait() // its state says what there is to say
	}()
	_ = theirs.Close() // else its end would not be noticed
	x, _, err := p.receive(helloPatience)
	if err == nil && x.Hello == nil {
		err = errors.New("it does not say who it is")
	}
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("%s does not take over (%w, %s): it is older than this process, damaged, or could not start, and the log has its own words: install it again, or restart the service", path, err, cmd.ProcessState)
	}
	s.version, s.format = x.Hello.Version, x.Hello.Format
	return s, nil
}

// kill ends the successor and waits until it has ended: then nobody but this process
// has what is handed over.
func (s *successor) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	_ = s.pipe.conn.Close()
}

// prepared waits until the successor has read its files.
func (s *successor) prepared() error {
	x, _, err := s.pipe.receive(readyPatience)
	switch {
	case err != nil:
		return fmt.Errorf("%w (%s)", err, s.cmd.ProcessState)
	case x.Prepared == nil:
		return errors.New("it says something else")
	case x.Prepared.Error != "":
		return errors.New(x.Prepared.Error)
	}
	return nil
}

// give hands all over and returns when the successor is ready. tell is called before
// its word to go on, from which on it is the member. After an error it has ended, and
// the member is whoever has f.
func (s *successor) give(f *Frozen, tell func(pid int)) error {
	// What the sockets had that are frozen goes back to the system while the next process
	// takes as much: else there would be twice of it for a moment.
	var freeing sync.WaitGroup
	freeing.Go(debug.FreeOSMemory)
	defer freeing.Wait()
	err := s.transfer(f)
	if err == nil {
		var x *packet
		if x, _, err = s.pipe.receive(readyPatience); err == nil && x.Ready == nil {
			err = errors.New("it says something else")
		}
		if err == nil && x.Ready.Error != "" {
			err = errors.New(x.Ready.Error)
		}
	}
	if err == nil {
		tell(s.cmd.Process.Pid)
		err = s.pipe.send(&packet{Go: true})
	}
	if err != nil {
		s.kill()
		return fmt.Errorf("the next process did not take over: %w (%s)", err, s.cmd.ProcessState)
	}
	return nil
}

func (s *successor) transfer(f *Frozen) error {
	b := &beginPacket{
		Version: f.version, Number: f.sockets.Number, Closed: f.sockets.Closed, Sockets: len(f.sockets.Sockets),
		Public: f.public.address, Admin: f.admin.address, Socket: f.socket.address, Link: f.link, Remembered: f.remembered,
	}
	var err error
	if b.Since, err = monotonic(f.sockets.Since); err != nil {
		return err
	}
	if b.Began, err = monotonic(f.began); err != nil {
		return err
	}
	var fds []int
	for _, file := range []*os.File{f.lock, f.public.file, f.admin.file, f.socket.file} {
		fd, err := descriptor(file)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	if err := s.pipe.send(&packet{Begin: b}, fds...); err != nil {
		return err
	}
	for list := range slices.Chunk(f.sockets.Sockets, pipeFiles) {
		states, fds := make([]websockets.SocketState, len(list)), make([]int, len(list))
		for i := range list {
			conn, ok := list[i].Conn.(*net.TCPConn)
			if !ok {
				return fmt.Errorf("a socket has a connection of the type %T", list[i].Conn)
			}
			states[i] = list[i].SocketState
			if fds[i], err = descriptor(conn); err != nil {
				return err
			}
		}
		if err := s.pipe.send(&packet{Sockets: states}, fds...); err != nil {
			return err
		}
	}
	err = inPackets(f.sockets.Kept, func(k *websockets.KeptState) int { return keptSize + len(k.Data) }, func(list []websockets.KeptState) error {
		return s.pipe.send(&packet{Kept: list})
	})
	if err != nil {
		return err
	}
	err = inPackets(f.sockets.Histories, func(h *websockets.HistoryState) int { return keptSize + placeSize*len(h.Places) }, func(list []websockets.HistoryState) error {
		return s.pipe.send(&packet{Histories: list})
	})
	if err != nil {
		return err
	}
	return s.pipe.send(&packet{End: true})
}

// keptSize is about what a kept message, or a user, has beside its data or messages in
// a packet, and placeSize what a message of a user has there.
const (
	keptSize  = 100
	placeSize = 4
)

// inPackets sends a list in packets of pipeKept.
func inPackets[T any](list []T, size func(*T) int, send func([]T) error) error {
	for len(list) > 0 {
		n := 0
		for sum := 0; n < len(list) && sum < pipeKept; n++ {
			sum += size(&list[n])
		}
		if err := send(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// trustedBinary opens a binary that nobody but root and the user of this process may
// have written.
func trustedBinary(path string) (*os.File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("%w: install the package, or start the server from a binary that stays", err)
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil {
			return nil, err
		}
		if err := trusted(dir, fi, fi.Mode()&fs.ModeSticky != 0); err != nil {
			return nil, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	f, err := os.Open(real)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = trusted(real, fi, false)
	}
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = fmt.Errorf("%s is no file", real)
	case unix.Access(real, unix.X_OK) != nil:
		err = fmt.Errorf("%s is not executable: install the package again", real)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// trusted refuses what somebody else may write. What has the sticky bit can be
// written by all, and replaced by its owner.
func trusted(path string, fi fs.FileInfo, sticky bool) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: its owner is not known", path)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could have it do anything: only what root or user %d owns is started", path, st.Uid, os.Geteuid())
	}
	if fi.Mode().Perm()&0o022 != 0 && !sticky {
		return fmt.Errorf("%s may be written by others (%s), who could have it do anything: take that right away from them", path, fi.Mode())
	}
	return nil
}
