package cli

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/store"
)

// storeAnswer is what the server says of its store.
type storeAnswer struct {
	Status   string           `json:"status"`
	Detail   string           `json:"detail"`
	Kind     string           `json:"kind"`
	Truth    string           `json:"truth"`
	Identity store.Identity   `json:"identity"`
	Head     store.Head       `json:"head"`
	Records  map[string]int64 `json:"records"`
	Bytes    int64            `json:"bytes"`
	Skipped  []string         `json:"skipped"`
}

// adoptAnswer is what an adoption did, or would do.
type adoptAnswer struct {
	storeAnswer
	Adopted     bool `json:"adopted"`
	Differences []struct {
		Member string    `json:"member"`
		Key    store.Key `json:"key"`
		What   string    `json:"what"`
	} `json:"differences"`
	Omitted     int      `json:"omitted"`
	Unreachable []string `json:"unreachable"`
}

func (a *app) storeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Show where a member's decisions are kept, and how its copy stands",
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
	cmd.AddCommand(a.storeAdoptCmd())
	return cmd
}

// adoptPatience is how long an adoption may take: above what the server bounds.
const adoptPatience = 11 * time.Minute

func (a *app) storeAdoptCmd() *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "adopt [--yes] [--force]",
		Short: "Make what this member holds the truth of its cluster",
		Long: `Lists what the other members hold differently. With --yes this member's store
becomes the truth of the cluster: that of the keeper (sluice.store.keeper), or
what the empty database gets (sluice.database.hosts). The others take it; what
they had is copied beside their store files first.

It is needed once when a cluster gets a keeper or a database, when the keeper is
moved, and when a store file was lost. --force adopts a file that does not have
all that the cluster has acknowledged.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a.responseTimeout = adoptPatience
			c, err := a.onlyServer("store adopt")
			if err != nil {
				return err
			}
			var s adoptAnswer
			_, err = c.show(a, http.MethodPost, "/admin/v1/store/adopt", map[string]bool{"confirm": yes, "force": force}, &s, func() { a.printAdopted(&s) })
			if err == nil && !s.Adopted {
				return silent
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; without, only list what would be replaced")
	cmd.Flags().BoolVar(&force, "force", false, "also where this member does not have all that was acknowledged")
	return cmd
}

func (a *app) printAdopted(s *adoptAnswer) {
	what := map[string]string{"other": "is another", "here": "is not there", "there": "is only there"}
	for _, d := range s.Differences {
		a.printf("%s: %s %s\n", d.Member, d.Key, what[d.What])
	}
	if s.Omitted > 0 {
		a.printf("... and %d more\n", s.Omitted)
	}
	for _, m := range s.Unreachable {
		a.printf("%s did not say what it holds\n", m)
	}
	switch {
	case s.Adopted:
		a.printf("this member's store counts for the cluster\n")
	case len(s.Differences)+s.Omitted == 0:
		a.printf("no other member holds anything else; repeat with --yes\n")
	default:
		a.printf("the others would take what this member holds: repeat with --yes\n")
	}
	a.printStore(&s.storeAnswer)
}

func (a *app) printStore(s *storeAnswer) {
	a.printf("status    %s\n", s.Status)
	if s.Detail != "" {
		a.printf("          %s\n", printable(s.Detail))
	}
	a.printf("kept in   %s (%s)\n", printable(s.Truth), s.Kind)
	of := fmt.Sprintf("the store %.8s", s.Identity.ID)
	if s.Identity.Copy {
		of = "a copy of " + of
	}
	if s.Identity.Term > 0 {
		of += fmt.Sprintf(", term %d", s.Identity.Term)
	}
	a.printf("file      %s, %d bytes\n", of, s.Bytes)
	a.printf("head      %v\n", s.Head)
	a.printf("records   %d contexts, %d users, %d overrides, %d tokens\n", s.Records["context"], s.Records["user"], s.Records["override"], s.Records["token"])
	for _, k := range s.Skipped {
		a.printf("skipped   %s: its row in the database does not parse\n", printable(k))
	}
}
