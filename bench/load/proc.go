package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc, on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// resident is the process's memory in KiB.
func resident(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(n)
		}
	}
	return 0
}

// cpuTime is what the process has used, in the kernel and out of it.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in brackets, may have blanks.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick
}

// cpuSample is the time that the machine has worked, and this program with
// the servers that it has waited for.
type cpuSample struct {
	at                time.Time
	busy, own, driver time.Duration
}

func sampleCPU() cpuSample {
	s := cpuSample{at: time.Now()}
	b, err := os.ReadFile("/proc/stat")
	if err == nil {
		f := strings.Fields(strings.SplitN(string(b), "\n", 2)[0])
		for _, i := range []int{1, 2, 3, 6, 7, 8} { // user, nice, system, irq, softirq, steal
			n, _ := strconv.Atoi(f[i])
			s.busy += time.Duration(n) * tick
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			s.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
			if who == unix.RUSAGE_SELF {
				s.driver = s.own
			}
		}
	}
	return s
}

// foreign is the share of the machine's time since before that was neither
// idle nor ours. Interrupts on behalf of ours count as foreign.
func (s cpuSample) foreign(before cpuSample) float64 {
	total := time.Duration(float64(s.at.Sub(before.at)) * 2)
	return max(0, float64((s.busy-before.busy)-(s.own-before.own))/float64(total))
}

// self is the share of its core that this program used. Where it is near 1
// over the time that a figure measures, the server could do more.
func (s cpuSample) self(before cpuSample) float64 {
	return float64(s.driver-before.driver) / float64(s.at.Sub(before.at))
}
