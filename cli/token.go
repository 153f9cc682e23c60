package cli

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/node"
)

func (a *app) tokenCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and delete tokens for the admin API",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usage("token: say create, list or delete") },
	}
	cmd.AddCommand(a.tokenCreateCmd(), a.tokenListCmd(), a.tokenDeleteCmd())
	return cmd
}

// newToken is what is asked for.
type newToken struct {
	Name    string    `json:"name"`
	Role    auth.Role `json:"role"`
	Expires string    `json:"expires,omitempty"` // RFC 3339
}

// tokenKeeper is what keeps tokens. The raw answers are those of the admin API,
// which a newer server may have more in.
type tokenKeeper interface {
	createToken(a *app, t newToken) (httpapi.CreatedToken, json.RawMessage, error)
	listTokens(a *app) ([]httpapi.ListedToken, json.RawMessage, error)
	deleteToken(a *app, name string) error
}

// tokens is who keeps those that a command is about.
func (a *app) tokens(command string) (tokenKeeper, error) { return a.onlyServer(command) }

const tokenPath = "/admin/v1/tokens"

func (c *client) createToken(a *app, t newToken) (made httpapi.CreatedToken, raw json.RawMessage, err error) {
	if _, err = c.call(a, http.MethodPost, tokenPath, t, &raw); err == nil {
		err = c.understand(raw, &made)
	}
	return made, raw, err
}

func (c *client) listTokens(a *app) (_ []httpapi.ListedToken, raw json.RawMessage, err error) {
	var l struct{ Tokens []httpapi.ListedToken }
	if _, err = c.call(a, http.MethodGet, tokenPath, nil, &raw); err == nil {
		err = c.understand(raw, &l)
	}
	return l.Tokens, raw, err
}

func (c *client) deleteToken(a *app, name string) error {
	_, err := c.call(a, http.MethodDelete, tokenPath+"/"+url.PathEscape(name), nil, nil)
	return err
}

