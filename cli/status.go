package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/httpapi"
)

// statusFindings is how many errors of files a screen has.
const statusFindings = 5

// readiness is the answer of /readyz.
type readiness struct {
	Status string
	Checks []struct{ Name, Status, Detail string }
}

// serverStatus is the answer of GET /admin/v1/config.
type serverStatus struct {
	Status   string
	Identity struct {
		Files, Overrides string
		Generation       uint64
	}
	Held    *cascade.Hold
	Pending []cascade.Pending
	Watch   struct{ Mode, Problem string }
	Loaded  time.Time
	Took    string
	Folders []finding.Finding // of roots and folders that are not read
	Files   []struct {
		Path, Status string
		Digest       string // of the contents in force; "": none
		Errors       []finding.Finding
	}
	Member, Version string
	Started         time.Time
	Directory       string
	Sessions        *int
	Sockets         int64
}

// overview is what status asks for; the raw answers are for -o json.
type overview struct {
	ready   readiness
	config  serverStatus
	store   storeAnswer
	members memberList

	readyRaw, configRaw, storeRaw, membersRaw json.RawMessage
}

// nextSteps are what to do about each check that /readyz fails.
var nextSteps = map[string]string{
	"files":    "correct what is listed below, then `sluice reload`",
	"watch":    "until then changes are found by the slow rescan (sluice.reload.rescanInterval), and by `sluice reload`",
	"lastGood": "make the state folder writable: without it a restart has no last good files",
	"cluster":  "look at Redis and com.openexchange.redis.*; `sluice members` shows who is seen",
	"platform": "look at sluice.platform.* and the grants; GET /admin/v1/platform lists the rows",
	"store":    "overrides cannot be changed until then: `sluice store` tells why",
	"gate":     "look at what has changed with `sluice explain` and `sluice audit`; the next change of files is counted again",
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status [--server URL]",
		Short: "Show the state of a running server on one screen",
		Long: `Shows the version, the configuration, the store, the sessions and sockets of a
running server and the members of its cluster, and what is wrong with a next step
for each. Ends with 1 where something is, with 3 where no server answers.`,
		Example: "  sluice status --server http://127.0.0.1:8012",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.onlyServer("status")
			if err != nil {
				return err
			}
			o, err := c.overview(a)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.printJSON(map[string]json.RawMessage{"readiness": o.readyRaw, "server": o.configRaw, "store": o.storeRaw, "members": o.membersRaw})
			} else {
				a.showStatus(o)
			}
			if err != nil {
				return err
			}
			if o.ready.Status != "ready" || len(o.members.Warnings) > 0 {
				return silent
			}
			return nil
		},
	}
}

