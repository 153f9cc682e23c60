package cli

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/httpapi"
)

const (
	// upgradeWait bounds an upgrade: a drain with its spread, and a start.
	upgradeWait = 2 * time.Minute
	// upgradeStep is how often the server is asked whether it is another process.
	upgradeStep = 50 * time.Millisecond
	// upgradeResponse bounds the start of the next process.
	upgradeResponse = time.Minute
)

func (a *app) upgradeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "upgrade [--server unix:PATH]",
		Short: "Have the server of this machine go on as the binary that is installed now, without closing a socket",
		Long: `Has the running server start the binary that is installed in its place by now,
with the same arguments, and hand over to it: listeners, sockets with all that
waits for them, sessions, and its place in the cluster. Clients notice nothing.
It is asked over the admin socket, by who may administer there.

Where sockets cannot be handed over they are drained, as a restart does it, and
the new binary runs in the place of the process: to a version of another format,
where the server has TLS of its own for clients, and where it has hardly any
descriptors left. Nothing happens, and the server goes on as it is, where the new
binary cannot be started, is older than this command, or may be written by others
than root and the server's user, and where it cannot serve the tree and the store
that there are.

Ends with 1 where the server is the process that it was.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.upgrade() },
	}
}

// serverProcess is who serves.
type serverProcess struct {
	PID     int
	Version string
	Started time.Time
	Last    *httpapi.Upgraded
}

func (a *app) upgrade() error {
	a.responseTimeout = upgradeResponse
	c, err := a.onlyServer("upgrade")
	if err != nil {
		return err
	}
	var before serverProcess
	if _, err := c.call(a, http.MethodGet, "/admin/v1/upgrade", nil, &before); err != nil {
		return err
	}
	var up httpapi.Upgrading
	if _, err := c.call(a, http.MethodPost, "/admin/v1/upgrade", struct{}{}, &up, http.StatusAccepted); err != nil {
		return err
	}
	if up.Way == httpapi.UpgradeDrain {
		a.note("sockets are drained: %s", up.Because)
	}
	after, err := a.awaitProcess(c, before)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(after)
	}
	if x := after.Last; x != nil && after.PID != before.PID {
		a.printf("version %s serves (process %d): %d sockets were handed over, %d closed, and messages waited for %d ms at most\n", printable(after.Version), after.PID, x.Sockets, x.Closed, x.Ms)
		return nil
	}
	a.printf("version %s serves (process %d): the sockets were drained\n", printable(after.Version), after.PID)
	return nil
}

// awaitProcess waits until another process serves, or the same one says that it goes
// on.
func (a *app) awaitProcess(c *client, before serverProcess) (now serverProcess, err error) {
	limit := time.NewTimer(upgradeWait)
	defer limit.Stop()
	step := time.NewTicker(upgradeStep)
	defer step.Stop()
	for {
		now = serverProcess{}
		_, err = c.call(a, http.MethodGet, "/admin/v1/upgrade", nil, &now)
		switch {
		case err != nil: // a drained process serves nobody for a moment
		case now.PID != before.PID || now.Last == nil && !now.Started.Equal(before.Started):
			return now, nil
		case now.Last != nil && now.Last.Error != "" && (before.Last == nil || !now.Last.Time.Equal(before.Last.Time)):
			return now, exit(exitFindings, fmt.Errorf("the server goes on as version %s (process %d): %s", now.Version, now.PID, now.Last.Error))
		}
		select {
		case <-step.C:
		case <-limit.C:
			return now, errors.Join(exit(exitFindings, fmt.Errorf("no other process serves after %s: look at the log of the server", upgradeWait)), err)
		case <-a.ctx.Done():
			return now, a.ctx.Err()
		}
	}
}
