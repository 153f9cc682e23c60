package cli

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

const (
	socketPageSize = 1000 // the most that the server answers at once
	defaultSockets = 1000 // as many as somebody may want to look at
)

func (a *app) socketsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sockets",
		Short: "List or close the sockets of all members",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usage("sockets: say list or close") },
	}
	cmd.AddCommand(a.socketsListCmd(), a.socketsCloseCmd())
	return cmd
}

// socketFlags say which sockets a command is about.
type socketFlags struct {
	su               subjectFlags
	connection, path string
	all              bool
}

func (s *socketFlags) add(cmd *cobra.Command) {
	s.su.add(cmd)
	cmd.Flags().StringVar(&s.connection, "connection", "", "connection id, which the client chose")
	cmd.Flags().StringVar(&s.path, "path", "", "path filter, such as /socket.io/appsuite/*")
	cmd.Flags().BoolVar(&s.all, "all", false, "those of everybody")
}

func (s *socketFlags) query(a *app, cmd *cobra.Command) (url.Values, error) {
	su, err := s.su.subject(a, cmd)
	if err != nil {
		return nil, err
	}
	if s.all && su.Context != 0 {
		return nil, usage("--all is everybody: leave out --context and --user")
	}
	q := url.Values{}
	for name, id := range map[string]uint32{"context": su.Context, "user": su.User} {
		if id != 0 {
			q.Set(name, strconv.FormatUint(uint64(id), 10))
		}
	}
	for name, text := range map[string]string{"connection": s.connection, "path": s.path} {
		if !cmd.Flags().Changed(name) {
			continue
		}
		// That of a script whose variable is not set.
		if text == "" {
			return nil, usage("--%s is empty: name one, or leave it out", name)
		}
		q.Set(name, text)
	}
	return q, nil
}

// listedSockets is a page, or all pages together.
type listedSockets struct {
	Sockets     []json.RawMessage `json:"sockets"`
	Next        string            `json:"next"` // not empty: there are more
	Unreachable []string          `json:"unreachable,omitempty"`
}

func (a *app) socketsListCmd() *cobra.Command {
	var flags socketFlags
	limit := 0
	cmd := &cobra.Command{
		Use:   "list [--context C [--user U] | --all] [--connection ID] [--path FILTER]",
		Short: "List open sockets, by context and user",
		Long: `Lists the open sockets of all members, by context and user; without flags those
of everybody. -o json has more of each. Ends with 1 where a member did not
answer, whose sockets are missing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := flags.query(a, cmd)
			if err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			c, err := a.onlyServer("sockets list")
			if err != nil {
				return err
			}
			l, err := c.sockets(a, q, limit)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.printJSON(l)
			} else {
				err = a.showSockets(c, l)
			}
			if err != nil {
				return err
			}
			if l.Next != "" {
				a.note("there are more than these %d: name a context, or raise --limit (0: all)", len(l.Sockets))
			}
			return a.missing(l.Unreachable, "its sockets are not in the list")
		},
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", defaultSockets, "at most this many; 0: all")
	return cmd
}

// sockets asks for up to limit sockets, page by page; 0 is all.
func (c *client) sockets(a *app, q url.Values, limit int) (*listedSockets, error) {
	all := &listedSockets{Sockets: []json.RawMessage{}}
	for {
		size := socketPageSize
		if limit > 0 {
			size = min(size, limit-len(all.Sockets))
		}
		q.Set("limit", strconv.Itoa(size))
		var page listedSockets
		if _, err := c.call(a, http.MethodGet, "/admin/v1/sockets?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all.Sockets, all.Next = append(all.Sockets, page.Sockets...), page.Next
		for _, m := range page.Unreachable {
			if !slices.Contains(all.Unreachable, m) {
				all.Unreachable = append(all.Unreachable, m)
			}
		}
		// A page of none that has a next would be asked for without end.
		if page.Next == "" || len(page.Sockets) == 0 || limit > 0 && len(all.Sockets) >= limit {
			return all, nil
		}
		q.Set("cursor", page.Next)
	}
}

func (a *app) showSockets(c *client, l *listedSockets) error {
	if len(l.Sockets) == 0 {
		a.note("no socket is open that fits")
		return nil
	}
	rows := [][]string{{"CONTEXT", "USER", "CONNECTION", "PATH", "OPEN", "QUEUED", "MEMBER"}}
	for _, raw := range l.Sockets {
		var s struct {
			Context, User            int64
			Connection, Path, Member string
			Since                    time.Time
			Queued                   int
			Muted                    bool
		}
		if err := c.understand(raw, &s); err != nil {
			return err
		}
		queued := strconv.Itoa(s.Queued)
		if s.Muted {
			queued = "muted"
		}
		rows = append(rows, []string{
			strconv.FormatInt(s.Context, 10), strconv.FormatInt(s.User, 10), oneLine(s.Connection), oneLine(s.Path),
			sinceText(s.Since), queued, printable(s.Member),
		})
	}
	a.table("", rows)
	return nil
}

func (a *app) socketsCloseCmd() *cobra.Command {
	var flags socketFlags
	cmd := &cobra.Command{
		Use:   "close (--context C [--user U] | --all) [--connection ID] [--path FILTER]",
		Short: "Close sockets; their clients do not reconnect by themselves",
		Long: `Closes the sockets that fit, on all members. Their clients are told to stop
(4410) and may come back when somebody makes them: to keep users out, switch
com.openexchange.websockets.enabled off for them. Ends with 1 where a member did
not answer, whose sockets may be open still.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := flags.query(a, cmd)
			if err != nil {
				return err
			}
			switch {
			case flags.all:
				q.Set("all", "true")
			case !q.Has("context"):
				return usage("sockets close: name whose, with --context C, or say --all for everybody's")
			}
			c, err := a.onlyServer("sockets close")
			if err != nil {
				return err
			}
			var r struct {
				Closed      int
				Unreachable []string
			}
			if _, err := c.show(a, http.MethodDelete, "/admin/v1/sockets?"+q.Encode(), nil, &r, func() {
				a.printf("%s closed\n", counted(r.Closed, "socket"))
			}); err != nil {
				return err
			}
			return a.missing(r.Unreachable, "its sockets may be open still: close again when `sluice members` shows it alive")
		},
	}
	flags.add(cmd)
	return cmd
}

// missing tells of members that did not answer, for what that means.
func (a *app) missing(unreachable []string, meaning string) error {
	if len(unreachable) == 0 {
		return nil
	}
	for _, m := range unreachable {
		a.note("member %s did not answer: %s", m, meaning)
	}
	return silent
}
