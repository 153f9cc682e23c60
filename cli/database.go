package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/cascade/store/mariadb"
	"github.com/seed47708276/sluice/node"
)

// databaseTimeout bounds what the commands ask a database.
const databaseTimeout = 2 * time.Minute

// databasePassword holds the password of --as.
const databasePassword = "SLUICE_DATABASE_PASSWORD"

func (a *app) databaseCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "database",
		Short: "Set up the database that keeps the decisions of a cluster, or look at it",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.databaseInitCmd(), a.databaseStatusCmd())
	return cmd
}

// database is what the tree of the command says of it.
func (a *app) database() (o sqlpool.Options, err error) {
	roots := a.etc
	if len(roots) == 0 {
		roots = presentRoots(installedRoots)
	}
	e, err := cascade.Open(cascade.Options{Roots: roots, Schema: node.Schema(), TolerateBadFiles: true})
	if err != nil {
		return o, err
	}
	o, ok, err := node.DatabaseOptions(e)
	if err == nil && !ok {
		err = fmt.Errorf("no file of the tree sets %s: name the database there", store.PropDatabaseHosts)
	}
	if err != nil {
		return o, exit(exitFindings, err)
	}
	return o, nil
}

// presentRoots are the installed trees that exist, else ./etc.
func presentRoots(installed []string) (roots []string) {
	for _, dir := range installed {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			roots = append(roots, dir)
		}
	}
	if len(roots) == 0 {
		return []string{"etc"}
	}
	return roots
}

func (a *app) databaseInitCmd() *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "init [--etc DIR] [--as USER]",
		Short: "Make the database and its tables, or bring those of an earlier version up to date",
		Long: `Makes the database that sluice.database.* of the tree names, and its tables, or
brings those of an earlier version up to date; what is there stays. It needs the
grants CREATE and ALTER, which the server does not need afterwards: --as names a
user that has them, whose password is in $` + databasePassword + `. At the end it
prints the least grants of the server's own user.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			o, err := a.database()
			if err != nil {
				return err
			}
			user := o.User
			if as != "" {
				o.User, o.Password = as, os.Getenv(databasePassword)
			}
			ctx, cancel := context.WithTimeout(a.ctx, databaseTimeout)
			defer cancel()
			did, err := mariadb.Init(ctx, o)
			for _, line := range did {
				a.printf("%s\n", line)
			}
			if err != nil {
				return exit(databaseExit(err), fmt.Errorf("the database %s: %w", o.Database, err))
			}
			if len(did) == 0 {
				a.printf("the database %s is up to date (version %d)\n", o.Database, mariadb.Schema)
			}
			a.printf("the server's user needs no more than:\n")
			for _, line := range mariadb.Grants(o.Database, user) {
				a.printf("  %s\n", line)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "user that may make tables; its password is in $"+databasePassword)
	return cmd
}

// databaseExit is 3 where no server answered.
func databaseExit(err error) int {
	switch sqlpool.Classify(err) {
	case sqlpool.Elsewhere, sqlpool.Lost:
		return exitUnreachable
	}
	return exitFindings
}

func (a *app) databaseStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status [--etc DIR]",
		Short: "Show the state of the database's nodes, and what is kept in it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			o, err := a.database()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(a.ctx, databaseTimeout)
			defer cancel()
			s, err := mariadb.Look(ctx, o)
			if a.json() {
				if perr := a.printJSON(s); perr != nil {
					return perr
				}
			} else {
				a.printDatabase(&s)
			}
			if err != nil {
				return exit(databaseExit(err), errors.New(printable(err.Error())))
			}
			return nil
		},
	}
}

func (a *app) printDatabase(s *mariadb.Status) {
	for _, n := range s.Nodes {
		state := "alone"
		if n.Cluster > 0 {
			state = fmt.Sprintf("%s, %d nodes", cmp.Or(n.State, "unknown"), n.Cluster)
		}
		if n.Error != "" {
			state = n.Error
		}
		a.printf("node      %s: %s %s\n", printable(n.Host), printable(cmp.Or(n.Version, "-")), printable(state))
	}
	if s.Schema == 0 {
		return
	}
	adopted := ""
	if s.Standing.Adopted {
		adopted = ", adopted"
	}
	a.printf("store     %.8s%s, version %d of the tables\n", s.Standing.ID, adopted, s.Schema)
	a.printf("head      %v\n", s.Standing.Head)
	a.printf("rows      %d records, %d entries of the log\n", s.Records, s.Entries)
	if s.Last != nil {
		a.printf("last      %s\n", s.Last.UTC().Format(time.RFC3339))
	}
}
