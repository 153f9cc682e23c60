package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/exchange"
)

// maxExportLine bounds a line of an export: a value of 256 KiB, escaped.
const maxExportLine = 4 << 20

func (a *app) exportCmd() *cobra.Command {
	to := ""
	cmd := &cobra.Command{
		Use:   "export [--to FILE]",
		Short: "Write the directory and the overrides as one YAML file",
		Long: `Writes contexts, users, tags and overrides of a running server as a directory
file, which import takes, and offline commands with --directory. The values of
secrets are written as ***; an import leaves those as they are. What was deleted
is not in it.

  sluice export --to directory.yml`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.onlyServer("export")
			if err != nil {
				return err
			}
			if a.json() {
				return a.exportTo(c, jsonLines{a.stdout})
			}
			if to == "" || to == "-" {
				return a.exportYAML(c, "stdout", a.stdout)
			}
			return wholeFile(to, func(w io.Writer) error { return a.exportYAML(c, to, w) })
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file to write; - or nothing: standard output")
	_ = cmd.MarkFlagFilename("to", "yml", "yaml")
	return cmd
}

// wholeFile leaves what stands in a file until the new contents are whole. Nobody else
// may read it.
func wholeFile(to string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(to), ".sluice-*")
	if err != nil {
		return exit(exitFindings, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // it is gone where it was renamed
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	var ee *exitError
	if err != nil && !errors.As(err, &ee) {
		err = exit(exitFindings, err)
	}
	return err
}

func (a *app) exportYAML(c *client, name string, w io.Writer) error {
	y := exchange.NewYAMLWriter(w, name)
	if err := a.exportTo(c, y); err != nil {
		return err
	}
	fs, err := y.Close()
	a.findings(fs)
	if err != nil {
		return exit(exitFindings, err)
	}
	return nil
}

// exported is a line of an export.
type exported struct {
	Context *struct {
		ID      uint32   `json:"id"`
		Name    string   `json:"name"`
		Logins  []string `json:"logins"`
		Enabled bool     `json:"enabled"`
		Tags    []string `json:"tags"`
	} `json:"context,omitempty"`
	User *struct {
		Context     uint32   `json:"context"`
		ID          uint32   `json:"id"`
		Enabled     bool     `json:"enabled"`
		Permissions []string `json:"permissions"`
		Login       string   `json:"login"`
		Mail        []string `json:"mail"`
		DisplayName string   `json:"displayName"`
	} `json:"user,omitempty"`
	Override *exportedOverride `json:"override,omitempty"`
	End      bool              `json:"end,omitempty"`
}

type exportedOverride struct {
	Context   uint32     `json:"context"`
	User      uint32     `json:"user,omitempty"`
	Property  string     `json:"property"`
	Value     string     `json:"value"`
	Final     string     `json:"final,omitempty"`
	Protected bool       `json:"protected,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Actor     string     `json:"actor,omitempty"`
	Time      *time.Time `json:"time,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
}

// exportTo hands a server's directory over. An answer without its last line is
// no export.
func (a *app) exportTo(c *client, sink exchange.Sink) error {
	c.http.Timeout = 0 // as long as it takes; a server that stops ends the stream
	res, err := c.open(a.ctx, http.MethodGet, "/admin/v1/export", nil, http.Header{})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxExportLine)
	for lines.Scan() {
		var x exported
		if err := c.understand(lines.Bytes(), &x); err != nil {
			return err
		}
		switch {
		case x.Context != nil:
			err = sink.Context(cascade.Context{ID: x.Context.ID, Name: x.Context.Name, Logins: x.Context.Logins, Enabled: x.Context.Enabled, Tags: x.Context.Tags})
		case x.User != nil:
			err = sink.User(cascade.User{
				Context: x.User.Context, ID: x.User.ID, Enabled: x.User.Enabled, Permissions: x.User.Permissions,
				Login: x.User.Login, Mails: x.User.Mail, DisplayName: x.User.DisplayName,
			})
		case x.Override != nil:
			err = sink.Override(x.Override.cascade())
		case x.End:
			return nil
		}
		if err != nil {
			return exit(exitFindings, err)
		}
	}
	return exit(exitUnreachable, fmt.Errorf("the export of %s ended early (%w): it is not whole; run it again", c.where, errors.Join(io.ErrUnexpectedEOF, lines.Err())))
}

func (x *exportedOverride) cascade() cascade.Override {
	o := cascade.Override{
		Key:   cascade.Key{Subject: cascade.Subject{Context: x.Context, User: x.User}, Property: x.Property},
		Value: x.Value, Final: x.Final, Protected: x.Protected, Reason: x.Reason, Actor: x.Actor,
	}
	if x.Time != nil {
		o.Time = *x.Time
	}
	if x.Expires != nil {
		o.Expires = *x.Expires
	}
	return o
}

// jsonLines writes a directory as a server takes and gives it, a line each.
type jsonLines struct{ w io.Writer }

func (j jsonLines) line(v any) error {
	enc := json.NewEncoder(j.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// exportedContext and exportedUser have their members in the order of the alphabet.
type exportedContext struct {
	Enabled bool     `json:"enabled"`
	ID      uint32   `json:"id"`
	Logins  []string `json:"logins,omitempty"`
	Name    string   `json:"name"`
	Tags    []string `json:"tags"`
}

type exportedUser struct {
	Context     uint32   `json:"context"`
	DisplayName string   `json:"displayName,omitempty"`
	Enabled     bool     `json:"enabled"`
	ID          uint32   `json:"id"`
	Login       string   `json:"login,omitempty"`
	Mails       []string `json:"mail,omitempty"`
	Permissions []string `json:"permissions"`
}

// exportedLine has one of the three.
type exportedLine struct {
	Context  *exportedContext  `json:"context,omitempty"`
	Override *exportedOverride `json:"override,omitempty"`
	User     *exportedUser     `json:"user,omitempty"`
}

// Context implements exchange.Sink.
func (j jsonLines) Context(c cascade.Context) error {
	return j.line(exportedLine{Context: &exportedContext{ID: c.ID, Name: c.Name, Enabled: c.Enabled, Tags: c.Tags, Logins: c.Logins}})
}

// User implements exchange.Sink.
func (j jsonLines) User(u cascade.User) error {
	return j.line(exportedLine{User: &exportedUser{
		Context: u.Context, ID: u.ID, Enabled: u.Enabled, Permissions: u.Permissions,
		Login: u.Login, Mails: u.Mails, DisplayName: u.DisplayName,
	}})
}

// Override implements exchange.Sink.
func (j jsonLines) Override(o cascade.Override) error {
	x := exportedOverride{
		Context: o.Context, User: o.User, Property: o.Property, Value: o.Value, Final: o.Final, Protected: o.Protected,
		Reason: o.Reason, Actor: o.Actor,
	}
	if !o.Time.IsZero() {
		x.Time = &o.Time
	}
	if !o.Expires.IsZero() {
		x.Expires = &o.Expires
	}
	return j.line(exportedLine{Override: &x})
}