func (a *app) tokenCreateCmd() *cobra.Command {
	role, expires, state, forFile := "", "", "", false
	cmd := &cobra.Command{
		Use:   "create NAME --role viewer|operator|editor [--expires TIME] [--for-file]",
		Short: "Make a token, which is shown this once",
		Long: `Makes a token and prints it, the only time that it can be seen. A viewer reads,
an operator also sends messages and closes sockets, an editor may do everything.
--expires is a time (2030-12-31T23:59:59Z) or a span from now (90d, 12h).

The first token is made on the server's machine: over its Unix socket, or with
--state in the state folder of a server that does not run.

--for-file asks no server: it prints a line for the file that
sluice.admin.tokenFile names, and the token for whoever is to use it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t := newToken{Name: args[0]}
			var err error
			if err = auth.CheckTokenName(t.Name); err != nil {
				return usage("token create: %w", err)
			}
			if t.Role, err = auth.ParseRole(role); err != nil {
				return usage("--role: %w", err)
			}
			if expires != "" {
				at, err := parseExpiry(expires, time.Now())
				if err != nil {
					return err
				}
				t.Expires = at.UTC().Format(time.RFC3339)
			}
			if forFile {
				return a.tokenLine(t)
			}
			if state != "" {
				return a.tokenOffline(state, t)
			}
			keeper, err := a.tokens("token create")
			if err != nil {
				return err
			}
			made, raw, err := keeper.createToken(a, t)
			switch {
			case err != nil:
				return err
			case a.json():
				return a.printJSON(raw)
			}
			a.printf("%s\n", made.Token)
			a.note("this is shown once: keep it where only its user can read it, and pass it in SLUICE_TOKEN or --token-file")
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or editor")
	cmd.Flags().StringVar(&expires, "expires", "", "until when it is valid; without it, for ever")
	cmd.Flags().StringVar(&state, "state", "", "offline: state folder of a server that does not run and has no token yet")
	cmd.Flags().BoolVar(&forFile, "for-file", false, "print a line for a file of tokens, and ask no server")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(auth.Roles, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// tokenOffline makes the first token of a state folder.
func (a *app) tokenOffline(state string, t newToken) error {
	if t.Role < auth.Editor {
		return usage("--role %s: the first token must have the role %s: nobody could make another", t.Role, auth.Editor)
	}
	lock, err := node.LockState(state)
	if err != nil {
		return exit(exitFindings, err)
	}
	defer lock.Close()
	text := auth.NewTokenText()
	hash := auth.HashToken(text)
	kept := &store.Token{Role: t.Role.String(), Hash: hash[:], Actor: actorOffline, Created: time.Now().UTC().Truncate(time.Second)}
	made := httpapi.CreatedToken{Name: t.Name, Role: t.Role, Token: text, Created: kept.Created}
	if t.Expires != "" {
		at, err := time.Parse(time.RFC3339, t.Expires)
		if err != nil {
			return err
		}
		kept.Expires, made.Expires = &at, &at
	}
	if err := store.PutFirstToken(filepath.Join(state, store.FileName), t.Name, kept); err != nil {
		return exit(exitFindings, err)
	}
	if a.json() {
		return a.printJSON(made)
	}
	a.printf("%s\n", made.Token)
	a.note("this is shown once: keep it where only its user can read it, and pass it in SLUICE_TOKEN or --token-file")
	return nil
}

// actorOffline is who made a token without a server.
const actorOffline = "offline"

// tokenLine prints a token and the line of a file that makes it good.
func (a *app) tokenLine(t newToken) error {
	text := auth.NewTokenText()
	hash := auth.HashToken(text)
	fields := []string{t.Name, t.Role.String(), "sha256:" + hex.EncodeToString(hash[:])}
	if t.Expires != "" {
		fields = append(fields, t.Expires)
	}
	line := strings.Join(fields, " ")
	if a.json() {
		return a.printJSON(map[string]string{"token": text, "line": line})
	}
	a.printf("%s\n", text)
	a.printf("%s\n", line)
	a.note("the first line is the token, shown this once; the second belongs into the file that %s names", httpapi.PropTokenFile)
	return nil
}

// parseExpiry reads a time, or a span from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, derr := parseDays(text)
		if derr != nil {
			return at, usage("--expires %s: write a time such as 2030-12-31T23:59:59Z, or a span such as 90d or 12h", text)
		}
		at = now.Add(d)
	}
	if !at.After(now) {
		return at, usage("--expires %s is over: name a time to come", text)
	}
	return at, nil
}

// maxDays is what a span may have: a time.Duration has 292 years.
const maxDays = 36500

func parseDays(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.Atoi(days)
	if err != nil || n > maxDays {
		return 0, errors.New("no number of days")
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func (a *app) tokenListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens, without their texts",
		Long: `Lists the tokens of the server: those that were made with it, and those of the
file that sluice.admin.tokenFile names. -o json has more of each.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keeper, err := a.tokens("token list")
			if err != nil {
				return err
			}
			list, raw, err := keeper.listTokens(a)
			switch {
			case err != nil:
				return err
			case a.json():
				return a.printJSON(raw)
			}
			a.showTokens(list)
			return nil
		},
	}
}

func (a *app) showTokens(tokens []httpapi.ListedToken) {
	if len(tokens) == 0 {
		a.note("there is no token: administrators have the Unix socket of the server's machine, and nothing else")
		return
	}
	rows := [][]string{{"NAME", "ROLE", "FROM", "CREATED", "USED", "EXPIRES"}}
	for _, t := range tokens {
		created, used, expires := "", "", "never"
		if t.Created != nil {
			created = sinceText(*t.Created) + " ago"
		}
		if t.LastUsed != nil {
			used = sinceText(*t.LastUsed) + " ago"
		}
		if t.Expires != nil {
			expires = t.Expires.UTC().Format(time.RFC3339)
		}
		if t.Expired {
			expires += " (over)"
		}
		rows = append(rows, []string{printable(t.Name), t.Role.String(), printable(t.From), created, used, expires})
	}
	a.table("", rows)
}

func (a *app) tokenDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a token: it is refused from then on",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := auth.CheckTokenName(args[0]); err != nil {
				return usage("token delete: %w", err)
			}
			keeper, err := a.tokens("token delete")
			if err != nil {
				return err
			}
			if err := keeper.deleteToken(a, args[0]); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"deleted": args[0]})
			}
			a.printf("token %s deleted\n", args[0])
			return nil
		},
	}
}
