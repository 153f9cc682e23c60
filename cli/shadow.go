package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/node"
)

const (
	defaultSample     = 100
	maxSample         = 1000 // what the server answers at once
	maxShadowed       = 1_000_000
	defaultShadowers  = 4
	maxShadowers      = 32
	defaultPeerWait   = 5 * time.Second
	maxPeerWait       = time.Minute
	maxShadowFailures = 20   // in a row: then the other side is given up
	maxDifferences    = 1000 // that are listed; all are counted
)

// shadowOptions are the flags of shadow.
type shadowOptions struct {
	against, login, password string
	users                    string
	sample, concurrency      int
	timeout                  time.Duration
	properties, prefixes     []string
}

func (a *app) shadowCmd() *cobra.Command {
	var o shadowOptions
	cmd := &cobra.Command{
		Use:   "shadow --against URL [--sample N | --users FILE] [--property P | --prefix P]",
		Short: "Compare the answers of Sluice with those of the existing middleware",
		Long: `Asks a running server and the existing middleware for the same properties of the
same users, and lists where they differ, with what each side says of the why. It
only reads, on both sides: of the middleware the paths
/preliminary/configuration/v1, with its service account.

The users are a sample, or those of a file: a line "CONTEXT USER" each, # begins
a comment, - is stdin. The properties are those that Sluice itself reads of a
user, unless --property or --prefix name others; both may stand several times.
Secrets are not compared.

Ends with 1 where there is a difference, with 3 where something could not be
compared and the rest is the same.`,
		Example: `  sluice shadow --against http://mw1.example:8009 --login ox --password-file /etc/sluice/ox.password
  sluice shadow --against http://mw1.example:8009 --users pilot.txt --prefix com.openexchange.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.shadow(cmd, &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.against, "against", "", "the existing middleware: http://HOST:PORT or https://HOST:PORT")
	f.StringVar(&o.login, "login", "", "of its service account")
	f.StringVar(&o.password, "password-file", "", "file with the password of --login; else SLUICE_SHADOW_PASSWORD")
	f.IntVar(&o.sample, "sample", defaultSample, fmt.Sprintf("so many users, chosen by chance, at most %d", maxSample))
	f.StringVar(&o.users, "users", "", "file with users")
	f.StringArrayVar(&o.properties, "property", nil, "compare this property; repeatable")
	f.StringArrayVar(&o.prefixes, "prefix", nil, "compare all whose names begin so; repeatable")
	f.IntVar(&o.concurrency, "concurrency", defaultShadowers, fmt.Sprintf("users that are compared at the same time, 1 to %d", maxShadowers))
	f.DurationVar(&o.timeout, "timeout", defaultPeerWait, "how long each answer of the other side may take")
	return cmd
}

// wanted is what is compared.
func (o *shadowOptions) wanted() (list []what) {
	for _, p := range o.properties {
		list = append(list, what{p, false})
	}
	for _, p := range o.prefixes {
		list = append(list, what{p, true})
	}
	if len(list) > 0 {
		return list
	}
	for _, d := range node.Schema().All() {
		if !d.Server && !d.Secret && !strings.HasPrefix(d.Name, "sluice.") {
			list = append(list, what{d.Name, false})
		}
	}
	return list
}

func (o *shadowOptions) check(cmd *cobra.Command) error {
	switch {
	case o.against == "":
		return usage("shadow: name the existing middleware with --against http://HOST:PORT")
	case o.users != "" && cmd.Flags().Changed("sample"):
		return usage("--sample and --users both say which users: use one of them")
	case o.sample < 1 || o.sample > maxSample:
		return usage("--sample %d: use 1 to %d, or --users FILE", o.sample, maxSample)
	case o.concurrency < 1 || o.concurrency > maxShadowers:
		return usage("--concurrency %d: use 1 to %d", o.concurrency, maxShadowers)
	case o.timeout <= 0 || o.timeout > maxPeerWait:
		return usage("--timeout %v: use up to %v", o.timeout, maxPeerWait)
	}
	for _, w := range o.wanted() {
		if strings.TrimSpace(w.name) == "" {
			return usage("--property and --prefix name something: they are empty")
		}
	}
	return nil
}

func (a *app) shadow(cmd *cobra.Command, o *shadowOptions) error {
	if err := o.check(cmd); err != nil {
		return err
	}
	c, err := a.onlyServer("shadow")
	if err != nil {
		return err
	}
	p, err := newPeer(a, o.against, o.login, o.password, o.timeout)
	if err != nil {
		return err
	}
	defer p.http.CloseIdleConnections()
	users, err := a.shadowUsers(c, o)
	if err != nil {
		return err
	}
	if len(users) == 0 {
		return exit(exitFindings, errors.New("there are no users to compare: name some with --users FILE"))
	}
	ctx, cancel := context.WithCancelCause(a.ctx)
	defer cancel(nil)
	s := &shadower{app: a, c: c, p: p, what: o.wanted(), ctx: ctx, stop: cancel}
	// The login is looked at before hundreds of requests are.
	if _, err := p.ofServer(ctx, s.what[0]); err != nil {
		return exit(exitUnreachable, fmt.Errorf("%s: %w", p.base, err))
	}
	return s.run(users, o.concurrency)
}

// shadowUsers are those of the file, or a sample of the server's.
func (a *app) shadowUsers(c *client, o *shadowOptions) ([]cascade.Subject, error) {
	if o.users == "" {
		var sample struct {
			Users []struct{ Context, User uint32 }
		}
		if _, err := c.call(a, http.MethodGet, "/admin/v1/users/sample?limit="+strconv.Itoa(o.sample), nil, &sample); err != nil {
			return nil, err
		}
		list := make([]cascade.Subject, len(sample.Users))
		for i, u := range sample.Users {
			list[i] = cascade.Subject(u)
		}
		return list, nil
	}
	in := io.NopCloser(a.stdin)
	if o.users != "-" {
		f, err := os.Open(o.users)
		if err != nil {
			return nil, usage("--users: %w", err)
		}
		in = f
	}
	defer in.Close()
	return readUsers(o.users, in)
}

// readUsers reads lines of a context and a user.
func readUsers(name string, r io.Reader) (list []cascade.Subject, err error) {
	lines := bufio.NewScanner(r)
	met := map[cascade.Subject]bool{}
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r/,;", r) })
		if len(fields) == 0 {
			continue
		}
		var su cascade.Subject
		ok := len(fields) == 2
		if ok {
			var errC, errU error
			su.Context, errC = cascade.ParseID(fields[0])
			su.User, errU = cascade.ParseID(fields[1])
			ok = errC == nil && errU == nil
		}
		switch {
		case !ok:
			return nil, usage("%s:%d:1: %s is no user: write its context and its id, as in 1337 17", name, n, oneLine(lines.Text()))
		case met[su]:
			continue
		case len(list) == maxShadowed:
			return nil, usage("%s:%d:1: more than %d users: compare them in parts", name, n, maxShadowed)
		}
		met[su] = true
		list = append(list, su)
	}
	if err := lines.Err(); err != nil {
		return nil, usage("%s: %w", name, err)
	}
	return list, nil
}
