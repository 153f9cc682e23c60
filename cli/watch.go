package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

const (
	// watchRetry is how long to wait before a stream that ended is asked for
	// again.
	watchRetry = 2 * time.Second
	// watchSilence is after how long without a word a server is given up: it says
	// that it lives each 15 s.
	watchSilence = 45 * time.Second
	// maxEventLine bounds a line of the stream: a change of a value is at most
	// some times its bound of 256 KiB.
	maxEventLine = 4 << 20
)

func (a *app) watchCmd() *cobra.Command {
	var su subjectFlags
	var kinds []string
	var limit time.Duration
	var count int
	here := false
	cmd := &cobra.Command{
		Use:   "watch [--context C [--user U]] [--kinds K,...]",
		Short: "Show what happens, as it happens",
		Long: `Shows what happens in the cluster until it is interrupted: files that were read
(config), overrides and the directory (override, directory), tokens (token),
sockets (socket), members that come and go, or whose configuration is another one
(member), and who is switched off on a member alone while the store cannot be
asked (closing). --here leaves out what happens on other members. A server that
goes away is asked again; what happened there meanwhile follows, as far as it
still has it.

  sluice watch --context 1337 --user 17 --kinds socket,override`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			subject, err := su.subject(a, cmd)
			if err != nil {
				return err
			}
			if limit < 0 || count < 0 {
				return usage("--for %s --count %d: a limit is positive, or 0 for none", limit, count)
			}
			c, err := a.onlyServer("watch")
			if err != nil {
				return err
			}
			q := url.Values{}
			if !here {
				q.Set("cluster", "true")
			}
			if len(kinds) > 0 {
				q.Set("kinds", strings.Join(kinds, ","))
			}
			if subject.Context != 0 {
				q.Set("context", fmt.Sprint(subject.Context))
			}
			if subject.User != 0 {
				q.Set("user", fmt.Sprint(subject.User))
			}
			ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			w := &watch{a: a, c: c, path: "/admin/v1/events?" + q.Encode(), left: count}
			c.http.Timeout = 0 // a stream has no end
			return w.run(ctx)
		},
	}
	su.add(cmd)
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, "config, override, directory, token, socket, member, closing")
	cmd.Flags().DurationVar(&limit, "for", 0, "end after this time")
	cmd.Flags().BoolVar(&here, "here", false, "of the server that is asked alone")
	cmd.Flags().IntVar(&count, "count", 0, "end after this many events")
	return cmd
}

// watch is one run of the command.
type watch struct {
	a    *app
	c    *client
	path string
	last string // id to go on after
	left int    // events to come; 0: no limit
	seen bool   // the server has streamed before
}

var (
	errWatched = errors.New("enough")
	errSilent  = fmt.Errorf("nothing came for %s", watchSilence)
)

func (w *watch) run(ctx context.Context) error {
	for told := false; ; {
		came, err := w.stream(ctx)
		var ended *exitError
		switch {
		case ctx.Err() != nil || errors.Is(err, errWatched):
			return nil
		case errors.As(err, &ended) && (!w.seen || ended.code != exitUnreachable):
			return err
		}
		if told = told && !came; !told {
			w.a.note("the stream has ended: trying again until the server is back")
			told = true
		}
		t := time.NewTimer(watchRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// stream follows one connection; came tells that there was one.
func (w *watch) stream(ctx context.Context) (came bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if w.last != "" {
		header.Set("Last-Event-ID", w.last)
	}
	res, err := w.c.open(ctx, http.MethodGet, w.path, nil, header)
	if err != nil {
		// A server that drains, and a proxy before one that is gone, say so.
		if w.seen && res != nil && res.StatusCode >= http.StatusInternalServerError {
			err = exit(exitUnreachable, err)
		}
		return false, err
	}
	defer res.Body.Close()
	w.seen = true
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEventLine)
	var id, kind, data string
	for lines.Scan() {
		silence.Reset(watchSilence)
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != "" {
				if err := w.show(id, kind, data); err != nil {
					return true, err
				}
			}
			if id != "" {
				w.last = id
			}
			id, kind, data = "", "", ""
		case field == "id":
			id = value
		case field == "event":
			kind = value
		case field == "data":
			data = value
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return true, exit(exitFindings, fmt.Errorf("an event has more than %d bytes: leave its kind out with --kinds", maxEventLine))
	}
	return true, nil // however a connection ends, there is another
}

func (w *watch) show(id, kind, data string) error {
	if w.a.json() {
		w.a.printf("{\"id\":%q,\"kind\":%q,\"data\":%s}\n", id, kind, data)
	} else if err := w.line(kind, data); err != nil {
		return err
	}
	if kind == "reset" {
		return nil
	}
	if w.left--; w.left == 0 {
		return errWatched
	}
	return nil
}

// watched is what the text form shows of all kinds.
type watched struct {
	Time       time.Time
	What       string
	Why        string
	Member     string
	Context    *uint32
	User       *uint32
	Connection string
	Path       string
	Cause      string
	Code       int
	Generation uint64
	Digest     string
	Degraded   bool
	Changed    []struct{ Property, Old, New, Result, Because string }
	More       int
	Actor      string
	Reason     string
	Action     string
	Name       string
	Revision   uint64
	After      *struct{ Value *string }
}

func (w *watch) line(kind, data string) error {
	if kind == "reset" {
		w.a.note("what happened before is not known here any more: the server has started again, or it was too much")
		return nil
	}
	var e watched
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return exit(exitFindings, fmt.Errorf("an event is not what this version understands: %w", err))
	}
	var text string
	switch kind {
	case "config":
		status := "ok"
		if e.Degraded {
			status = "degraded"
		}
		text = fmt.Sprintf("%sgeneration %d, %s", spaced(e.Member), e.Generation, status)
		for _, c := range e.Changed {
			text += fmt.Sprintf("; %s: %s -> %s", c.Property, orNone(c.Old), orNone(c.New))
			if c.Result != cascade.Applied {
				text += " (" + c.Result + ")"
			}
		}
		if e.More > 0 {
			text += fmt.Sprintf("; and %d more", e.More)
		}
	case "socket":
		text = fmt.Sprintf("%s %s%s %s", e.What, e.subject(), e.Connection, e.Path)
		if e.Member != "" {
			text += " on " + e.Member
		}
		if e.Cause != "" {
			text += fmt.Sprintf(": %s", e.Cause)
		}
		if e.Code != 0 {
			text += fmt.Sprintf(" (%d)", e.Code)
		}
	case "member":
		text = e.What + " " + e.Member
	case "closing":
		text = fmt.Sprintf("%s %s%sby %s", e.What, e.subject(), spaced(e.Name), e.Actor)
		if e.Reason != "" {
			text += " (" + e.Reason + ")"
		}
		text += ": " + e.Why
	default:
		text = fmt.Sprintf("%s %s%s by %s", e.Action, e.subject(), e.Name, e.Actor)
		if e.After != nil && e.After.Value != nil {
			text += ": " + *e.After.Value
		}
		if e.Reason != "" {
			text += " (" + e.Reason + ")"
		}
	}
	w.a.printf("%s  %-9s %s\n", e.Time.Local().Format(time.DateTime), kind, printable(text))
	return nil
}

// spaced has a text stand before another one.
func spaced(s string) string {
	if s == "" {
		return ""
	}
	return s + " "
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func (e *watched) subject() string {
	switch {
	case e.Context == nil:
		return ""
	case e.User == nil:
		return fmt.Sprintf("context %d ", *e.Context)
	}
	return fmt.Sprintf("user %d in context %d ", *e.User, *e.Context)
}
