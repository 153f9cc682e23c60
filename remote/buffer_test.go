package remote

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/shared"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// parseMessage reads "17 A", "ctx A", "all A", with filter=F and token=T.
func parseMessage(t *testing.T, fields []string) Message {
	t.Helper()
	m := Message{Context: 1, Name: fields[1]}
	switch to := fields[0]; to {
	case "all":
		m.Context = 0
	case "ctx":
	default:
		user, err := strconv.Atoi(to)
		if err != nil {
			t.Fatalf("addressee %q", to)
		}
		m.User = uint32(user)
	}
	for _, f := range fields[2:] {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "filter":
			m.PathFilter = value
		case "token":
			m.SourceToken = value
		default:
			t.Fatalf("option %q", f)
		}
	}
	return m
}

// TestBufferTranscripts runs scripts in virtual time. A line is "t=MS" and what
// happens then: "timings DELAY MAX FREQUENCY", "offer TO NAME ...", "close". What
// the sink gets is written behind the line after which it did.
func TestBufferTranscripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/buffer/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				got := transcript(t, string(want))
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if got != string(want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		})
	}
}

func transcript(t *testing.T, script string) string {
	var out strings.Builder
	start := time.Now()
	var mu sync.Mutex
	b := NewBuffer(Timings{ms(1000), ms(3000), ms(500)}, func() int { return 100 }, func(list []Message) {
		mu.Lock()
		defer mu.Unlock()
		var names []string
		for _, m := range list {
			names = append(names, m.Name)
		}
		fmt.Fprintf(&out, "t=%d flush %v\n", time.Since(start).Milliseconds(), names)
	})
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		out.WriteString(line + "\n")
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			say(line)
			continue
		}
		if f[1] == "flush" {
			continue
		}
		at, err := strconv.Atoi(strings.TrimPrefix(f[0], "t="))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		time.Sleep(ms(at) - time.Since(start))
		synctest.Wait()
		say(line)
		switch f[1] {
		case "timings":
			var n [3]int
			for i := range n {
				if n[i], err = strconv.Atoi(f[2+i]); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
			timings := Timings{ms(n[0]), ms(n[1]), ms(n[2])}
			if err := timings.Validate(); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			b.SetTimings(timings)
		case "offer":
			if err := b.Reserve(); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			b.Offer(parseMessage(t, f[2:]))
		case "close":
			b.Close()
		default:
			t.Fatalf("%q", line)
		}
		synctest.Wait()
	}
	time.Sleep(time.Minute)
	b.Close()
	return out.String()
}

func TestTimings(t *testing.T) {
	for _, c := range []struct {
		delay, limit, frequency int
		ok                      bool
	}{
		{1000, 3000, 500, true},
		{0, 0, 10, true},
		{0, 3000, 500, true},
		{5000, 0, 500, true},
		{3000, 3000, 500, true},
		{3001, 3000, 500, false},
		{-1, 3000, 500, false},
		{1000, -1, 500, false},
		{1000, 3000, 9, false},
	} {
		if err := (Timings{ms(c.delay), ms(c.limit), ms(c.frequency)}).Validate(); (err == nil) != c.ok {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// The bound counts what waits, what is reserved and what the sink has not
// returned from.
func TestBufferBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := NewBuffer(Timings{0, 0, ms(10)}, func() int { return 3 }, func([]Message) { <-release })
		reserve := func() error { return b.Reserve() }
		for i := range 3 {
			if err := reserve(); err != nil {
				t.Fatal(err)
			}
			if i < 2 {
				b.Offer(Message{Context: 1, User: 1, Name: fmt.Sprint(i)})
			}
		}
		synctest.Wait()
		if err := reserve(); !errors.Is(err, ErrFull) {
			t.Fatalf("a fourth: %v", err)
		}
		b.Release()
		if err := reserve(); err != nil {
			t.Fatal(err)
		}
		b.Release()
		close(release)
		synctest.Wait()
		if c := b.Counts(); c.Buffered != 0 || c.Flushed != (Flushed{Due: 2}) || c.Refused != 1 {
			t.Fatalf("%+v", c)
		}
		b.Close()
		if err := reserve(); !errors.Is(err, ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	})
}

// Against a model that looks at every message: whatever is offered, each is
// handed on once, not before it is due nor more than a look later, and for each
// receiver in the order of first arrival.
func TestBufferModel(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			delay := r.IntN(5) * 100
			timings := Timings{ms(delay), ms(max(delay, r.IntN(8)*100)), ms(10 + r.IntN(300))}
			type arrival struct {
				m     Message
				first time.Time
				last  time.Time
			}
			var order []*arrival
			var mu sync.Mutex
			offered := 0
			b := NewBuffer(timings, func() int { return 10_000 }, func(list []Message) {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range list {
					at := slices.IndexFunc(order, func(a *arrival) bool { return a.m.sameness() == m.sameness() })
					if at < 0 {
						t.Errorf("seed %d: %v handed on twice or never offered", seed, m)
						return
					}
					for _, earlier := range order[:at] {
						if overlap(earlier.m, m) {
							t.Errorf("seed %d: %v overtakes %v", seed, m, earlier.m)
						}
					}
					order = slices.Delete(order, at, at+1)
				}
				for _, a := range order {
					if late := time.Since(timings.due(a.first, a.last)); late > timings.Frequency {
						t.Errorf("seed %d: %v is %v late", seed, a.m, late)
					}
				}
			})
			for range 100 {
				time.Sleep(ms(r.IntN(60)))
				m := Message{Context: uint32(r.IntN(3)), Name: fmt.Sprint(r.IntN(4))}
				if m.Context != 0 {
					m.User = uint32(r.IntN(4))
				}
				if err := b.Reserve(); err != nil {
					t.Fatal(err)
				}
				// The sink waits for mu, so that it sees what Offer has done.
				mu.Lock()
				offered++
				if now := time.Now(); b.Offer(m) {
					for _, a := range slices.Backward(order) {
						if a.m.sameness() == m.sameness() {
							a.last = now
							break
						}
					}
				} else {
					order = append(order, &arrival{m, now, now})
				}
				mu.Unlock()
			}
			b.Close()
			if len(order) != 0 {
				t.Fatalf("seed %d: %d left", seed, len(order))
			}
			if c := b.Counts(); int(c.Flushed.Due+c.Flushed.Order+c.Flushed.Closed+c.Coalesced) != offered {
				t.Fatalf("seed %d: %+v of %d", seed, c, offered)
			}
		})
	}
}

func overlap(a, b Message) bool {
	return a.Context == 0 || b.Context == 0 || a.Context == b.Context && (a.User == 0 || b.User == 0 || a.User == b.User)
}

func BenchmarkBuffer(b *testing.B) {
	buf := NewBuffer(Timings{time.Hour, 0, time.Hour}, func() int { return 1 << 30 }, func([]Message) {})
	defer buf.Close()
	i := 0
	for b.Loop() {
		if err := buf.Reserve(); err != nil {
			b.Fatal(err)
		}
		buf.Offer(Message{Context: 1, User: uint32(i % 100_000), Name: "ox:mail:new", Args: `[{"folder":"default0/INBOX"}]`, Label: shared.Label{ID: "x"}})
		i++
	}
}
