package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// statusEvery is how often the service manager gets the status line, where
	// no watchdog asks for it sooner.
	statusEvery = 5 * time.Second
	// notifyTimeout bounds a write to the service manager, which reads at once
	// unless the machine is in trouble.
	notifyTimeout = time.Second
)

// serviceManager tells systemd, or whatever else set NOTIFY_SOCKET, how the
// server is: the protocol of sd_notify(3). A nil one tells nobody.
type serviceManager struct {
	addr     *net.UnixAddr
	watchdog time.Duration // within which a sign of life must come; 0: none is wanted
	log      *slog.Logger
}

// newServiceManager reads the environment that a service manager gives to its
// main process. A WATCHDOG_PID of another process is not for this one.
func newServiceManager(env func(string) string, log *slog.Logger) (*serviceManager, error) {
	path := env("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET %.100q is neither a path nor an abstract name (@...): start the service by its manager, or without that variable", path)
	}
	m := &serviceManager{addr: &net.UnixAddr{Name: path, Net: "unixgram"}, log: log}
	usec := env("WATCHDOG_USEC")
	if pid := env("WATCHDOG_PID"); usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 {
		return nil, fmt.Errorf("WATCHDOG_USEC %.50q is not a number of microseconds", usec)
	}
	m.watchdog = time.Duration(n) * time.Microsecond
	return m, nil
}

// notify sends one datagram. One that cannot be sent is logged: the service
// manager acts by itself on what it does not hear.
func (m *serviceManager) notify(lines ...string) {
	if m == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, m.addr)
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(notifyTimeout)) // fails on closed connections only
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
		_ = c.Close()
	}
	if err != nil {
		m.log.Warn("the service manager cannot be told", "socket", m.addr.Name, "err", err)
	}
}

// ready says that the server serves, also after a reload.
func (m *serviceManager) ready(status string) {
	m.notify("READY=1", "STATUS="+status)
}

// reloading says that a reload has begun. systemd 253 and newer compare the
// time, of CLOCK_MONOTONIC in microseconds, with that of their signal.
func (m *serviceManager) reloading() {
	if m == nil {
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.log.Warn("the service manager cannot be told of the reload", "err", err)
		return
	}
	m.notify("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// stopping says that the server drains, and how long that may take.
func (m *serviceManager) stopping(within time.Duration) {
	m.notify("STOPPING=1", "STATUS=draining", "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(within.Microseconds(), 10))
}

// successor says which process is the main one from now on.
func (m *serviceManager) successor(pid int) {
	m.notify("MAINPID=" + strconv.Itoa(pid))
}

// follow sends the status line when it has changed, and signs of life where they
// are wanted, until ctx ends. status reads what the server is made of, so that
// one that is stuck gives no sign.
func (m *serviceManager) follow(ctx context.Context, status func() string) {
	if m == nil {
		return
	}
	every := statusEvery
	if m.watchdog > 0 {
		every = min(every, m.watchdog/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			line := status()
			var out []string
			if m.watchdog > 0 {
				out = append(out, "WATCHDOG=1")
			}
			if line != last {
				last = line
				out = append(out, "STATUS="+line)
			}
			if len(out) > 0 {
				m.notify(out...)
			}
		}
	}
}
