package cli_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed47708276/sluice/cli"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

// raceOptions are for the commands that the tests start: the race detector
// lets every process sleep for a second at its end unless it is told not to.
const raceOptions = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", raceOptions) // it fails for bad names only
	testscript.Main(cleaning{m}, map[string]func(){
		"sluice": func() {
			os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// cleaning removes the binary that the process tests build.
type cleaning struct{ m *testing.M }

func (c cleaning) Run() int {
	code := c.m.Run()
	if binDir != "" {
		_ = os.RemoveAll(binDir)
	}
	return code
}

// TestScript runs testdata/script: one script a subject, and its comments are
// what the command line promises.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "watched": watched, "redis": redisOf(t), "server": server, "shown": shown, "connect": connect, "got": got,
		},
		Setup: setupScript,
	})
}

// exits runs a command that must end with a code: `exits CODE COMMAND ...`.
// `! exec` takes any failure for the one that was meant.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ee *exec.ExitError
		if !errors.As(err, &ee) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = ee.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
