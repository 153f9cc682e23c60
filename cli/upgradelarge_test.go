package cli_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// As many as a process of 20,000 descriptors can have, and the clients in this one.
const (
	handoverIdle, handoverBusy = 15_000, 500
	handoverRate               = 500 // messages a second
)

// TestUpgradeLarge hands many sockets over, and logs how long that takes and the
// memory of both processes beside that of one.
func TestUpgradeLarge(t *testing.T) {
	idle, busy := 300, 40
	if *torture {
		idle, busy = handoverIdle, handoverBusy
	} else {
		t.Parallel()
	}
	tree := newTree(t)
	put(t, tree, "zz.properties", "sluice.websockets.maxPerUser=50\n")
	m := manage(t, installed(t, binary(t)), tree, t.TempDir())
	l := newLoad(t, m.process, []*process{m.process}, busy)
	var conns []*websocket.Conn
	for i := 0; len(conns) < idle; i++ {
		in := m.login(100_000 + i)
		for k := range 50 {
			conn, err := (&member{process: m.process}).dial(in, fmt.Sprint("idle", k))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.CloseNow() })
			conns = append(conns, conn)
		}
	}
	l.send(handoverRate*busy/handoverBusy, m.process)
	hold(2 * time.Second)
	one, both := resident(m.pid), 0
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		old, tick := m.pid, time.NewTicker(2*time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			sum := resident(old)
			for _, pid := range children(old) {
				sum += resident(pid)
			}
			both = max(both, sum)
		}
	}()
	m.upgrade()
	stop()
	<-watched
	u := m.current()
	hold(time.Second)
	n, late := l.check(m.process)
	if u.Last.Closed > 0 || u.Last.Sockets != len(conns)+busy {
		t.Errorf("%+v", u.Last)
	}
	// The idle ones are there.
	if code := m.request("POST", "/admin/v1/messages", `{"all":true,"name":"all","args":[]}`, nil); code != 200 {
		t.Errorf("%d", code)
	}
	for _, conn := range conns {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, data, err := conn.Read(ctx)
		cancel()
		if err != nil || !strings.Contains(string(data), `"all"`) {
			t.Fatalf("%s, %v", data, err)
		}
	}
	t.Logf("%d sockets in %d ms; %d messages, the latest after %v; memory of both %d KiB, of one %d KiB (%.2f)",
		u.Last.Sockets, u.Last.Ms, n, late, both, one, float64(both)/float64(one))
}

// resident is the memory of a process in KiB; 0: it has ended.
func resident(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// children are the processes that one has started.
func children(pid int) (list []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, text := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(text); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}
