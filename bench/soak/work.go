package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// counts is what was done, and what was refused: while a link is cut, some is.
type counts struct {
	opened, ended, refused     atomic.Int64 // sockets; ended by a member
	delivered                  atomic.Int64
	sent, unsent               atomic.Int64 // messages
	written, unwritten         atomic.Int64 // overrides
	saved, cuts, streams, seen atomic.Int64 // seen: events of the streams
}

func (c *counts) String() string {
	return fmt.Sprintf("%d sockets opened, %d ended by a member, %d refused; %d messages sent, %d not, %d delivered; %d overrides written, %d not; %d files saved; %d cuts; %d streams of %d events",
		c.opened.Load(), c.ended.Load(), c.refused.Load(), c.sent.Load(), c.unsent.Load(), c.delivered.Load(), c.written.Load(), c.unwritten.Load(),
		c.saved.Load(), c.cuts.Load(), c.streams.Load(), c.seen.Load())
}

// run does everything at a time, until the time is over or something fails.
func (s *soak) run(ctx context.Context, out io.Writer) error {
	whole, cancel := context.WithTimeout(ctx, s.span)
	defer cancel()
	ctx, fail := context.WithCancelCause(whole)
	defer fail(nil)
	var work sync.WaitGroup
	start := func(f func(ctx context.Context) error) {
		work.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fail(err)
			}
		})
	}
	start(s.serve)
	start(s.post)
	start(s.write)
	start(s.save)
	for i := range members {
		start(func(ctx context.Context) error { return s.watch(ctx, i) })
	}
	start(func(ctx context.Context) error { return s.cutLinks(ctx, out) })
	work.Wait()
	if whole.Err() != context.DeadlineExceeded {
		return context.Cause(ctx)
	}
	fmt.Fprintln(out, &s.counts)
	if s.counts.delivered.Load() == 0 || s.counts.written.Load() == 0 || s.counts.cuts.Load() == 0 {
		return errors.New("nothing was delivered, written or cut: this was no soak")
	}
	return nil
}

// each calls f so many times a second, until the context ends.
func each(ctx context.Context, every time.Duration, f func(n int) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := f(n); err != nil {
			return err
		}
	}
}

// again is how long a client waits that was closed or refused.
const again = 500 * time.Millisecond

