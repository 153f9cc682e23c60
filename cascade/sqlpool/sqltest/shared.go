package sqltest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

// process stands for the tests of a process, whose server ends with Cleanup.
type process struct {
	testing.TB
	mu    sync.Mutex
	after []func()
}

func (p *process) Helper() {}

func (p *process) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (p *process) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (p *process) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = append(p.after, f)
}

func (p *process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.after) - 1; i >= 0; i-- {
		p.after[i]()
	}
	p.after = nil
}

var (
	whole  process
	shared = sync.OnceValue(func() *Server {
		s := install(&whole)
		s.Run()
		return s
	})
)

// Shared is a server for all tests of a process that neither stop it nor change
// its settings. Each makes users and databases of its own. A TestMain ends it with
// Cleanup.
func Shared(t testing.TB) *Server {
	t.Helper()
	testkit.Tool(t, "mariadb-install-db", "mariadb-server")
	s := shared()
	return &Server{Host: s.Host, Socket: s.Socket, t: t}
}
