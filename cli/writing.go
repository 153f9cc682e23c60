package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// writeFlags are those of every command that writes on a server.
type writeFlags struct {
	reason  string
	dry     bool
	confirm int
}

func (w *writeFlags) add(cmd *cobra.Command, command string) {
	cmd.Flags().StringVar(&w.reason, "reason", "", "why, for those who read the audit log (default \"by USER on HOST via sluice "+command+"\")")
	cmd.Flags().BoolVar(&w.dry, "dry-run", false, "show what would happen, change nothing")
}

// addConfirm is for commands that write many records.
func (w *writeFlags) addConfirm(cmd *cobra.Command) {
	cmd.Flags().IntVar(&w.confirm, "confirm", 0, "let it close this many sockets of all members: the number that the refusal would_close names")
}

// why is the reason that a write carries: without one of their own, people find
// in the audit log at least who typed the command, because the actor is the
// token, which several may share.
func (w *writeFlags) why(command string) string {
	if r := strings.TrimSpace(w.reason); r != "" {
		return r
	}
	who, host := "somebody", "a host without a name"
	if u, err := user.Current(); err == nil && u.Username != "" {
		who = u.Username
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		host = h
	}
	return fmt.Sprintf("by %s on %s via sluice %s", who, host, command)
}

// query are the parameters of a write; those that are false are left out.
func (w *writeFlags) query(more map[string]bool) url.Values {
	q := url.Values{}
	if w.dry {
		q.Set("dryRun", "true")
	}
	if w.confirm > 0 {
		q.Set("confirm", strconv.Itoa(w.confirm))
	}
	for name, yes := range more {
		if yes {
			q.Set(name, "true")
		}
	}
	return q
}

// tellDry says that nothing has happened, behind what would have.
func (a *app) tellDry(dry bool) {
	if dry {
		a.note("dry run: nothing was changed")
	}
}

// untilFlags say when an override ends.
type untilFlags struct{ at, lasts string }

func (u *untilFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&u.at, "expires", "", "until then: 2027-01-31T12:00:00Z, or without a zone in that of this machine")
	cmd.Flags().StringVar(&u.lasts, "for", "", "for this long: 90m, 2h, 7d")
}

// expires is nil for ever.
func (u *untilFlags) expires(cmd *cobra.Command) (*string, error) {
	var at time.Time
	switch {
	case cmd.Flags().Changed("for") && cmd.Flags().Changed("expires"):
		return nil, usage("--for and --expires exclude each other")
	case cmd.Flags().Changed("for"):
		d, err := parseSpan(u.lasts)
		if err != nil || d <= 0 {
			return nil, usage("--for %s: write 90m, 2h or 7d", u.lasts)
		}
		at = time.Now().Add(d)
	case cmd.Flags().Changed("expires"):
		var err error
		if at, err = parseTime(u.at); err != nil {
			return nil, usage("--expires %w", err)
		}
	default:
		return nil, nil
	}
	text := at.UTC().Format(time.RFC3339)
	return &text, nil
}

// maxSpanDays keeps a span within time.Duration.
const maxSpanDays = 100_000

// parseSpan reads a span as Go does, and days and weeks.
func parseSpan(text string) (time.Duration, error) {
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			count, err := strconv.Atoi(n)
			if err != nil || count < 0 || count > maxSpanDays/days {
				return 0, fmt.Errorf("%s is no span of time", text)
			}
			return time.Duration(count*days) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}

// parseTime reads a time; one without a zone is in that of this machine, as
// every clock that its reader looks at.
func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: write 2027-01-31T12:00:00Z, \"2027-01-31 12:00\" or 2027-01-31", text)
}

// timeText is a time in a table.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// clip cuts a cell of a table, so that one long text does not fold all lines.
func clip(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// terminal reports whether a person sits at the other end of the input.
func (a *app) terminal() bool { return onTerminal(a.stdin) }

// onTerminal reports whether a stream of this process is a terminal.
func onTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// confirm asks a person; a script, whose author has decided, is not asked.
func (a *app) confirm(question string) error {
	if !a.terminal() {
		return nil
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", printable(question))
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); err == nil && (answer == "y" || answer == "yes") {
		return nil
	}
	return exit(exitFindings, errors.New("nothing was changed: --yes does it without a question"))
}

// onlyFlags refuses flags that belong to another way of using a command.
func onlyFlags(cmd *cobra.Command, why string, names ...string) error {
	for _, n := range names {
		if cmd.Flags().Changed(n) {
			return usage("--%s %s", n, why)
		}
	}
	return nil
}
