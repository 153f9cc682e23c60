package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// overrideBody is what a PUT of an override takes.
type overrideBody struct {
	Value     string  `json:"value"`
	Reason    string  `json:"reason"`
	Expires   *string `json:"expires,omitempty"`
	Final     string  `json:"final,omitempty"`
	Protected bool    `json:"protected,omitempty"`
}

func (a *app) setCmd() *cobra.Command {
	var (
		su        subjectFlags
		w         writeFlags
		until     untilFlags
		file      string
		from      string
		o         overrideBody
		force     bool
		overrides = []string{"reason", "expires", "for", "final", "protected", "force"}
	)
	cmd := &cobra.Command{
		Use:   "set PROPERTY (VALUE | - | --from FILE) (--context C [--user U] | --etc DIR [--file F])",
		Short: "Set a property for a context or a user, or in a file for everybody",
		Long: `With --context, sets an override for a context or one of its users on a running
server, which counts at once and on all members. --force sets one that a final
hides now. Without --reason the audit log says "by USER on HOST via sluice set".

With --etc, edits the line of the .properties file that wins now; a new property
goes to --file, or to the file of its declaration. Every other byte stays as it
is, the file is replaced at once, and nothing is written that check would refuse.

The value - is read from standard input, and --from reads it from a file: what
stands on a command line is in the history of the shell and in the list of
processes, so secrets belong there. A new file for a secret has mode 0640.

A value that begins with - goes after --: sluice set --etc DIR -- NAME -1`,
		Example: `  sluice set com.openexchange.websockets.enabled false -c 1337 -u 17 --for 2h --reason "ticket 4711"
  sluice set sluice.websockets.maxPerUser 4 --etc /opt/open-xchange/etc`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeProperties,
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.forSubject(cmd, &su)
			if err != nil {
				return err
			}
			value, err := a.givenValue(args, from)
			if err != nil {
				return err
			}
			if !server {
				if err := onlyFlags(cmd, "belongs to an override: name whose with --context", overrides...); err != nil {
					return err
				}
				return a.edit(args[0], w.dry, func(e *cascade.Engine) (*cascade.Edit, error) { return e.PlanSet(args[0], value, file) })
			}
			if err := onlyFlags(cmd, "belongs to --etc: an override is in no file", "file"); err != nil {
				return err
			}
			o.Value, o.Reason = value, w.why("set")
			if o.Expires, err = until.expires(cmd); err != nil {
				return err
			}
			return a.writeOverride(cmd, &su, http.MethodPut, args[0], &w, force, &o)
		},
	}
	su.add(cmd)
	w.add(cmd, cmd.Name())
	until.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Final, "final", "", "scope below which nothing counts any more: user, context, contextSets or server")
	f.BoolVar(&o.Protected, "protected", false, "users must not change it by themselves")
	f.BoolVar(&force, "force", false, "also where a final of another scope hides it")
	f.StringVar(&file, "file", "", "file for a new property, relative to the root")
	f.StringVar(&from, "from", "", "file that holds the value, as for a secret")
	return cmd
}

func (a *app) unsetCmd() *cobra.Command {
	var su subjectFlags
	var w writeFlags
	cmd := &cobra.Command{
		Use:   "unset PROPERTY (--context C [--user U] | --etc DIR)",
		Short: "Remove an override, or a property from the file whose line wins",
		Long: `With --context, removes the override that a context or one of its users has on a
running server; without one there ends with 1. Without --reason the audit log
says "by USER on HOST via sluice unset". With --etc, removes the property from
the .properties file whose line wins now.`,
		Example: `  sluice unset com.openexchange.websockets.enabled -c 1337 -u 17
  sluice unset sluice.websockets.maxPerUser --etc /opt/open-xchange/etc`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeProperties,
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.forSubject(cmd, &su)
			if err != nil {
				return err
			}
			if !server {
				if err := onlyFlags(cmd, "belongs to an override: name whose with --context", "reason"); err != nil {
					return err
				}
				return a.edit(args[0], w.dry, func(e *cascade.Engine) (*cascade.Edit, error) { return e.PlanUnset(args[0]) })
			}
			return a.writeOverride(cmd, &su, http.MethodDelete, args[0], &w, false, nil)
		},
	}
	su.add(cmd)
	w.add(cmd, cmd.Name())
	return cmd
}

// forSubject reports whether a command is about somebody, and thus for a server.
func (a *app) forSubject(cmd *cobra.Command, su *subjectFlags) (bool, error) {
	switch whom := cmd.Flags().Changed("context") || cmd.Flags().Changed("user"); {
	case whom && len(a.etc) > 0:
		return false, usage("--context is an override on a running server and --etc edits files: use one of them")
	case whom:
		_, err := su.subject(a, cmd)
		return true, err
	case len(a.etc) == 0:
		return false, usage("name the tree with --etc DIR, or whose override it is with --context C [--user U]")
	}
	return false, nil
}

func (a *app) writeOverride(cmd *cobra.Command, who *subjectFlags, method, name string, w *writeFlags, force bool, body *overrideBody) error {
	su, err := who.subject(a, cmd)
	if err != nil {
		return err
	}
	c, err := a.onlyServer(cmd.Name())
	if err != nil {
		return err
	}
	q := w.query(map[string]bool{"force": force})
	q.Set("name", name)
	var in any = body
	if body == nil {
		q.Set("reason", w.why(cmd.Name()))
		in = nil
	}
	var x cascade.Explanation
	if _, err := c.show(a, method, subjectPath(su)+"?"+q.Encode(), in, &x, func() { a.showWritten(&x, body) }); err != nil {
		return err
	}
	a.tellDry(w.dry)
	return nil
}

// showWritten says what counts now, and that what was set does not where that
// is so.
func (a *app) showWritten(x *cascade.Explanation, set *overrideBody) {
	a.printf("%s\n", printable(x.Summary))
	for _, w := range x.Warnings {
		a.note("warning: %s", w)
	}
	if set != nil && (x.Origin == nil || x.Origin.Override == nil) {
		a.note("the override is set, but does not count: `sluice explain %s` with the same --context and --user says why", x.Property)
	}
}
