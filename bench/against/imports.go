package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
	"github.com/seed47708276/sluice/bench/internal/sluice"
)

// What is imported: users, a tenth of them with an override. They have what every
// build knows.
const (
	importContexts = 100
	importUsers    = 1000 // of each
)

// importTime is what the command and the server together use for an import of
// 100,000 users into an empty store.
func importTime(ctx context.Context, binary, tree string) (used time.Duration, err error) {
	file := filepath.Join(tree, "directory.yml")
	if err := writeDirectory(file); err != nil {
		return 0, err
	}
	s, admin, err := serve(ctx, binary, tree)
	if err != nil {
		return 0, err
	}
	defer s.Stop()
	if err := s.Quiet(ctx); err != nil {
		return 0, err
	}
	before, err := process.CPUTime(s.PID())
	if err != nil {
		return 0, err
	}
	token, err := sluice.TokenOf()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, binary, "--server", admin, "import", file, "--reason", "bench")
	cmd.Env = append(os.Environ(), "SLUICE_TOKEN="+token)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	if err := s.Quiet(ctx); err != nil { // what is left to do
		return 0, err
	}
	after, err := process.CPUTime(s.PID())
	return after - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

func writeDirectory(path string) error {
	var b strings.Builder
	b.WriteString("contexts:\n")
	for c := range importContexts {
		fmt.Fprintf(&b, "  - id: %d\n    name: acme%[1]d.example\n    tags: [webmail, premium]\n    users:\n", c+1)
		for u := range importUsers {
			fmt.Fprintf(&b, "      - id: %d\n        permissions: [webmail, calendar]\n", u+1)
			if u%10 == 0 {
				b.WriteString("        config:\n          com.openexchange.websockets.enabled: true\n")
			}
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
