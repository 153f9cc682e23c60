package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Tick is the unit of times in /proc, on every Linux that Go runs on (proc(5)).
const Tick = 10 * time.Millisecond

// Resident is a process's memory in KiB.
func Resident(pid int) (float64, error) { return status(pid, "VmRSS:") }

// Anonymous is its part that no file is behind: without the pages of a store.
func Anonymous(pid int) (float64, error) { return status(pid, "RssAnon:") }

func status(pid int, field string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("process %d has no %s it has ended", pid, field)
}

// CPUTime is what a process has used, in the kernel and out of it.
func CPUTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may have blanks; utime and stime are fields 14 and
	// 15, the state after the name is field 3.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields after the name", pid, len(f))
	}
	return sumTicks(f[11:13])
}

func sumTicks(fields []string) (time.Duration, error) {
	var sum time.Duration
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * Tick
	}
	return sum, nil
}

// Cores of the servers and of the driver: each has one of its own, so that the
// figures are those of one core whatever the machine has.
const (
	ServerCore = 0
	DriverCore = 1
)

// busyTime is what the two cores have worked, for whomever.
func busyTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != fmt.Sprintf("cpu%d", ServerCore) && f[0] != fmt.Sprintf("cpu%d", DriverCore) {
			continue
		}
		// user, nice, system; irq, softirq, steal: all but idle and iowait.
		n, err := sumTicks(append(f[1:4:4], f[6:9]...))
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return sum, nil
}

func ownTime() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// Meter tells what was used since it was started.
type Meter struct {
	pids              []int
	at                time.Time
	busy, own, server time.Duration
}

// StartMeter meters servers, the driver itself, and the rest.
func StartMeter(pids ...int) (m Meter, err error) {
	m.pids, m.at = pids, time.Now()
	if m.busy, err = busyTime(); err != nil {
		return m, err
	}
	if m.own, err = ownTime(); err != nil {
		return m, err
	}
	for _, pid := range pids {
		t, err := CPUTime(pid)
		if err != nil {
			return m, err
		}
		m.server += t
	}
	return m, nil
}

// Usage is what was used in the measured part of a run.
type Usage struct {
	Took    time.Duration
	Server  time.Duration // CPU
	Driver  float64       // share of its core; near 1 the server could do more
	Foreign float64       // share of the two cores that others used, interrupts included
}

// Stop returns what was used.
func (m Meter) Stop() (Usage, error) {
	end, err := StartMeter(m.pids...)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Took: end.at.Sub(m.at), Server: end.server - m.server}
	own := end.own - m.own
	u.Driver = float64(own) / float64(u.Took)
	u.Foreign = max(0, float64(end.busy-m.busy-own-u.Server)/float64(2*u.Took))
	return u, nil
}
