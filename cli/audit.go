package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultAudited = 50 // entries: two screens
	changeWidth    = 56 // of what changed in a table
	valueWidth     = 16 // of each value in it
	reasonWidth    = 32
)

// auditEntry is an entry of the audit log.
type auditEntry struct {
	Revision              uint64
	Time                  time.Time
	Actor, Reason, Action string
	Changes               []auditChange
	Omitted               int
}

type auditChange struct {
	Kind, Name    string
	Context, User *uint32
	Before, After json.RawMessage
}

func (a *app) auditCmd() *cobra.Command {
	var (
		su                             subjectFlags
		property, actor, action, since string
		limit                          int
	)
	filters := []string{"context", "user", "property", "actor", "action", "since", "limit"}
	cmd := &cobra.Command{
		Use:   "audit [REVISION | --context C --user U --property P --actor A --since 2h]",
		Short: "Show who changed what, when and why",
		Long: `Lists the audit log of a running server, the newest entry first: every change of
overrides, contexts, users and tokens. With a REVISION shows that entry whole.
--since takes a span (90m, 2h, 7d) or a time.`,
		Example: `  sluice audit -c 1337 -u 17 --since 7d
  sluice audit 42`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := onlyFlags(cmd, "looks for entries: leave it out beside a revision", filters...); err != nil {
					return err
				}
				return a.auditOne(args[0])
			}
			who, err := su.subject(a, cmd)
			if err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			q := url.Values{}
			for name, text := range map[string]string{"property": property, "actor": actor, "action": action} {
				if cmd.Flags().Changed(name) {
					q.Set(name, text)
				}
			}
			addSubject(q, who)
			if cmd.Flags().Changed("since") {
				at, err := sinceTime(since)
				if err != nil {
					return usage("--since %w", err)
				}
				q.Set("since", timeText(at))
			}
			return a.auditList(q, limit)
		},
	}
	su.add(cmd)
	f := cmd.Flags()
	f.StringVar(&property, "property", "", "changes of this property")
	f.StringVar(&actor, "actor", "", "changes by this actor")
	f.StringVar(&action, "action", "", "such as override.set or websockets.disable")
	f.StringVar(&since, "since", "", "not older: 2h, 7d or 2027-01-31")
	f.IntVar(&limit, "limit", defaultAudited, "at most this many; 0: all")
	return cmd
}

// sinceTime reads a span before now, or a time.
func sinceTime(text string) (time.Time, error) {
	if d, err := parseSpan(text); err == nil {
		if d < 0 {
			return time.Time{}, fmt.Errorf("%s: write a span without a sign, such as 2h", text)
		}
		return time.Now().Add(-d), nil
	}
	return parseTime(text)
}

func (a *app) auditList(q url.Values, limit int) error {
	c, err := a.onlyServer("audit")
	if err != nil {
		return err
	}
	list, next, err := c.pages(a, "/admin/v1/audit", "entries", q, limit)
	if err != nil {
		return err
	}
	if a.json() {
		err = a.printJSON(map[string]any{"entries": list, "next": next})
	} else if len(list) == 0 {
		a.note("the audit log has no entry that fits")
	} else {
		err = a.showEntries(c, list)
	}
	if next != "" {
		a.note("there are more than these %d: narrow it down, or raise --limit (0: all)", len(list))
	}
	return err
}

func (a *app) showEntries(c *client, list []json.RawMessage) error {
	rows := [][]string{{"REVISION", "TIME", "ACTOR", "ACTION", "WHOM", "WHAT", "REASON"}}
	for _, raw := range list {
		var e auditEntry
		if err := c.understand(raw, &e); err != nil {
			return err
		}
		whom, what := "", ""
		if n := len(e.Changes) + e.Omitted; n > 0 && len(e.Changes) > 0 {
			whom, what = e.Changes[0].whom(), clip(e.Changes[0].brief(), changeWidth)
			if n > 1 {
				what = fmt.Sprintf("%s, and %d more", what, n-1)
			}
		}
		rows = append(rows, []string{
			strconv.FormatUint(e.Revision, 10), timeText(e.Time), printable(e.Actor), printable(e.Action), whom, what,
			clip(printable(e.Reason), reasonWidth),
		})
	}
	a.table("", rows)
	return nil
}

func (a *app) auditOne(revision string) error {
	path, err := revisionPath(revision)
	if err != nil {
		return err
	}
	c, err := a.onlyServer("audit")
	if err != nil {
		return err
	}
	var e auditEntry
	_, err = c.show(a, http.MethodGet, path, nil, &e, func() { a.showEntry(&e, true) })
	return err
}

func revisionPath(revision string) (string, error) {
	n, err := strconv.ParseUint(revision, 10, 64)
	if err != nil || n == 0 {
		return "", usage("%s is no revision: use a number that `sluice audit` lists", revision)
	}
	return "/admin/v1/audit/" + strconv.FormatUint(n, 10), nil
}

