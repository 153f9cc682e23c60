package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
)

// maxTries bounds a read-modify-write whose record others change meanwhile.
const maxTries = 5

// recordChange is what a set was asked for; nil fields keep what is there.
type recordChange struct {
	name, enabled   string
	login, mail     string // of a user; mail and logins are comma lists
	displayName     string
	logins          string // of a context
	list, add, drop string
	flags           func(string) bool
	listed          string // tags or permissions
}

func (ch *recordChange) check() error {
	if ch.flags("enabled") && ch.enabled != "true" && ch.enabled != "false" {
		return usage("--enabled %s: use true or false", ch.enabled)
	}
	if ch.flags(ch.listed) && (ch.flags("add-"+ch.listed) || ch.flags("remove-"+ch.listed)) {
		return usage("--%s names them all: leave --add-%s and --remove-%s out", ch.listed, ch.listed, ch.listed)
	}
	return nil
}

// apply returns what the record becomes; have is nil where there is none.
func (ch *recordChange) apply(have *directoryRecord) directoryRecord {
	want := directoryRecord{Enabled: true}
	if have != nil {
		want = *have
	}
	list := &want.Tags
	if ch.listed == "permissions" {
		list = &want.Permissions
	}
	if ch.flags("name") {
		want.Name = ch.name
	}
	if ch.flags("enabled") {
		want.Enabled = ch.enabled == "true"
	}
	if ch.flags("login") {
		want.Login = ch.login
	}
	if ch.flags("mail") {
		want.Mail = splitComma(ch.mail)
	}
	if ch.flags("display-name") {
		want.DisplayName = ch.displayName
	}
	if ch.flags("logins") {
		want.Logins = splitComma(ch.logins)
	}
	if ch.flags(ch.listed) {
		*list = splitComma(ch.list)
	}
	*list = slices.Clone(*list)
	for _, t := range splitComma(ch.add) {
		if !slices.Contains(*list, t) {
			*list = append(*list, t)
		}
	}
	gone := splitComma(ch.drop)
	*list = slices.DeleteFunc(*list, func(t string) bool { return slices.Contains(gone, t) })
	return want
}

func (d *directoryOf) setCmd() *cobra.Command {
	ch := recordChange{listed: "tags"}
	var w writeFlags
	more := "--name acme --add-tags premium"
	if d.noun == "user" {
		ch.listed, more = "permissions", "--enabled false --reason \"ticket 4711\""
	}
	cmd := &cobra.Command{
		Use:   "set " + d.id(),
		Short: "Create or change one",
		Long: fmt.Sprintf(`Creates a %s in the directory, or changes it: what no flag names stays as it is.
Where somebody else changes it at the same moment, it is read again and changed
then. Without --reason the audit log says "by USER on HOST via sluice %s set".`, d.noun, d.noun),
		Example: d.example("set", more),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			su, err := d.subject(args[0])
			if err != nil {
				return err
			}
			ch.flags = cmd.Flags().Changed
			if err := ch.check(); err != nil {
				return err
			}
			return d.set(su, &ch, &w)
		},
	}
	w.add(cmd, d.noun+" "+cmd.Name())
	f := cmd.Flags()
	if d.noun == "context" {
		f.StringVar(&ch.name, "name", "", "its name")
		f.StringVar(&ch.logins, "logins", "", "all its login mappings, comma separated")
	} else {
		f.StringVar(&ch.login, "login", "", "its login within the context")
		f.StringVar(&ch.mail, "mail", "", "all its mail addresses, comma separated")
		f.StringVar(&ch.displayName, "display-name", "", "its name as people read it")
	}
	f.StringVar(&ch.enabled, "enabled", "", "true or false: whether its users may connect")
	f.StringVar(&ch.list, ch.listed, "", "all its "+ch.listed+", comma separated")
	f.StringVar(&ch.add, "add-"+ch.listed, "", "more "+ch.listed+", comma separated")
	f.StringVar(&ch.drop, "remove-"+ch.listed, "", ch.listed+" that go, comma separated")
	return cmd
}

// set reads, changes and writes, on the condition that nobody else did so
// meanwhile.
func (d *directoryOf) set(su cascade.Subject, ch *recordChange, w *writeFlags) error {
	c, err := d.client("set")
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		have := new(directoryRecord)
		header := http.Header{}
		_, err := c.call(d.app, http.MethodGet, ownPath(su), nil, have)
		switch {
		case refused(err, "not_found", "deleted"):
			have = nil
			header.Set("If-None-Match", "*")
		case err != nil:
			return err
		default:
			header.Set("If-Match", `"`+strconv.FormatUint(have.Revision, 10)+`"`)
		}
		want := ch.apply(have)
		if have != nil && sameRecord(have, &want) {
			return d.unchanged(su, have)
		}
		body := map[string]any{"enabled": want.Enabled, "reason": w.why(d.noun + " set")}
		if d.noun == "user" {
			body["permissions"] = some(want.Permissions)
			body["login"], body["mail"], body["displayName"] = want.Login, some(want.Mail), want.DisplayName
		} else {
			body["name"], body["logins"], body["tags"] = want.Name, some(want.Logins), some(want.Tags)
		}
		var raw json.RawMessage
		_, err = c.callIf(d.app, http.MethodPut, ownPath(su)+"?"+w.query(nil).Encode(), header, body, &raw)
		if refused(err, "stale") && try < maxTries {
			d.note("%s was changed by somebody else meanwhile: reading it again", su)
			continue
		}
		if err != nil {
			return err
		}
		return d.wasSet(c, su, have == nil, w.dry, raw)
	}
}

func (d *directoryOf) wasSet(c *client, su cascade.Subject, created, dry bool, raw json.RawMessage) error {
	if d.json() {
		if err := d.printJSON(raw); err != nil {
			return err
		}
	} else {
		var r directoryRecord
		if err := c.understand(raw, &r); err != nil {
			return err
		}
		if created {
			d.printf("created: ")
		}
		d.showRecord(su, &r)
	}
	d.tellDry(dry)
	return nil
}

func (d *directoryOf) unchanged(su cascade.Subject, have *directoryRecord) error {
	if d.json() {
		all := map[string]any{"id": have.ID, "enabled": have.Enabled, "revision": have.Revision}
		if d.noun == "user" {
			all["context"], all["permissions"] = have.Context, some(have.Permissions)
			all["login"], all["mail"], all["displayName"] = have.Login, some(have.Mail), have.DisplayName
		} else {
			all["name"], all["logins"], all["tags"] = have.Name, some(have.Logins), some(have.Tags)
		}
		return d.printJSON(all)
	}
	d.printf("%s is so already: nothing to change\n", su)
	return nil
}

func sameRecord(a, b *directoryRecord) bool {
	return a.Name == b.Name && a.Enabled == b.Enabled && slices.Equal(a.Tags, b.Tags) && slices.Equal(a.Permissions, b.Permissions) &&
		slices.Equal(a.Logins, b.Logins) && a.Login == b.Login && slices.Equal(a.Mail, b.Mail) && a.DisplayName == b.DisplayName
}

// some is never null in JSON.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
