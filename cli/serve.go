package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/node"
)

// The usual folders.
const (
	systemState = "/var/lib/sluice"
	localState  = "var"
)

func (a *app) serveCmd() *cobra.Command {
	opt := node.Options{Version: thisBuild().Version, Env: os.Getenv, Doctor: examineFor}
	successor := 0
	cmd := &cobra.Command{
		Use:   "serve [--etc DIR] [--directory FILE] [--state DIR]",
		Short: "Serve Web Sockets and the admin API",
		Long: `Serves until SIGTERM or SIGINT; a second one ends at once. SIGHUP reads the
tree again. Without --etc the trees are those of ` + strings.Join(installedRoots, ", ") + `
that exist, a later one wins; else ./etc. One that was there before and is gone
is missed, not passed over.
The state folder is $STATE_DIRECTORY, else /var/lib/sluice where that can be
written, else ./var.

The command line reaches the server over a Unix socket: ` + node.SystemSocket + `
where that can be written and --state is not given, else admin.sock in the state
folder.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			opt.Roots, opt.Directory, opt.Log = a.etc, a.directory, a.stderr
			var err error
			if successor != 0 {
				if opt.Predecessor, err = node.NewPredecessor(successor, opt.Version); err != nil {
					return exit(exitFindings, err)
				}
			}
			// Before a package can have replaced it: then its name is another. Where it
			// is not known, as without /proc, an upgrade says so, and all else works.
			opt.Executable, _ = os.Executable()
			opt.Args = slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return strings.HasPrefix(a, "--"+node.SuccessorFlag) })
			if opt.MachineSocket = opt.State == ""; opt.MachineSocket {
				opt.State = defaultState()
			}
			if len(opt.Roots) == 0 {
				if opt.Roots, err = defaultRoots(opt.State, installedRoots); err != nil {
					return exit(exitFindings, err)
				}
			}
			return a.serve(opt)
		},
	}
	cmd.Flags().StringVar(&opt.State, "state", "", "folder for what must outlive a restart")
	cmd.Flags().BoolVar(&opt.NewState, "new-state", false, "start with an empty state folder although this member had one")
	cmd.Flags().BoolVar(&opt.TolerateBadFiles, "tolerate-bad-files", false, "start although a file has errors and no last good contents")
	cmd.Flags().StringVar(&opt.Public, "public", "", "HOST:PORT for clients, instead of the properties")
	cmd.Flags().StringVar(&opt.Admin, "admin", "", "HOST:PORT for administrators, instead of the properties")
	cmd.Flags().StringVar(&opt.Socket, "socket", "", "path of the Unix socket for administrators, instead of the property")
	cmd.Flags().IntVar(&successor, node.SuccessorFlag, 0, "descriptor of the process to take over from")
	_ = cmd.Flags().MarkHidden(node.SuccessorFlag) // fails for an unknown flag only
	return cmd
}

func defaultState() string {
	if d := os.Getenv("STATE_DIRECTORY"); d != "" {
		return filepath.SplitList(d)[0]
	}
	if err := os.MkdirAll(systemState, 0o700); err == nil {
		if f, err := os.CreateTemp(systemState, ".probe-*"); err == nil {
			_, _ = f.Close(), os.Remove(f.Name())
			return systemState
		}
	}
	return localState
}

// serve runs a server until a signal ends it.
func (a *app) serve(opt node.Options) error {
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		s, err := node.Open(opt)
		if err != nil {
			return exit(exitFindings, err)
		}
		opt.Frozen, opt.Predecessor = nil, nil // what they have is the node's
		err = a.run(ctx, stop, s, signals)
		var again *node.Unfinished
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &again):
			return exit(exitFindings, err)
		case again.Frozen == nil && ctx.Err() == nil:
			err := syscall.Exec(opt.Executable, append([]string{os.Args[0]}, opt.Args...), os.Environ())
			return exit(exitFindings, fmt.Errorf("%s cannot be started in the place of this process, which has drained: %w", opt.Executable, err))
		case again.Frozen == nil:
			return nil
		}
		opt.Frozen = again.Frozen
	}
}

// run runs a node, and passes signals on to it.
func (a *app) run(ctx context.Context, stop func(), s *node.Node, signals <-chan os.Signal) error {
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for draining := ctx.Err() != nil; ; {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				if err := s.Reload(ctx); err != nil {
					s.Logger().Error("reload failed", "err", err)
				}
			case draining:
				s.Logger().Warn("ending at once", "signal", sig.String())
				os.Exit(exitFindings)
			default:
				draining = true
				s.Logger().Info("draining", "signal", sig.String())
				stop()
			}
		}
	}
}
