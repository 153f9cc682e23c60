// Package mailpush turns what Dovecot's `ox` push driver tells of a new mail into
// what browsers are told: it reads the notification, decodes the raw headers in
// it, and knows nothing of HTTP, sockets or users.
package mailpush

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Topic is the event of a new mail, and PathFilter names the sockets that get
// it: those of the App Suite's UI.
const (
	Topic      = "ox:mail:new"
	PathFilter = "/socket.io/appsuite/*"
)

// Bounds of what reaches a browser, in bytes; the rest is cut at a character's
// boundary. What people see of a notification is shorter.
const (
	MaxSubject = 1000
	MaxAddress = 320 // RFC 5321: 64 before the @, 255 after it
	MaxName    = 500
	MaxTeaser  = 1000 // Dovecot sends 200 characters
	maxFolder  = 1000 // of the name of a mailbox; longer ones are refused, since a cut one names another
	maxUser    = 1000
)

// Notification is one of the driver's. Versions 2.3 and 2.4 of Dovecot send the
// same fields.
type Notification struct {
	User        string
	Event       string
	Folder      string
	UIDValidity uint64
	UID         uint64 // 0: Dovecot did not know it
	From        string // raw header value, as Subject; "" and no HasFrom: the mail has none
	Subject     string
	Snippet     string
	Unseen      int64

	HasFrom, HasSubject, HasSnippet, HasUnseen bool
}

// NewMail is the value of Event that is a new mail.
const NewMail = "messageNew"

// number takes what the driver sends, and texts of digits, which its
// documentation shows.
type number string

func (n *number) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 1 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	*n = number(s)
	return nil
}

// Parse reads the body of a notification. The error says what is wrong with it.
// Fields that are not known are passed over: later drivers may send more.
func Parse(body []byte) (*Notification, error) {
	var w struct {
		User        *string `json:"user"`
		Event       *string `json:"event"`
		Folder      *string `json:"folder"`
		UIDValidity number  `json:"imap-uidvalidity"`
		UID         *number `json:"imap-uid"`
		From        *string `json:"from"`
		Subject     *string `json:"subject"`
		Snippet     *string `json:"snippet"`
		Unseen      *number `json:"unseen"`
	}
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("the notification is not UTF-8")
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &w); err != nil {
		return nil, fmt.Errorf("the notification is not the JSON of Dovecot's ox driver: %w", err)
	}
	n := &Notification{}
	for _, f := range []struct {
		name  string
		value *string
		into  *string
		limit int
	}{{"user", w.User, &n.User, maxUser}, {"event", w.Event, &n.Event, maxUser}, {"folder", w.Folder, &n.Folder, maxFolder}} {
		switch {
		case f.value == nil:
			return nil, fmt.Errorf("the notification has no %q", f.name)
		case len(*f.value) > f.limit:
			return nil, fmt.Errorf("%q of the notification has more than %d bytes", f.name, f.limit)
		}
		*f.into = *f.value
	}
	if n.Event != NewMail {
		return n, nil
	}
	if n.Folder == "" {
		return nil, fmt.Errorf("\"folder\" of the notification is empty")
	}
	if w.UID == nil {
		return nil, fmt.Errorf("the notification has no \"imap-uid\"")
	}
	var err error
	if n.UID, err = strconv.ParseUint(string(*w.UID), 10, 32); err != nil {
		return nil, fmt.Errorf("\"imap-uid\" of the notification is no number of IMAP: %.50q", string(*w.UID))
	}
	if w.UIDValidity != "" {
		if n.UIDValidity, err = strconv.ParseUint(string(w.UIDValidity), 10, 32); err != nil {
			return nil, fmt.Errorf("\"imap-uidvalidity\" of the notification is no number of IMAP: %.50q", string(w.UIDValidity))
		}
	}
	if w.Unseen != nil {
		// A count that cannot be read is left out: the mail is new all the same.
		n.Unseen, err = strconv.ParseInt(string(*w.Unseen), 10, 32)
		n.HasUnseen = err == nil && n.Unseen >= 0
	}
	take := func(from *string, into *string, has *bool) {
		if from != nil {
			*into, *has = *from, true
		}
	}
	take(w.From, &n.From, &n.HasFrom)
	take(w.Subject, &n.Subject, &n.HasSubject)
	take(w.Snippet, &n.Snippet, &n.HasSnippet)
	return n, nil
}

// Data is the argument of the event that browsers get. A field whose source the
// notification lacks is absent.
func (n *Notification) Data() map[string]any {
	d := map[string]any{"folder": "default0/" + n.Folder, "id": strconv.FormatUint(n.UID, 10)}
	if n.HasFrom {
		address, name := ParseFrom(n.From)
		d["email"] = Cut(address, MaxAddress)
		if name != "" {
			d["displayname"] = Cut(name, MaxName)
		}
	}
	if n.HasSubject {
		d["subject"] = Cut(DecodeHeader(n.Subject), MaxSubject)
	}
	if n.HasUnseen {
		d["unread"] = n.Unseen
	}
	if n.HasSnippet {
		d["teaser"] = Cut(clean(n.Snippet), MaxTeaser)
	}
	return d
}

// Key tells one mail from another, for the same notification that comes twice;
// ok is false where Dovecot did not know the mail's number.
func (n *Notification) Key() (key string, ok bool) {
	return fmt.Sprintf("mail:%s\x00%s\x00%d\x00%d", strings.ToLower(n.User), n.Folder, n.UIDValidity, n.UID), n.UID > 0
}