func (c *client) overview(a *app) (*overview, error) {
	o := &overview{}
	for _, q := range []struct {
		path string
		raw  *json.RawMessage
		into any
	}{
		{"/readyz", &o.readyRaw, &o.ready},
		{"/admin/v1/config", &o.configRaw, &o.config},
		{"/admin/v1/store", &o.storeRaw, &o.store},
		{"/admin/v1/members", &o.membersRaw, &o.members},
	} {
		// One that starts or drains says so with 503.
		if _, err := c.call(a, http.MethodGet, q.path, nil, q.raw, http.StatusServiceUnavailable); err != nil {
			return nil, err
		}
		if err := c.understand(*q.raw, q.into); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (a *app) showStatus(o *overview) {
	s := &o.config
	a.printf("%s: %s, sluice %s, up %s", printable(s.Member), printable(o.ready.Status), printable(s.Version), sinceText(s.Started))
	if c := o.members.canary(); c != "" {
		a.printf("; %s", c)
	}
	a.printf("\n\n")
	count := func(noun string) string { return counted(int(o.store.Records[noun]), noun) }
	store := fmt.Sprintf("%s, %s, %s, %s, %s, %s", printable(o.store.Status), o.store.Head, count("context"), count("user"), count("override"), bytesText(o.store.Bytes))
	if s.Directory == "file" {
		store += "; it does not count: the directory is a file (--directory)"
	}
	sessions := "kept elsewhere"
	if s.Sessions != nil {
		sessions = strconv.Itoa(*s.Sessions)
	}
	sockets, members := s.Sockets, "alone"
	if o.members.Status != "alone" {
		sockets = 0
		alive := 0
		for _, m := range o.members.Members {
			if m.Alive {
				alive++
				sockets += m.Sockets
			}
		}
		members = fmt.Sprintf("%s %s, %d of %s alive", o.members.Cluster, o.members.Status, alive, counted(len(o.members.Members), "member"))
	}
	a.table("", [][]string{
		{"configuration", fmt.Sprintf("%s, generation %d, digest %s, %s", s.Status, s.Identity.Generation, httpapi.ShortDigest(o.digest()), counted(len(s.Files), "file"))},
		{"last reload", fmt.Sprintf("%s ago, took %s, watched by %s", sinceText(s.Loaded), printable(s.Took), printable(s.Watch.Mode))},
		{"store", store},
		{"sessions", sessions},
		{"sockets", fmt.Sprintf("%d here, %d in all", s.Sockets, sockets)},
		{"cluster", printable(members)},
	})
	for i, p := range s.Pending {
		if i == statusFindings {
			a.note("and %s that await a restart: GET /admin/v1/config lists them", counted(len(s.Pending)-i, "more value"))
			break
		}
		a.printf("\nrestart needed: %s\n", printable(p.String()))
	}
	if s.Held != nil {
		a.printf("\n")
		a.showHold(s.Held)
	}
	a.showTroubles(o)
}

// digest is the one that `sluice members` has for this member.
func (o *overview) digest() string {
	for _, m := range o.members.Members {
		if m.Self {
			return m.Digest
		}
	}
	return o.config.Identity.Files
}

// showTroubles tells what is wrong, each with what to do about it.
func (a *app) showTroubles(o *overview) {
	for _, c := range o.ready.Checks {
		if c.Status == "ok" || c.Name == "gate" && o.config.Held != nil {
			continue // showHold has told of it
		}
		a.printf("\n%s %s: %s\n", printable(c.Name), printable(c.Status), printable(strings.TrimSpace(c.Detail)))
		if next := nextSteps[c.Name]; next != "" && c.Status != "warning" {
			a.printf("  next: %s\n", next)
		}
	}
	for _, w := range o.members.Warnings {
		a.printf("\nmembers: %s\n", printable(w))
	}
	switch o.ready.Status {
	case "starting":
		a.printf("\nit starts: ask again in a moment\n")
	case "draining":
		a.printf("\nit stops: its clients go to other members\n")
	}
	shown, more := []finding.Finding{}, 0
	if len(o.config.Folders) > 1 { // one is told of above
		shown = append(shown, o.config.Folders[:min(len(o.config.Folders), statusFindings)]...)
		more = len(o.config.Folders) - len(shown)
	}
	for _, f := range o.config.Files {
		for _, e := range f.Errors {
			switch {
			case e.Severity != finding.Error && f.Status != cascade.FileHeld:
			case len(shown) >= statusFindings:
				more++
			default:
				if e.Path == "" {
					e.Path = f.Path
				}
				if f.Status == cascade.FileFailed {
					e.Text += failedForce[f.Digest != ""]
				}
				shown = append(shown, e)
			}
		}
	}
	a.findings(shown)
	if more > 0 {
		a.note("and %s: `sluice check --etc DIR` lists them", counted(more, "more error"))
	}
}

// failedForce says what counts of a file that does not load, by whether it has last
// good contents.
var failedForce = map[bool]string{
	true:  "; its last good contents are in force",
	false: "; nothing of it is in force",
}

func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " bytes"
	case n < 1<<20:
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}
