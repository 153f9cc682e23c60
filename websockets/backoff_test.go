package websockets

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed47708276/sluice/shared"
)

// backoffLibs are the clients of backoff.js.
var backoffLibs = []string{"sio1", "sio2", "sio3", "sio4"}

// backoffTries is how many handshakes in a row each client sees refused: its waits
// are 20, 40, ... 640 ms then.
const backoffTries = 6

// patientClients are real clients that try again and again.
type patientClients struct {
	mu       sync.Mutex
	open     map[string]int   // handshakes that were answered
	connect  map[string]int   // of these, that led to a namespace
	attempts map[string][]int // the number that the client gives each further try
	lost     []string         // why connections ended
}

func (w *world) patientClients(s *Session) *patientClients {
	w.t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		w.t.Fatal("node is missing: install the Debian package nodejs, or run `just setup`")
	}
	const dir = "../testdata/clients"
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		w.t.Fatalf("the npm clients are missing: run `just setup` (%v)", err)
	}
	cmd := exec.Command("node", "backoff.js", w.http.URL, s.ID, s.CookieName()+"="+s.Secret, testAgent)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	p := &patientClients{open: map[string]int{}, connect: map[string]int{}, attempts: map[string][]int{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e struct {
				Lib, Event string
				Data       any
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				w.t.Errorf("%s: %v", lines.Text(), err)
			}
			p.mu.Lock()
			switch n, _ := e.Data.(float64); e.Event {
			case "open":
				p.open[e.Lib]++
			case "connect":
				p.connect[e.Lib]++
			case "attempt":
				p.attempts[e.Lib] = append(p.attempts[e.Lib], int(n))
			default:
				p.lost = append(p.lost, fmt.Sprint(e.Lib, " ", e.Data))
			}
			p.mu.Unlock()
		}
		_ = cmd.Wait()
	}()
	w.t.Cleanup(func() {
		_ = in.Close() // the clients end with their input
		<-read
	})
	return p
}

// all reports whether something is so of every client.
func (p *patientClients) all(ok func(lib string) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(backoffLibs, func(lib string) bool { return !ok(lib) })
}

// between is a store, a gate and a registry in one: something happens in each
// handshake between its registration and its 101, for as long as it is set.
type between struct {
	Gate
	Sessions
	then     atomic.Pointer[func(r shared.Registration)]
	verdict  atomic.Pointer[Verdict]
	getFails atomic.Pointer[error]
	regFails atomic.Pointer[error]
}

func (b *between) Allowed(context, user uint32) Verdict {
	if v := b.verdict.Load(); v != nil {
		return *v
	}
	return b.Gate.Allowed(context, user)
}

func (b *between) Get(ctx context.Context, id string) (*Session, error) {
	if err := b.getFails.Load(); err != nil {
		return nil, *err
	}
	return b.Sessions.Get(ctx, id)
}

func (b *between) Register(_ context.Context, r shared.Registration, _ int) (string, error) {
	if err := b.regFails.Load(); err != nil {
		return "", *err
	}
	if then := b.then.Load(); then != nil {
		(*then)(r)
	}
	return "", nil
}

func (*between) Unregister(shared.Registration) {}

