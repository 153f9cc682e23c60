package mariadb

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/storetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sqltest.Cleanup()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// databases counts those that tests have made.
var databases atomic.Int64

// world is a database of a test's own.
type world struct {
	t      testing.TB
	server *sqltest.Server
	opt    sqlpool.Options
	nudges nudges
}

// newWorld makes and sets up a database.
func newWorld(t testing.TB, s *sqltest.Server) *world {
	t.Helper()
	name := fmt.Sprintf("sluice%d", databases.Add(1))
	w := &world{t: t, server: s, opt: sqlpool.Options{Hosts: []string{s.Host}, User: name, Password: "secret", Database: name}}
	w.nudges.changed = make(chan struct{})
	s.User(name, "secret", name, "SELECT, INSERT, UPDATE, DELETE")
	w.init()
	return w
}

// init makes the tables, as an administrator does.
func (w *world) init() []string {
	w.t.Helper()
	admin := w.opt
	admin.User, admin.Password = sqltest.Root, ""
	did, err := Init(w.t.Context(), admin)
	if err != nil {
		w.t.Fatal(err)
	}
	return did
}

// database opens one member's way to the database.
func (w *world) database() *Database {
	w.t.Helper()
	d, err := Open(Options{Pool: w.opt, Nudger: &w.nudges, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return d
}

// open opens a member.
func (w *world) open(path string) *storetest.Member {
	w.t.Helper()
	d := w.database()
	return storetest.Open(w.t, store.Options{Path: path, Truth: d})
}

// nudges are what the members of a test tell each other.
type nudges struct {
	mu       sync.Mutex
	revision uint64
	number   int
	changed  chan struct{}
}

func (n *nudges) Nudge(_ context.Context, rev uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision, n.number = rev, n.number+1
	close(n.changed)
	n.changed = make(chan struct{})
	return nil
}

func (n *nudges) AwaitNudge(ctx context.Context, last string) (uint64, string) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	for {
		n.mu.Lock()
		rev, id, changed := n.revision, fmt.Sprint(n.number), n.changed
		n.mu.Unlock()
		if id != last && rev > 0 {
			return rev, id
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, last
		}
	}
}

func TestContract(t *testing.T) {
	s := sqltest.Shared(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Contract(t, func(t *testing.T) func(string) *storetest.Member {
			w := newWorld(t, s)
			return w.open
		})
	})
}
