package cli

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/httpapi"
)

func (a *app) membersCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "members [--server URL]",
		Short: "Show the members of the cluster, and whether they run the same configuration",
		Long: `Shows the members that a running server knows. "this" is the server that was
asked; "drift" is one with another configuration than that. Ends with 1 where
something is wrong among them: the link is degraded, configurations differ, or
two processes have one name.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.onlyServer("members")
			if err != nil {
				return err
			}
			var l memberList
			if _, err := c.show(a, http.MethodGet, "/admin/v1/members", nil, &l, func() { a.showMembers(&l) }); err != nil {
				return err
			}
			if len(l.Warnings) > 0 || l.Status == "degraded" {
				return silent
			}
			return nil
		},
	}
}

type memberList struct {
	Cluster, Status, Problem string
	Canaries                 []struct {
		From, Age, Took string
		Late            bool
		Missed          int64
	}
	Members  []listedMember
	Warnings []string
}

type listedMember struct {
	Member, Version, Digest, Age string
	Started                      time.Time
	Sockets                      int64
	Generation                   uint64
	Alive, Self, Degraded, Drift bool
	Draining                     bool
	Restart, DoveAdm             []string
}

// canary tells in a few words whether messages of the other members come
// through, and those of which member do not.
func (l *memberList) canary() string {
	var late []string
	slowest := time.Duration(0)
	for _, c := range l.Canaries {
		if c.Late {
			late = append(late, fmt.Sprintf("nothing from %s for %s", printable(c.From), printable(c.Age)))
		} else if took, err := time.ParseDuration(c.Took); err == nil {
			slowest = max(slowest, took)
		}
	}
	switch {
	case l.Status == "alone":
		return ""
	case len(l.Canaries) == 0 && slices.ContainsFunc(l.Members, func(m listedMember) bool { return m.Alive && !m.Self }):
		return "canary: nothing has come from the other members yet"
	case len(l.Canaries) == 0:
		return "canary: no other member is alive"
	case len(late) > 0:
		return "canary MISSED: " + strings.Join(late, ", ")
	}
	return fmt.Sprintf("canary: ok, from %s, slowest %s", counted(len(l.Canaries), "member"), slowest)
}

func (a *app) showMembers(l *memberList) {
	if c := l.canary(); c != "" {
		a.printf("%s\n\n", c)
	}
	// Last what may be long: the version of a build without a tag.
	rows := [][]string{{"MEMBER", "STATE", "SOCKETS", "UP", "SEEN", "GENERATION", "DIGEST", "VERSION"}}
	for _, m := range l.Members {
		state, up, seen := "alive", sinceText(m.Started), m.Age+" ago"
		switch {
		case m.Self:
			state, seen = "this", ""
		case !m.Alive:
			state, up = "gone", ""
		}
		if m.Draining {
			state += ",draining"
		}
		for _, r := range m.Restart {
			a.note("member %s needs a restart for %s", m.Member, r)
		}
		for _, e := range m.DoveAdm {
			a.note("member %s cannot register users with Dovecot: %s", m.Member, e)
		}
		if m.Degraded {
			state += ",degraded"
		}
		if m.Drift {
			state += ",drift"
		}
		rows = append(rows, []string{
			printable(m.Member), state, strconv.FormatInt(m.Sockets, 10), up, seen,
			strconv.FormatUint(m.Generation, 10), printable(httpapi.ShortDigest(m.Digest)), printable(m.Version),
		})
	}
	a.table("", rows)
	switch l.Status {
	case "alone":
		a.printf("\nalone: this server has no cluster\n")
	default:
		a.printf("\ncluster %s: %s\n", printable(l.Cluster), printable(l.Status))
		if l.Problem != "" {
			a.printf("  %s\n", printable(l.Problem))
		}
	}
	for _, w := range l.Warnings {
		a.note("warning: %s", w)
	}
}

// sinceText is how long ago something began, as short as a column is.
func sinceText(t time.Time) string {
	d := max(time.Since(t), 0) // the server's clock may be ahead
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Hour).String(), "0m0s")
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}
