package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// holderVariable has this program hold sockets for another run of it: a process
// may have 20,000 descriptors. Its value is the admin API of a member, the port
// of its sockets, the first user and how many.
const holderVariable = "SLUICE_BENCH_HOLD"

// What a holder says, each followed by a line that tells it to go on.
const (
	saysLoggedIn  = "logged in\n"
	saysConnected = "connected\n"
)

// heldUntilToldToEnd is what such a run does: sessions, then sockets, then to
// answer pings until its standard input ends.
func heldUntilToldToEnd(ctx context.Context, orders string) error {
	var admin string
	var port, first, n int
	if _, err := fmt.Sscan(orders, &admin, &port, &first, &n); err != nil {
		return fmt.Errorf("%s=%q: %w", holderVariable, orders, err)
	}
	told := bufio.NewReader(os.Stdin)
	logins, err := sluice.Logins(ctx, &http.Client{}, admin, first, n)
	if err != nil {
		return err
	}
	fmt.Print(saysLoggedIn)
	if _, err := told.ReadString('\n'); err != nil {
		return err
	}
	c, err := sockets.New(n, sockets.SocketIO)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Connect(ctx, dialing, func(i int) (int, []byte) { return port, logins[i].Request(port, first+i) }); err != nil {
		return err
	}
	fmt.Print(saysConnected)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = told.ReadString('\n') // its end is all that is waited for
		cancel()
	}()
	for ctx.Err() == nil {
		if err := c.Rest(ctx, time.Second); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// holders are those of a run.
type holders struct {
	list []*holder
}

type holder struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// hold has so many users from first on hold a socket each, on the members but
// the first, and adds up what that took.
func (r *rig) hold(ctx context.Context, st *stand, first, n int) (*holders, error) {
	var on []int
	for member := 1; (member-1)*r.extent.mostHeld < n; member++ {
		on = append(on, member)
	}
	return r.holdOn(ctx, st, on, first, n)
}

// holdOn is hold with the members that take them, as many as each may have.
func (r *rig) holdOn(ctx context.Context, st *stand, on []int, first, n int) (*holders, error) {
	hs := &holders{}
	self, err := os.Executable()
	if err != nil {
		return hs, err
	}
	for _, member := range on {
		some := min(n, r.extent.mostHeld)
		m := st.members[member]
		h := &holder{cmd: exec.CommandContext(ctx, self)}
		h.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d", holderVariable, admin(m), m.Ports[0], first, some))
		h.cmd.Stderr = r.log
		if h.in, err = h.cmd.StdinPipe(); err != nil {
			return hs, err
		}
		out, err := h.cmd.StdoutPipe()
		if err != nil {
			return hs, err
		}
		h.out = bufio.NewReader(out)
		if err := h.cmd.Start(); err != nil {
			return hs, err
		}
		hs.list = append(hs.list, h)
		first, n = first+some, n-some
	}
	if err := hs.await(ctx, st, saysLoggedIn); err != nil || len(hs.list) == 0 {
		return hs, err
	}
	before, err := st.redis.Work()
	if err != nil {
		return hs, err
	}
	began := time.Now()
	for _, h := range hs.list {
		if _, err := io.WriteString(h.in, "\n"); err != nil {
			return hs, err
		}
	}
	if err := hs.await(ctx, st, saysConnected); err != nil {
		return hs, err
	}
	st.connected += time.Since(began)
	after, err := st.redis.Work()
	st.registered += after.Since(before).Memory
	return hs, err
}

// await serves the stand's own sockets until all holders have said so.
func (hs *holders) await(ctx context.Context, st *stand, want string) error {
	said := make(chan error, len(hs.list))
	for _, h := range hs.list {
		go func() {
			line, err := h.out.ReadString('\n')
			if err == nil && line != want {
				err = fmt.Errorf("a holder of sockets says %q instead of %q", line, want)
			}
			said <- err
		}()
	}
	for left := len(hs.list); left > 0; {
		if err := st.Rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		select {
		case err := <-said:
			if left--; err != nil {
				return errors.Join(errors.New("a process that holds sockets ended"), err)
			}
		default:
		}
	}
	return nil
}

// close ends the holders and returns the first error: one that lost a socket has
// ended before.
func (hs *holders) close() error {
	errs := make([]error, len(hs.list))
	var ended sync.WaitGroup
	for i, h := range hs.list {
		ended.Go(func() {
			_ = h.in.Close() // or it has ended
			errs[i] = h.cmd.Wait()
		})
	}
	ended.Wait()
	hs.list = nil
	return errors.Join(errs...)
}