func (a *app) showEntry(e *auditEntry, made bool) {
	would := ""
	if !made {
		would = "would be "
	}
	a.printf("%srevision %d  %s  %s by %s\n", would, e.Revision, timeText(e.Time), printable(e.Action), printable(e.Actor))
	if e.Reason != "" {
		a.printf("reason: %s\n", printable(e.Reason))
	}
	rows := make([][]string, 0, len(e.Changes))
	for i := range e.Changes {
		rows = append(rows, []string{e.Changes[i].whom(), e.Changes[i].what()})
	}
	a.table("  ", rows)
}

// whom is whose record a change is of.
func (c *auditChange) whom() string {
	switch {
	case c.Context == nil:
		return printable(c.Kind + " " + c.Name)
	case c.User == nil:
		return fmt.Sprintf("context %d", *c.Context)
	}
	return fmt.Sprintf("%d/%d", *c.Context, *c.User)
}

// what is the change in a line.
func (c *auditChange) what() string {
	before, after := stateOf(c.Before), stateOf(c.After)
	if c.Kind == "override" {
		return printable(fmt.Sprintf("%s: %s -> %s", c.Name, overrideText(before), overrideText(after)))
	}
	if c.Kind == "platform" {
		return printable(fmt.Sprintf("%s in the platform: %s -> %s", c.Name, overrideText(before), overrideText(after)))
	}
	switch {
	case after == nil && c.Kind != "token":
		// As if it had never been there: open, where a deleted one is closed.
		return c.Kind + " forgotten"
	case after == nil || after["deleted"] == true:
		return c.Kind + " deleted"
	case before == nil || before["deleted"] == true:
		return printable(strings.TrimRight(c.Kind+" created: "+fields(after), ": "))
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if was, is := fieldText(before[k]), fieldText(after[k]); was != is {
			parts = append(parts, fmt.Sprintf("%s %s -> %s", k, was, is))
		}
	}
	if len(parts) == 0 {
		return c.Kind + " as before"
	}
	return printable(strings.Join(parts, ", "))
}

// commonPrefix is what most names begin with: a table shows what differs.
const commonPrefix = "com.openexchange."

// brief is what, as a table has room for it: of an override the values, and
// what goes with them only where the values are the same.
func (c *auditChange) brief() string {
	if c.Kind != "override" {
		return c.what()
	}
	name := c.Name
	if rest, ok := strings.CutPrefix(name, commonPrefix); ok {
		name = "…" + rest
	}
	value := func(raw json.RawMessage) string {
		if state := stateOf(raw); state != nil {
			return clip(fieldText(state["value"]), valueWidth)
		}
		return "not set"
	}
	if before, after := value(c.Before), value(c.After); before != after {
		return printable(fmt.Sprintf("%s: %s -> %s", name, before, after))
	}
	return printable(fmt.Sprintf("%s: %s -> %s", name, overrideText(stateOf(c.Before)), overrideText(stateOf(c.After))))
}

func fields(state map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if t := fieldText(state[k]); t != `""` && t != "[]" && t != "null" {
			parts = append(parts, k+" "+t)
		}
	}
	return strings.Join(parts, ", ")
}

func fieldText(v any) string {
	switch v := v.(type) {
	case string:
		return oneLine(v)
	case nil:
		return "null"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // it came as JSON
	return strings.TrimSpace(b.String())
}

// stateOf is nil where there was no record.
func stateOf(raw json.RawMessage) (m map[string]any) {
	_ = json.Unmarshal(raw, &m) // what is no object has no fields
	return m
}

func overrideText(state map[string]any) string {
	if state == nil {
		return "not set"
	}
	text := fieldText(state["value"])
	if at, ok := state["expires"].(string); ok {
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			at = timeText(t)
		}
		text += " until " + at
	}
	if f, ok := state["final"].(string); ok {
		text += " final " + f
	}
	if state["protected"] == true {
		text += " protected"
	}
	return text
}

func (a *app) revertCmd() *cobra.Command {
	var w writeFlags
	force := false
	cmd := &cobra.Command{
		Use:   "revert REVISION --reason R",
		Short: "Undo what an entry of the audit log changed",
		Long: `Puts back everything that one entry of the audit log has changed, as an entry of
its own. What has changed again since then is left alone, and nothing is done,
unless --force is given.`,
		Example: `  sluice revert 42 --reason "wrong context" --dry-run`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := revisionPath(args[0])
			if err != nil {
				return err
			}
			if strings.TrimSpace(w.reason) == "" {
				return usage("revert: say why, with --reason: it undoes what somebody did on purpose")
			}
			c, err := a.onlyServer("revert")
			if err != nil {
				return err
			}
			q := w.query(map[string]bool{"force": force})
			var e auditEntry
			if _, err := c.show(a, http.MethodPost, path+"/revert?"+q.Encode(), map[string]string{"reason": w.reason}, &e, func() { a.showEntry(&e, !w.dry) }); err != nil {
				return err
			}
			a.tellDry(w.dry)
			return nil
		},
	}
	w.add(cmd, cmd.Name())
	w.addConfirm(cmd)
	cmd.Flags().Lookup("reason").Usage = "why, for those who read the audit log"
	cmd.Flags().BoolVar(&force, "force", false, "also what has changed since")
	return cmd
}
