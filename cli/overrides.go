package cli

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

func (a *app) overridesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "overrides",
		Short: "List the overrides of contexts and users",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usage("overrides: say list") },
	}
	cmd.AddCommand(a.overridesListCmd())
	return cmd
}

// listedOverride is one of GET /admin/v1/overrides, as far as it is shown.
type listedOverride struct {
	Context, User                   uint32
	ContextName, Login, DisplayName string
	Property, Value, Reason, Actor  string
	Time                            time.Time
	Expires                         *time.Time
	Expired                         bool
}

func (a *app) overridesListCmd() *cobra.Command {
	var (
		su                             subjectFlags
		property, value, actor, before string
		limit                          int
	)
	cmd := &cobra.Command{
		Use:   "list [--property P] [--value V] [--context C [--user U]] [--actor A] [--expires-before T]",
		Short: "List overrides: who has which value, since when, by whom, until when",
		Long: `Lists the overrides that a running server stores, by context, user and property.
--expires-before takes a span from now (2h, 7d) or a time, and lists only those
that end before. Values of secrets are *** and found by no --value.`,
		Example: `  sluice overrides list --property com.openexchange.websockets.enabled --value false
  sluice overrides list --actor ops --expires-before 2d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			who, err := su.subject(a, cmd)
			if err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			q := url.Values{}
			for name, text := range map[string]string{"property": property, "value": value, "actor": actor} {
				if !cmd.Flags().Changed(name) {
					continue
				}
				// That of a script whose variable is not set. An empty value is one.
				if text == "" && name != "value" {
					return usage("--%s is empty: name one, or leave it out", name)
				}
				q.Set(name, text)
			}
			addSubject(q, who)
			if cmd.Flags().Changed("expires-before") {
				at, err := untilTime(before)
				if err != nil {
					return usage("--expires-before %w", err)
				}
				q.Set("expiresBefore", timeText(at))
			}
			return a.listOverrides(q, limit)
		},
	}
	su.add(cmd)
	f := cmd.Flags()
	f.StringVar(&property, "property", "", "overrides of this property")
	f.StringVar(&value, "value", "", "with this value")
	f.StringVar(&actor, "actor", "", "set by this actor")
	f.StringVar(&before, "expires-before", "", "that end before: 2h, 7d or 2027-01-31")
	f.IntVar(&limit, "limit", defaultListed, "at most so many; 0: all")
	_ = cmd.RegisterFlagCompletionFunc("property", completeProperties)
	return cmd
}

// untilTime reads a span from now, or a time.
func untilTime(text string) (time.Time, error) {
	if d, err := parseSpan(text); err == nil {
		return time.Now().Add(d), nil
	}
	return parseTime(text)
}

func (a *app) listOverrides(q url.Values, limit int) error {
	c, err := a.onlyServer("overrides list")
	if err != nil {
		return err
	}
	list, next, err := c.pages(a, "/admin/v1/overrides", "overrides", q, limit)
	if err != nil {
		return err
	}
	switch {
	case a.json():
		err = a.printJSON(map[string]any{"overrides": list, "next": next})
	case len(list) == 0:
		a.note("no override fits")
	default:
		err = a.showOverrides(c, list)
	}
	if next != "" {
		a.note("there are more than these %d: narrow it down, or raise --limit (0: all)", len(list))
	}
	return err
}

func (a *app) showOverrides(c *client, list []json.RawMessage) error {
	rows := [][]string{{"WHOM", "PROPERTY", "VALUE", "SINCE", "BY", "UNTIL", "REASON"}}
	for _, raw := range list {
		var o listedOverride
		if err := c.understand(raw, &o); err != nil {
			return err
		}
		name := o.Property
		if rest, ok := strings.CutPrefix(name, commonPrefix); ok {
			name = "…" + rest
		}
		until := "for good"
		if o.Expires != nil {
			until = timeText(*o.Expires)
		}
		if o.Expired {
			until += " (over)"
		}
		rows = append(rows, []string{
			o.whom(), printable(name), clip(oneLine(o.Value), valueWidth), timeText(o.Time), printable(o.Actor), until, clip(printable(o.Reason), reasonWidth),
		})
	}
	a.table("", rows)
	return nil
}

// whom is whose override it is, in ids and, where the directory has one, a name.
func (o *listedOverride) whom() string {
	su, name := cascade.Subject{Context: o.Context, User: o.User}, o.ContextName
	text := "context " + strconv.FormatUint(uint64(o.Context), 10)
	if su.User != 0 {
		text, name = strconv.FormatUint(uint64(o.User), 10)+"@"+strconv.FormatUint(uint64(o.Context), 10), o.Login
		if o.DisplayName != "" {
			name = o.DisplayName
		}
	}
	if name != "" {
		text += " (" + clip(printable(name), valueWidth) + ")"
	}
	return text
}