// serve has the sockets come and go: half of those that are closed say so, the
// others just end. Each comes back, on any member.
func (s *soak) serve(ctx context.Context) error {
	type due struct {
		i  int
		at time.Time
	}
	var waiting []due
	s.clients.Message = func(int, []byte, time.Time) error {
		s.counts.delivered.Add(1)
		return nil
	}
	s.clients.Gone = func(i int, why error) {
		if errors.As(why, new(*sockets.RefusedError)) {
			s.counts.refused.Add(1)
		} else {
			s.counts.ended.Add(1)
		}
		waiting = append(waiting, due{i, time.Now().Add(again)})
	}
	dial := func(i int) error {
		s.counts.opened.Add(1)
		port := s.members[rand.IntN(members)].Ports[0]
		return s.clients.Dial(i, port, s.logins[i].Request(port, i+1))
	}
	for i := range s.sockets {
		waiting = append(waiting, due{i, time.Now().Add(time.Duration(i) * time.Millisecond)})
	}
	next := time.Now()
	for ctx.Err() == nil {
		if err := s.clients.Poll(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		now := time.Now()
		for len(waiting) > 0 && now.After(waiting[0].at) {
			if err := dial(waiting[0].i); err != nil {
				return err
			}
			waiting = waiting[1:]
		}
		if s.clients.Ready < s.sockets/2 {
			next = now // first they all come, also after a cut
		}
		for ; now.After(next); next = next.Add(time.Second / time.Duration(s.churn)) {
			i := rand.IntN(s.sockets)
			if !s.clients.IsReady(i) {
				continue
			}
			if rand.IntN(2) == 0 && s.clients.Bye(i) == nil {
				continue // the member ends the connection
			}
			if err := s.clients.Drop(i); err != nil {
				return err
			}
			waiting = append(waiting, due{i, now.Add(again)})
		}
	}
	return nil
}

// post sends messages to users in turn, over all members; a tenth wants to know
// whether it has arrived.
func (s *soak) post(ctx context.Context) error {
	return each(ctx, time.Second/time.Duration(s.messages), func(n int) error {
		user := 1 + n%s.sockets
		m := map[string]any{"context": sluice.ContextOf(user), "user": user, "name": sockets.Event, "args": []string{fmt.Sprintf("message %d", n)}}
		if n%10 == 0 {
			m["confirm"], m["id"] = true, fmt.Sprintf("soak-%d", n)
		}
		status, _, err := s.ask(ctx, n%members, http.MethodPost, "/admin/v1/messages", m)
		count(&s.counts.sent, &s.counts.unsent, status, err)
		return nil
	})
}

// count counts a request: while a link is cut, some fail, which is what they do.
func count(done, not *atomic.Int64, status int, err error) {
	if err == nil && status < 300 {
		done.Add(1)
	} else {
		not.Add(1)
	}
}

// write sets and removes overrides through all members, so that there are never
// more than two for each user. Each tenth switches a user's sockets off, until it
// is removed.
func (s *soak) write(ctx context.Context) error {
	return each(ctx, time.Second/time.Duration(s.writes), func(n int) error {
		user := 1 + n/2%s.sockets
		property := "com.openexchange.soak.value"
		if n/2%10 == 0 {
			property = "com.openexchange.websockets.enabled"
		}
		path := fmt.Sprintf("/admin/v1/contexts/%d/users/%d/properties/%s", sluice.ContextOf(user), user, property)
		var status int
		var err error
		if n%2 == 0 {
			status, _, err = s.ask(ctx, n/2%members, http.MethodPut, path, map[string]any{"value": "false", "reason": "soak", "expires": time.Now().Add(time.Minute).UTC().Format(time.RFC3339)})
		} else {
			status, _, err = s.ask(ctx, n/2%members, http.MethodDelete, path+"?reason=soak", nil)
		}
		count(&s.counts.written, &s.counts.unwritten, status, err)
		return nil
	})
}

// save saves a file of a member: mostly another value, at times a file that does
// not parse, a context set, or none any more.
func (s *soak) save(ctx context.Context) error {
	return each(ctx, s.saves, func(n int) error {
		etc := filepath.Join(s.members[n%members].Dir, "etc")
		s.counts.saved.Add(1)
		switch n / members % 8 {
		case 0:
			return os.WriteFile(filepath.Join(etc, "soak.yml"), []byte("soak: [\n"), 0o600)
		case 1:
			return os.WriteFile(filepath.Join(etc, "soak.yml"), fmt.Appendf(nil, "soak:\n  n: %d\n", n), 0o600)
		case 2:
			return errors.Join(os.MkdirAll(filepath.Join(etc, "contextSets"), 0o700), os.WriteFile(filepath.Join(etc, "contextSets", "soak.yml"),
				fmt.Appendf(nil, "soak:\n  withTags: soak%d\n  com.openexchange.websockets.enabled: false\n", n), 0o600))
		case 3:
			if err := os.Remove(filepath.Join(etc, "soak.properties")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		}
		path := filepath.Join(etc, "soak.properties")
		if err := os.WriteFile(path+".new", fmt.Appendf(nil, "com.openexchange.soak.value = %d\n", n), 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	})
}

// watched is how long a stream of events is read before the next one is opened.
const watched = 7 * time.Second

// watch reads the events of a member and of all, in one stream after the other.
func (s *soak) watch(ctx context.Context, member int) error {
	for ctx.Err() == nil {
		s.counts.streams.Add(1)
		if err := s.stream(ctx, member); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) stream(ctx context.Context, member int) error {
	ctx, cancel := context.WithTimeout(ctx, watched)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin(s.members[member])+"/admin/v1/events?cluster=true", nil)
	if err != nil {
		return err
	}
	if err := sluice.Authorize(req); err != nil {
		return err
	}
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		<-ctx.Done() // not all the time
		return nil
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		s.counts.seen.Add(1)
	}
	<-ctx.Done()
	return nil
}

// cutLinks takes a sample of each member, then cuts a link; each sixth time all of
// them.
func (s *soak) cutLinks(ctx context.Context, out io.Writer) error {
	began := time.Now()
	for n := 0; ; n++ {
		if !pause(ctx, s.whole) {
			return nil
		}
		for i := range members {
			x, err := s.sample(ctx, i)
			x.at = time.Since(began)
			if err != nil { // busy: the next one will do
				fmt.Fprintf(out, "%8s  m%d  no sample: %v\n", x.at.Round(time.Second), i, err)
				continue
			}
			s.samples[i] = append(s.samples[i], x)
			fmt.Fprintf(out, "%8s  m%d  %s\n", x.at.Round(time.Second), i, x)
		}
		s.counts.cuts.Add(1)
		for i, k := range s.links {
			k.set(n%6 == 5 || i == n%members)
		}
		whole := pause(ctx, s.cut)
		for _, k := range s.links {
			k.set(false)
		}
		if !whole {
			return nil
		}
	}
}

// pause reports false when the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
