package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tagexpr"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// YAMLWriter writes a directory file, and holds none of it in memory. As a Sink
// it takes contexts by ascending id; after each its overrides, then its users by
// ascending id, each followed by the user's overrides. An override whose context
// or user did not come before it makes an entry with `known: false`. The first
// error stays: the file is then good for nothing.
type YAMLWriter struct {
	bounds
	report
	out     *bufio.Writer
	name    string
	size    int
	err     error
	now     cascade.Subject     // whose entry is being written
	started bool                // the list of contexts
	users   bool                // the list of users of the context
	config  map[string]struct{} // properties of the entry; not nil: the map of overrides is open
}

// NewYAMLWriter writes to w; the name stands in findings. Close ends the file.
func NewYAMLWriter(w io.Writer, name string) *YAMLWriter {
	return &YAMLWriter{out: bufio.NewWriter(w), name: name}
}

// Indentation of the two kinds of entry.
const (
	contextIndent = "    "
	userIndent    = "        "
)

// Context starts the entry of a context.
func (w *YAMLWriter) Context(c cascade.Context) error {
	if w.err == nil {
		w.fail(w.bounds.context(c))
		w.fail(notUTF8(fmt.Sprintf("context %d", c.ID), slices.Concat([]string{c.Name}, c.Logins, c.Tags)...))
	}
	w.startContext(c.ID)
	if c.Name != "" {
		w.print(contextIndent, "name: ", scalar(c.Name), "\n")
	}
	w.texts(contextIndent, "logins", c.Logins)
	w.enabled(contextIndent, c.Enabled)
	w.words(contextIndent, "tags", c.Tags)
	return w.err
}

// User starts the entry of a user.
func (w *YAMLWriter) User(u cascade.User) error {
	if w.err == nil {
		w.fail(w.bounds.user(u))
		w.fail(notUTF8(fmt.Sprintf("user %d in context %d", u.ID, u.Context), slices.Concat(u.Permissions, []string{u.Login, u.DisplayName}, u.Mails)...))
	}
	w.startUser(cascade.Subject{Context: u.Context, User: u.ID})
	w.enabled(userIndent, u.Enabled)
	w.words(userIndent, "permissions", u.Permissions)
	if u.Login != "" {
		w.print(userIndent, "login: ", scalar(u.Login), "\n")
	}
	w.texts(userIndent, "mail", u.Mails)
	if u.DisplayName != "" {
		w.print(userIndent, "displayName: ", scalar(u.DisplayName), "\n")
	}
	return w.err
}

// Override adds to the entry of its context or user.
func (w *YAMLWriter) Override(o cascade.Override) error {
	if w.err == nil {
		w.fail(w.bounds.override(o))
		w.fail(notUTF8(fmt.Sprintf("the override of %q for %s", o.Property, o.Subject), o.Property, o.Value, o.Reason, o.Actor))
	}
	indent := contextIndent
	if o.User != 0 {
		indent = userIndent
	}
	if o.Subject != w.now {
		if o.User == 0 {
			w.startContext(o.Context)
		} else {
			w.startUser(o.Subject)
		}
		w.print(indent, "known: false\n")
	}
	if w.config == nil {
		w.config = map[string]struct{}{}
		w.print(indent, "config:\n")
	}
	if _, again := w.config[o.Property]; again {
		w.fail(fmt.Errorf("%q for %s comes twice", o.Property, o.Subject))
	}
	w.config[o.Property] = struct{}{}
	indent += "  "
	if key := scalar(o.Property); len(key) > maxSimpleKey {
		w.print(indent, "? ", key, "\n", indent, ": ")
	} else {
		w.print(indent, key, ": ")
	}
	w.print(w.body(&o), "\n")
	return w.err
}

