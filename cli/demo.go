package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/etc"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/node"
)

// The people of the demo.
const (
	demoContext = 1337
	demoOn      = 17
	demoOff     = 18
)

const demoDirectory = `# Contexts and users of the demo; saved changes count at once.

contexts:
  - id: 1337
    name: acme
    tags: [groupware, de]
    users:
      - {id: 17, login: anna, mail: anna@example.com, permissions: [WebMail, Calendar]}
      - {id: 18, permissions: [WebMail], config: {com.openexchange.websockets.enabled: "false"}}
`

func (a *app) demoCmd() *cobra.Command {
	var once, mail bool
	cmd := &cobra.Command{
		Use:   "demo [--once] [--mail]",
		Short: "Show in a few seconds what Sluice does, on a real server in a scratch folder",
		Long: `Shows in a few seconds what Sluice does, on a real server in a scratch folder. It
needs nothing but this binary; with --mail also a Dovecot.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if err := a.demo(ctx, once, mail); err != nil {
				if ctx.Err() != nil && a.ctx.Err() == nil {
					return nil // Ctrl-C
				}
				return exit(exitFindings, fmt.Errorf("demo: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the tour")
	cmd.Flags().BoolVar(&mail, "mail", false, "with a real Dovecot, which must be installed: a mail that it delivers shows up")
	return cmd
}

func (a *app) demo(ctx context.Context, once, mail bool) (err error) {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tree, directory := filepath.Join(dir, "etc"), filepath.Join(dir, "directory.yml")
	if _, _, err := etc.Write(tree); err != nil {
		return err
	}
	public := freeAddr("127.0.0.1:8011")
	if public, err = concretePort(public); err != nil {
		return err
	}
	// Nothing may be closed unasked, so that the demo shows the brake with one
	// socket; and notifications do not wait.
	settings := httpapi.PropMaxClose + "=0\n" + httpapi.PropPushDelay + "=0\n" +
		httpapi.PropBasicLogin + "=" + demoLogin + "\n" + httpapi.PropBasicPassword + "=" + demoPassword + "\n"
	var dovecot *mailServer
	if mail {
		// Dovecot's own users reach the folder.
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
		home := filepath.Join(dir, "dovecot")
		if err := os.Mkdir(home, 0o755); err != nil {
			return err
		}
		if dovecot, err = startDovecot(ctx, home, public); err != nil {
			return err
		}
		defer dovecot.stop()
		settings += httpapi.PropDoveAdm + "=true\n" + httpapi.PropDoveAdmEndpoints + "=http://" + dovecot.http + "/doveadm/v1\n" + httpapi.PropDoveAdmSecret + "=" + demoKey + "\n"
	}
	if err := os.WriteFile(filepath.Join(tree, "demo.properties"), []byte(settings), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(directory, []byte(demoDirectory), 0o644); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer logs.Close()
	s, err := node.Open(node.Options{
		Roots: []string{tree}, Directory: directory, State: filepath.Join(dir, "state"), Log: logs,
		Public: public, Admin: freeAddr("127.0.0.1:8012"), Version: thisBuild().Version, Doctor: examineFor,
	})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { done <- s.Run(serving) })
	defer wg.Wait()
	defer stop()

	a.server = unixScheme + s.SocketPath()
	d := &tour{app: a, server: s, tree: tree, mailServer: dovecot}
	if err := d.run(ctx); err != nil {
		return err
	}
	if once {
		stop()
		return <-done
	}
	d.next(directory, dir)
	select {
	case <-ctx.Done():
		a.printf("\nstopping, and removing %s\n", dir)
		return <-done
	case err := <-done:
		return err
	}
}

// freeAddr is the usual address, or any free port where that one is taken.
func freeAddr(usual string) string {
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return usual
}
