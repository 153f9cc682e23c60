package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed47708276/sluice/bench/internal/histogram"
	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
	"github.com/seed47708276/sluice/bench/internal/table"
)

// The bounds that the documented timings set, in milliseconds: a lone message
// waits delayDuration and then at most timerFrequency; equal ones wait
// maxDelayDuration and at most that. 100 ms are for the way.
const (
	loneLeast, loneMost   = 1_000, 1_600
	equalLeast, equalMost = 3_000, 3_600
	equalEvery            = 100 * time.Millisecond
)

// samples are the delays of a figure, of all its runs.
type samples struct{ lone, equal []time.Duration }

// plot draws the delays as histograms below each other.
func (s *samples) plot() string {
	panel := func(title string, values []time.Duration, from, to, least, most int) histogram.Panel {
		return histogram.Panel{
			Title: title, Values: values, From: from, To: to, Bin: 25, Tick: 100, Marks: []int{least, most},
			Note: fmt.Sprintf("between the dashed lines, %d and %d ms, is where all are to be", least, most),
		}
	}
	return histogram.Draw("Arrival of messages for other members with the documented timings", []histogram.Panel{
		panel("A lone message: from sending it to its arrival at the other member", s.lone, 900, 1_700, loneLeast, loneMost),
		panel("Equal messages every 100 ms: from one arrival to the next", s.equal, 2_900, 3_700, equalLeast, equalMost),
	})
}

var spread = []table.Column{{Label: "p50 ms"}, {Label: "p99 ms"}}

func (r *rig) timings() []table.Figure {
	columns := func(least, most float64) []table.Column {
		return append([]table.Column{{Label: "shortest ms", Floor: least}, {Label: "longest ms", Limit: most}}, spread...)
	}
	own := []string{labelSluice}
	return []table.Figure{
		{Label: "lone", Columns: columns(loneLeast, loneMost), Only: own, Run: r.lone},
		{Label: "equal", Columns: columns(equalLeast, equalMost), Only: own, Run: r.equal},
	}
}

// lone sends one message to each user, at random times, and takes how long
// each is on its way.
func (r *rig) lone(ctx context.Context, peer string) (table.Reading, error) {
	b, err := r.buffered(ctx, peer, r.extent.loneUsers)
	if err != nil {
		return table.Reading{}, err
	}
	defer b.close()
	sent := make([]time.Time, b.users+1)
	var due []time.Duration
	for range b.users {
		due = append(due, time.Duration(rand.Int64N(int64(r.extent.loneFor))))
	}
	slices.Sort(due)
	began := time.Now()
	b.publish(ctx, func(ctx context.Context) error {
		for i, d := range due {
			if !wait(ctx, time.Until(began.Add(d))) {
				return nil
			}
			b.mu.Lock()
			sent[i+1] = time.Now()
			b.mu.Unlock()
			if err := b.post(ctx, i+1, "lone"); err != nil {
				return err
			}
		}
		return nil
	})
	var delay []time.Duration
	return b.measure(ctx, r.extent.loneFor+2*loneMost*time.Millisecond, func(user int, at time.Time) {
		b.mu.Lock()
		defer b.mu.Unlock()
		delay = append(delay, at.Sub(sent[user]))
	}, func() ([]time.Duration, error) {
		if len(delay) != b.users {
			return nil, fmt.Errorf("%d deliveries of %d messages", len(delay), b.users)
		}
		r.samples.lone = append(r.samples.lone, delay...)
		return delay, nil
	})
}

// equal sends the same message to each user again and again, and takes the time
// from one delivery to the next.
func (r *rig) equal(ctx context.Context, peer string) (table.Reading, error) {
	b, err := r.buffered(ctx, peer, r.extent.equalUsers)
	if err != nil {
		return table.Reading{}, err
	}
	defer b.close()
	for user := 1; user <= b.users; user++ {
		b.publish(ctx, func(ctx context.Context) error {
			began := time.Now().Add(time.Duration(rand.Int64N(int64(time.Second))))
			for n := 0; ; n++ {
				if !wait(ctx, time.Until(began.Add(time.Duration(n)*equalEvery))) {
					return nil
				}
				if err := b.post(ctx, user, "equal"); err != nil {
					return err
				}
			}
		})
	}
	last := make([]time.Time, b.users+1)
	var gaps []time.Duration
	return b.measure(ctx, r.extent.equalFor, func(user int, at time.Time) {
		if !last[user].IsZero() {
			gaps = append(gaps, at.Sub(last[user]))
		}
		last[user] = at
	}, func() ([]time.Duration, error) {
		// One gap of each user fits in any case.
		if len(gaps) < b.users {
			return nil, fmt.Errorf("%d gaps between the deliveries to %d users", len(gaps), b.users)
		}
		r.samples.equal = append(r.samples.equal, gaps...)
		return gaps, nil
	})
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// buffered is two members with the documented timings, all sockets on the
// second.
type buffered struct {
	*cluster
	clients *sockets.Clients
	users   int
	http    *http.Client
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

func (r *rig) buffered(ctx context.Context, peer string, users int) (*buffered, error) {
	c, err := r.start(ctx, peer, plan{members: 2, users: users, memberOf: onB, buffered: true})
	if err != nil {
		return nil, err
	}
	b := &buffered{cluster: c, users: users, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: users}}, cancel: func() {}}
	if b.clients, err = sockets.New(users, sockets.SocketIO); err != nil {
		c.close()
		return nil, err
	}
	if err := b.clients.Connect(ctx, dialing, func(i int) (int, []byte) { return c.target(1, i+1, i) }); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *buffered) close() {
	b.cancel()
	b.done.Wait()
	b.http.CloseIdleConnections()
	b.clients.Close()
	b.cluster.close()
}

// publish runs f until it returns or close is called.
func (b *buffered) publish(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	before := b.cancel
	b.cancel = func() { cancel(); before() }
	b.done.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			b.mu.Lock()
			b.failed = err
			b.mu.Unlock()
		}
	})
}

// post sends one message into the first member.
func (b *buffered) post(ctx context.Context, user int, text string) error {
	body := fmt.Sprintf(`{"context":%d,"user":%d,"name":%q,"args":[%q]}`, sluice.ContextOf(user), user, sockets.Event, text)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, admin(b.members[0])+"/admin/v1/messages", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := sluice.Authorize(req); err != nil {
		return err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %.300s", resp.Status, answer)
	}
	return err
}

// measure serves the sockets for a while; result gives what was sampled.
func (b *buffered) measure(ctx context.Context, d time.Duration, delivered func(user int, at time.Time), result func() ([]time.Duration, error)) (table.Reading, error) {
	b.clients.Message = func(i int, _ []byte, at time.Time) error {
		delivered(i+1, at)
		return nil
	}
	m, err := process.StartMeter(b.pids()...)
	if err != nil {
		return table.Reading{}, err
	}
	if err := b.clients.Rest(ctx, d); err != nil {
		return table.Reading{}, err
	}
	u, err := m.Stop()
	if err != nil {
		return table.Reading{}, err
	}
	b.mu.Lock()
	err = b.failed
	b.mu.Unlock()
	if err != nil {
		return table.Reading{}, err
	}
	all, err := result()
	if err != nil {
		return table.Reading{}, err
	}
	all = slices.Sorted(slices.Values(all))
	return table.Reading{Values: []float64{table.Quantile(all, 0), table.Quantile(all, 1), table.Quantile(all, 0.5), table.Quantile(all, 0.99)}, Usage: u}, nil
}
