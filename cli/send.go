package cli

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"
)

// sendBody is what POST /admin/v1/messages takes.
type sendBody struct {
	Context     uint32            `json:"context,omitempty"`
	User        uint32            `json:"user,omitempty"`
	All         bool              `json:"all,omitempty"`
	Name        string            `json:"name"`
	Args        []json.RawMessage `json:"args"`
	PathFilter  *string           `json:"pathFilter,omitempty"`
	SourceToken string            `json:"sourceToken,omitempty"`
	ID          string            `json:"id,omitempty"`
	Sync        bool              `json:"sync,omitempty"`
}

func (a *app) sendCmd() *cobra.Command {
	var (
		su     subjectFlags
		m      sendBody
		filter string
	)
	cmd := &cobra.Command{
		Use:   "send NAME [ARG_JSON...] (--context C [--user U] | --all)",
		Short: "Send a message to the sockets of a user, a context or everybody",
		Long: `Sends the event NAME with JSON values as its arguments to all sockets of a user,
of all users of a context, or of everybody, on all members. Whatever begins with
a "-", such as a negative number, goes behind "--".`,
		Example: `  sluice send ox:mail:new '{"folder":"default0/INBOX"}' -c 1337 -u 17 --path-filter '/socket.io/appsuite/*'
  sluice send maintenance '"at noon"' 30 --all`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := su.subject(a, cmd)
			switch {
			case err != nil:
				return err
			case m.All && s.Context != 0:
				return usage("--all is everybody: leave out --context and --user")
			case !m.All && s.Context == 0:
				return usage("send: name whom, with --context C, or say --all for everybody")
			}
			m.Context, m.User, m.Name, m.Args = s.Context, s.User, args[0], []json.RawMessage{}
			for i, arg := range args[1:] {
				if !json.Valid([]byte(arg)) {
					return usage("argument %d is not JSON: %s: a text has double quotes, inside those of the shell: '\"text\"'", i+1, oneLine(arg))
				}
				m.Args = append(m.Args, json.RawMessage(arg))
			}
			if cmd.Flags().Changed("path-filter") {
				m.PathFilter = &filter
			}
			c, err := a.onlyServer("send")
			if err != nil {
				return err
			}
			var r sendResult
			_, err = c.show(a, http.MethodPost, "/admin/v1/messages", &m, &r, func() { a.showSent(&r) })
			return err
		},
	}
	su.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&m.All, "all", false, "everybody")
	f.StringVar(&filter, "path-filter", "", "only sockets of this path, such as /socket.io/appsuite/*")
	f.StringVar(&m.SourceToken, "source-token", "", "not to the socket with this connection id, which has caused the event")
	f.StringVar(&m.ID, "id", "", "the message's id: one that was used before is not sent again")
	f.BoolVar(&m.Sync, "sync", false, "answer when the other members' copy is safe in Redis, without waiting for an equal message")
	return cmd
}

type sendResult struct {
	ID                   string
	Local                int
	Remote               *int
	Coalesced, Duplicate bool
}

func (a *app) showSent(r *sendResult) {
	id := oneLine(r.ID)
	if r.Duplicate {
		a.printf("%s was sent before: nothing is sent again\n", id)
		return
	}
	others := "other members not known"
	if r.Remote != nil {
		others = counted(*r.Remote, "other member")
	}
	same := ""
	if r.Coalesced {
		same = ", as one with an equal message that waits"
	}
	a.printf("%s: %s here, %s%s\n", id, counted(r.Local, "socket"), others, same)
}
