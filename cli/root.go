// Package cli is the command line: one file a command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/finding"
)

// The exit codes (design.md, HTTP and command line).
const (
	exitFindings    = 1 // findings, undefined, refused, differences
	exitUsage       = 2
	exitUnreachable = 3
)

// app is one invocation.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer

	etc         []string
	directory   string
	output      string
	server      string
	tokenFile   string
	showSecrets bool
}

// exitError ends the command with a code. An empty text says nothing more.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int, err error) error { return &exitError{code, err} }

func usage(format string, args ...any) error { return exit(exitUsage, fmt.Errorf(format, args...)) }

// silent ends with exitFindings; the findings are printed already.
var silent = exit(exitFindings, nil)

// Run runs one command and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var ee *exitError
	if !errors.As(err, &ee) {
		// Whatever cobra itself refuses is a mistake in the command line.
		ee = &exitError{exitUsage, err}
	}
	if text := ee.Error(); text != "" {
		fmt.Fprintln(stderr, "sluice: "+text)
	}
	if ee.code == exitUsage {
		fmt.Fprintln(stderr, "sluice: `sluice help` lists the commands, `sluice help COMMAND` explains one")
	}
	return ee.code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Decides per user what is switched on, and pushes to those users in real time",
		Long: `Sluice resolves the properties of an App Suite tree for every user through the
scopes user, context, contextSets and server, says why a value is what it is,
and serves Web Sockets to the users for whom they are switched on.

With --etc a command works on files, offline; without it asks a running server.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "text" && a.output != "json" {
				return usage("-o %s: use text or json", a.output)
			}
			if len(a.etc) > 0 && cmd.Flags().Changed("server") {
				return usage("--etc works on files and --server asks a running server: use one of them")
			}
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringArrayVar(&a.etc, "etc", nil, "folder of the tree; repeatable, later ones win")
	f.StringVar(&a.directory, "directory", "", "directory file: contexts, users, tags and overrides as YAML")
	f.StringVarP(&a.output, "output", "o", "text", "text or json")
	f.StringVar(&a.server, "server", envOr("SLUICE_SERVER", "http://127.0.0.1:8012"), "admin address of a running server")
	f.StringVar(&a.tokenFile, "token-file", "", "file with the token for the server; else SLUICE_TOKEN")
	f.BoolVar(&a.showSecrets, "show-secrets", false, "offline: show the values of secrets")
	root.AddCommand(
		a.checkCmd(), a.explainCmd(), a.getCmd(), a.tagsCmd(), a.diffCmd(),
		a.setCmd(), a.unsetCmd(), a.initCmd(), a.manCmd(),
		a.serveCmd(), a.reloadCmd(), a.demoCmd(),
	)
	return root
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "unknown"
}

func (a *app) json() bool { return a.output == "json" }

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, "sluice: "+format+"\n", args...)
}

// findings prints findings where findings go.
func (a *app) findings(fs []finding.Finding) {
	for _, f := range fs {
		fmt.Fprintln(a.stderr, f)
	}
}
