package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/httpapi"
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
	Confirm     bool              `json:"confirm,omitempty"`
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
a "-", such as a negative number, goes behind "--".

With --confirm the clients are asked whether they have it, and what they answer
is printed as it comes: a Web Socket ping proves that the browser has it, one of
Engine.IO 4 that the page has it. It then ends with 1 where a socket has not
answered, or there was none.`,
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
			if m.Confirm {
				return a.sendConfirmed(c, &m)
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
	f.BoolVar(&m.Confirm, "confirm", false, "ask the clients whether they have it, and wait for what they answer")
	f.BoolVar(&m.Sync, "sync", false, "answer when the other members' copy is safe in Redis, without waiting for an equal message")
	return cmd
}

type sendResult struct {
	ID        string `json:"id"`
	Local     int    `json:"local"`
	Remote    *int   `json:"remote"`
	Coalesced bool   `json:"coalesced,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
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

// maxConfirmLine bounds a line of what is answered to --confirm: what each member
// knows has some 300 bytes.
const maxConfirmLine = 1 << 20

// sendConfirmed sends and prints what the clients answer.
func (a *app) sendConfirmed(c *client, m *sendBody) error {
	m.Sync = true // the others' sockets are not asked before they have it
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // what somebody wrote goes out as it is
	if err := enc.Encode(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, confirmWait)
	defer cancel()
	res, err := c.open(ctx, http.MethodPost, "/admin/v1/messages", &body, http.Header{"Content-Type": {"application/json"}, "Accept": {"application/x-ndjson"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxConfirmLine)
	var r sendResult
	if !lines.Scan() {
		return exit(exitUnreachable, errors.Join(errors.New("the server has not answered what it sent"), lines.Err()))
	}
	if err := c.understand(lines.Bytes(), &r); err != nil {
		return err
	}
	seen := confirmed{a: a}
	if !a.json() {
		a.showSent(&r)
	}
	for lines.Scan() {
		var d httpapi.Delivery
		if err := c.understand(lines.Bytes(), &d); err != nil {
			return err
		}
		if a.json() {
			seen.now = &d
		} else {
			seen.take(&d)
		}
	}
	if err := lines.Err(); err != nil {
		return exit(exitUnreachable, fmt.Errorf("the server's answer broke off (%w): `sluice trace --id %s` tells what became of it", err, r.ID))
	}
	if a.json() {
		if err := a.printJSON(map[string]any{"sent": r, "delivery": seen.now}); err != nil {
			return err
		}
	}
	if r.Duplicate || seen.complete() {
		return nil
	}
	if seen.now == nil || seen.now.Sockets == 0 {
		a.note("no socket has it")
	} else if !seen.now.Settled {
		a.note("not every socket has answered: `sluice trace --id %s` tells more later", r.ID)
	}
	return silent
}
