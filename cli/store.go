package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/store"
)

// storeAnswer is what the server says of its store.
type storeAnswer struct {
	Status   string               `json:"status"`
	Detail   string               `json:"detail"`
	Head     store.Head           `json:"head"`
	Records  map[string]int64     `json:"records"`
	Bytes    int64                `json:"bytes"`
	Diverged *store.DivergedError `json:"diverged"`
	Backup   string               `json:"backup"`
}

func (a *app) storeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Show how the store of a member stands with the cluster",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.onlyServer("store")
			if err != nil {
				return err
			}
			var s storeAnswer
			if _, err := c.show(a, http.MethodGet, "/admin/v1/store", nil, &s, func() { a.printStore(&s) }); err != nil {
				return err
			}
			if s.Status != "ok" {
				return silent
			}
			return nil
		},
	}
	cmd.AddCommand(a.storeKeepCmd())
	return cmd
}

func (a *app) storeKeepCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "keep member|cluster",
		Short: "End a divergence: say whose overrides count",
		Long: `A member whose store holds writes that the cluster does not have, while the
cluster has others, refuses writes until somebody says which of the two counts.

  sluice store keep member    the state of this member becomes that of all
  sluice store keep cluster   this member takes that of the cluster; what it
                              had is copied beside its store file first`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{string(store.KeepMember), string(store.KeepCluster)},
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.onlyServer("store keep")
			if err != nil {
				return err
			}
			var s storeAnswer
			_, err = c.show(a, http.MethodPost, "/admin/v1/store/keep", map[string]string{"keep": args[0]}, &s, func() {
				a.printStore(&s)
				if s.Backup != "" {
					a.printf("backup    %s\n", s.Backup)
				}
			})
			return err
		},
	}
}

func (a *app) printStore(s *storeAnswer) {
	a.printf("status    %s\n", s.Status)
	if s.Detail != "" {
		a.printf("          %s\n", s.Detail)
	}
	a.printf("head      %v\n", s.Head)
	a.printf("records   %d contexts, %d users, %d overrides, %d tokens\n", s.Records["context"], s.Records["user"], s.Records["override"], s.Records["token"])
	a.printf("file      %d bytes\n", s.Bytes)
}
