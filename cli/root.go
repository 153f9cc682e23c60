// Package cli is the command line: one file a command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/finding"
)

// The exit codes, as README.md tells them.
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
	caFile      string
	showSecrets bool

	responseTimeout time.Duration // of a server; 0: clientTimeout

	started bool // the command line was understood
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

// formatsOf is the annotation of a command that has other outputs than text
// and json: their names, comma separated.
const formatsOf = "formats"

// silent ends with exitFindings; the findings are printed already.
var silent = exit(exitFindings, nil)

// Run runs one command and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &results{w: stdout}
	a := &app{ctx: ctx, stdin: stdin, stdout: out, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if werr := out.failed(); werr != nil {
		err = exit(exitFindings, fmt.Errorf("the result could not be written: %w", werr))
	}
	if err == nil {
		return 0
	}
	var ee *exitError
	if !errors.As(err, &ee) {
		// What cobra refuses before it runs a command is a mistake in the
		// command line.
		ee = &exitError{exitUsage, err}
		if a.started {
			ee.code = exitFindings
		}
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
		Version:       thisBuild().Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			formats := []string{"text", "json"}
			if own := cmd.Annotations[formatsOf]; own != "" {
				formats = strings.Split(own, ",")
			}
			if !slices.Contains(formats, a.output) {
				last := len(formats) - 1
				return usage("-o %s: use %s or %s", a.output, strings.Join(formats[:last], ", "), formats[last])
			}
			if len(a.etc) > 0 && cmd.Flags().Changed("server") {
				return usage("--etc works on files and --server asks a running server: use one of them")
			}
			if url := os.Getenv("SLUICE_SERVER"); url != "" && !cmd.Flags().Changed("server") {
				a.server = url
			}
			if file := os.Getenv("SLUICE_CA_FILE"); file != "" && !cmd.Flags().Changed("ca-file") {
				a.caFile = file
			}
			a.started = true
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringArrayVar(&a.etc, "etc", nil, "folder of the tree; repeatable, later ones win")
	f.StringVar(&a.directory, "directory", "", "directory file: contexts, users, tags and overrides as YAML")
	f.StringVarP(&a.output, "output", "o", "text", "text or json")
	f.StringVar(&a.server, "server", "", "a running server: unix:PATH, http://HOST:PORT or https://HOST:PORT; else SLUICE_SERVER, else the socket of this machine's")
	f.StringVar(&a.tokenFile, "token-file", "", "file with the token for the server; else SLUICE_TOKEN")
	f.StringVar(&a.caFile, "ca-file", "", "file with the certificates to trust of an https server; else SLUICE_CA_FILE, else the system's")
	f.BoolVar(&a.showSecrets, "show-secrets", false, "offline: show the values of secrets")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("etc")
	// Before the completion command is made: it keeps the writer.
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpCommand(helpCmd())
	root.AddCommand(
		a.checkCmd(), a.explainCmd(), a.getCmd(), a.tagsCmd(), a.diffCmd(),
		a.setCmd(), a.unsetCmd(), a.initCmd(), a.propertiesCmd(), a.manCmd(), a.versionCmd(),
		a.serveCmd(), a.reloadCmd(), a.upgradeCmd(), a.demoCmd(),
		a.watchCmd(), a.exportCmd(), a.importCmd(), a.storeCmd(), a.databaseCmd(), a.membersCmd(), a.socketsCmd(), a.sendCmd(), a.traceCmd(), a.overridesCmd(), a.sessionsCmd(), a.tokenCmd(), a.mailPushCmd(),
		a.enableCmd(true), a.enableCmd(false), a.resetCmd(),
		a.contextCmd(), a.userCmd(), a.auditCmd(), a.revertCmd(),
		a.planCmd(), a.bulkCmd(), a.statusCmd(), a.doctorCmd(), a.supportCmd(), a.shadowCmd(),
		a.getUserConfigurationSourceCmd(), a.reloadConfigurationCmd(),
	)
	strictCompletion(root)
	return root
}

func (a *app) json() bool { return a.output == "json" }

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf("sluice: "+format, args...)))
}

// findings prints findings where findings go.
func (a *app) findings(fs []finding.Finding) {
	for _, f := range fs {
		fmt.Fprintln(a.stderr, printable(f.String()))
	}
}