// body is the value, or a map of it and what else there is.
func (w *YAMLWriter) body(o *cascade.Override) string {
	var more strings.Builder
	field := func(name, text string) {
		if text != "" {
			more.WriteString(", " + name + ": " + text)
		}
	}
	text := func(name, s string) {
		if s != "" {
			field(name, scalar(s))
		}
	}
	at := func(name string, t time.Time) {
		if t.IsZero() {
			return
		}
		t = t.UTC()
		if t.Year() < 0 || t.Year() > 9999 { // four digits in RFC 3339
			w.fail(fmt.Errorf("the override of %q for %s: the year of %s is not 0 to 9999", o.Property, o.Subject, name))
			return
		}
		field(name, t.Format(time.RFC3339Nano))
	}
	text("final", o.Final)
	if o.Protected {
		field("protected", "true")
	}
	text("reason", o.Reason)
	text("actor", o.Actor)
	at("time", o.Time)
	at("expires", o.Expires)
	if more.Len() == 0 {
		return scalar(o.Value)
	}
	return "{value: " + scalar(o.Value) + more.String() + "}"
}

// Close writes what is left. The findings name tags that no expression could
// name and that the file therefore does not have.
func (w *YAMLWriter) Close() ([]finding.Finding, error) {
	if !w.started {
		w.print("contexts: []\n")
	}
	if w.err == nil {
		w.fail(w.out.Flush())
	}
	return w.done(), w.err
}

func (w *YAMLWriter) startContext(id uint32) {
	if id <= w.now.Context {
		w.fail(fmt.Errorf("context %d comes after context %d, or twice", id, w.now.Context))
	}
	if !w.started {
		w.print("contexts:\n")
		w.started = true
	}
	w.now, w.users, w.config = cascade.Subject{Context: id}, false, nil
	w.print("  - id: ", fmt.Sprint(id), "\n")
}

func (w *YAMLWriter) startUser(su cascade.Subject) {
	if su.Context != w.now.Context {
		w.startContext(su.Context)
		w.print(contextIndent, "known: false\n")
	}
	if su.User <= w.now.User {
		w.fail(fmt.Errorf("%s comes after %s, or twice", su, w.now))
	}
	if !w.users {
		w.print(contextIndent, "users:\n")
		w.users = true
	}
	w.now, w.config = su, nil
	w.print(contextIndent, "  - id: ", fmt.Sprint(su.User), "\n")
}

func (w *YAMLWriter) enabled(indent string, on bool) {
	if !on {
		w.print(indent, "enabled: false\n")
	}
}

// texts writes logins or mail addresses.
func (w *YAMLWriter) texts(indent, field string, list []string) {
	items := make([]string, len(list))
	for i, text := range list {
		items[i] = scalar(text)
	}
	if len(items) > 0 {
		w.print(indent, field, ": [", strings.Join(items, ", "), "]\n")
	}
}

// words writes tags or permissions.
func (w *YAMLWriter) words(indent, field string, list []string) {
	var items []string
	for _, word := range list {
		if !tagexpr.ValidTag(word) {
			w.add(finding.Finding{
				Path: w.name, Severity: finding.Warning, Code: codeBadTag,
				Text: fmt.Sprintf("%s of %s: %s is no word that an expression can name, and is left out", field, w.now, finding.Quote(word)),
			})
			continue
		}
		if strings.Contains(word, ",") { // the reader splits there
			w.fail(fmt.Errorf("%s of %s: %s has a comma, which no word in a directory file can have; rename it", field, w.now, finding.Quote(word)))
		}
		items = append(items, scalar(word))
	}
	if len(items) > 0 {
		w.print(indent, field, ": [", strings.Join(items, ", "), "]\n")
	}
}

// errTooLarge is returned before a file is made that no reader takes.
var errTooLarge = fmt.Errorf("the directory has more than %d bytes, which is the limit of a directory file", yamlfile.MaxDirectoryFile)

func (w *YAMLWriter) print(parts ...string) {
	for _, s := range parts {
		if w.err != nil {
			return
		}
		if w.size += len(s); w.size > yamlfile.MaxDirectoryFile {
			w.err = errTooLarge
			return
		}
		_, w.err = w.out.WriteString(s)
	}
}

func (w *YAMLWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

var errUTF8 = errors.New("not valid UTF-8, which YAML cannot hold; set it anew")

func notUTF8(what string, texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%s: a text in it is %w", what, errUTF8) // not shown: it may be a secret
		}
	}
	return nil
}