// A client takes an answered handshake for a success: it begins its back-off anew.
// So what a socket would be closed for at once is said in the handshake, whatever it
// is, and the real clients wait twice as long each time; and they come in when it is
// over.
func TestBackOff(t *testing.T) {
	down := errors.New("it is away")
	for _, c := range []struct {
		name, code, why string
		begin           func(w *world, b *between, s *Session) (end func())
	}{
		{"switched off", "disabled", "", func(w *world, _ *between, _ *Session) func() {
			w.gate.refuse(1, 2, SwitchedOff)
			return func() { w.gate.allow(1, 2) }
		}},
		{"user disabled", "forbidden", "user_disabled", func(_ *world, b *between, _ *Session) func() {
			b.verdict.Store(&Verdict{Reason: UserDisabled})
			return func() { b.verdict.Store(nil) }
		}},
		{"nobody can be asked", "store_unavailable", "not_read", func(_ *world, b *between, _ *Session) func() {
			b.verdict.Store(&Verdict{Reason: NotRead})
			return func() { b.verdict.Store(nil) }
		}},
		{"the store is away", "store_unavailable", "", func(_ *world, b *between, _ *Session) func() {
			b.getFails.Store(&down)
			return func() { b.getFails.Store(nil) }
		}},
		{"the cluster is away", "cluster_unavailable", "", func(_ *world, b *between, _ *Session) func() {
			b.regFails.Store(&down)
			return func() { b.regFails.Store(nil) }
		}},
		{"the session has ended", "forbidden", "no_session", func(w *world, _ *between, s *Session) func() {
			if err := w.sessions.Delete(w.t.Context(), s.ID); err != nil {
				w.t.Fatal(err)
			}
			return nil
		}},
		{"too many of the user", "too_many", "", func(w *world, _ *between, s *Session) func() {
			w.configure(func(c *Config) { c.MaxPerUser = 1 })
			w.dial(s, wsPush)
			return func() { w.configure(func(c *Config) { c.MaxPerUser = 8 }) }
		}},
		{"too many in all", "overload", "", func(w *world, _ *between, _ *Session) func() {
			w.configure(func(c *Config) { c.MaxSockets = 1 })
			w.dial(w.login(1, 3), wsPush)
			return func() { w.configure(func(c *Config) { c.MaxSockets = 100 }) }
		}},
		{"another session has the name", "duplicate_connection", "", func(w *world, _ *between, _ *Session) func() {
			other := w.login(1, 2)
			for _, lib := range backoffLibs {
				w.dial(other, wsPush+"?connection="+lib)
			}
			return func() { w.server.CloseSockets(Selector{Context: 1, User: 2, Session: other.ID}, CauseAdmin) }
		}},
		{"too many handshakes", "overload", "authenticating", func(w *world, _ *between, _ *Session) func() {
			full := []chan struct{}{w.server.turnstile.turns, w.server.turnstile.waiting}
			for _, places := range full {
				for range cap(places) {
					places <- struct{}{}
				}
			}
			return func() {
				for _, places := range full {
					for range cap(places) {
						<-places
					}
				}
			}
		}},
		{"the server stops", "draining", "", func(w *world, _ *between, _ *Session) func() {
			if err := w.server.Shutdown(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			return nil
		}},
		// What happens between the checks and the answer.
		{"switched off meanwhile", "disabled", "", func(w *world, b *between, _ *Session) func() {
			then := func(shared.Registration) { b.verdict.Store(&Verdict{}) } // the gate alone knows
			b.then.Store(&then)
			return func() { b.then.Store(nil); b.verdict.Store(nil) }
		}},
		{"closed meanwhile, as switched off", "disabled", "", closedMeanwhile(CauseDisabled)},
		{"the session ends meanwhile", "forbidden", "no_session", closedMeanwhile(CauseSession)},
		{"messages are missed meanwhile", "cluster_unavailable", "", closedMeanwhile(CauseMissed)},
		{"rebalanced meanwhile", "cluster_unavailable", "", closedMeanwhile(CauseRebalance)},
		{"drained meanwhile", "draining", "", closedMeanwhile(CauseDrain)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &between{}
			w := newWorld(t, func(o *Options) {
				b.Gate, b.Sessions = o.Gate, o.Sessions
				o.Gate, o.Sessions, o.Registry = b, b, b
			})
			s := w.login(1, 2)
			end := c.begin(w, b, s)
			before := w.server.Count() // what begin has opened
			until(t, "these are counted", func() bool { return w.server.Stats().Handshakes[Handshake{handshakeOK, ""}] == before })
			p := w.patientClients(s)
			until(t, "each client has tried again and again", func() bool {
				return p.all(func(lib string) bool { return len(p.attempts[lib]) >= backoffTries-1 || p.open[lib] > 1 })
			})
			count := func() (refused, ok int64) {
				st := w.server.Stats()
				return st.Handshakes[Handshake{c.code, c.why}], st.Handshakes[Handshake{handshakeOK, ""}] - before
			}
			refused, ok := count()
			if ok != 0 || refused < int64(len(backoffLibs)*(backoffTries-1)) {
				t.Errorf("%d handshakes were answered and %d refused as %s %s", ok, refused, c.code, c.why)
			}
			p.mu.Lock()
			for lib, list := range p.attempts {
				for i, n := range list {
					if n != i+1 {
						t.Errorf("%s counts its tries %v: its back-off began anew", lib, list)
						break
					}
				}
			}
			if len(p.open) > 0 {
				t.Errorf("clients saw answers: %v, and lost %q", p.open, p.lost)
			}
			p.mu.Unlock()
			if end == nil {
				return
			}
			end()
			until(t, "all are connected", func() bool { return p.all(func(lib string) bool { return p.connect[lib] == 1 }) })
			if _, ok := count(); ok != int64(len(backoffLibs)) {
				t.Errorf("%d handshakes were answered to %d clients", ok, len(backoffLibs))
			}
		})
	}
}

// closedMeanwhile closes each socket when it has been registered.
func closedMeanwhile(cause Cause) func(*world, *between, *Session) func() {
	return func(w *world, b *between, _ *Session) func() {
		then := func(r shared.Registration) {
			if n := w.server.CloseSockets(Selector{Context: r.Context, User: r.User, ID: r.ID}, cause); n != 1 {
				w.t.Errorf("%d sockets are closed", n)
			}
		}
		b.then.Store(&then)
		return func() { b.then.Store(nil) }
	}
}
