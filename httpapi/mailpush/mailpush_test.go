package mailpush

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestDecodeHeader(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"plain", "Hello", "Hello"},
		{"quoted-printable", "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=", "Jürgen Müller"},
		{"base64", "=?utf-8?B?w4Rwb3N0cm9waCAiVGVzdCIgXCDinJM=?=", `Äpostroph "Test" \ ✓`},
		{"base64 without padding", "=?utf-8?b?w4Q?=", "Ä"},
		{"text around", "Re: =?iso-8859-1?q?Gr=FC=DFe?= again", "Re: Grüße again"},
		{"blanks between words go", "=?utf-8?q?a?= \n =?utf-8?q?b?=", "ab"},
		{"a character split over two words", "=?utf-8?B?8J+Y?= =?utf-8?B?gA==?=", "😀"},
		{"the same in quoted-printable", "=?utf-8?q?=F0=9F?=\n =?utf-8?q?=98=80?=", "😀"},
		{"two charsets", "=?iso-8859-1?q?=E4?= =?utf-8?q?=C3=B6?=", "äö"},
		{"iso-2022-jp", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"windows-1251", "=?windows-1251?q?=CF=F0=E8=E2=E5=F2?=", "Привет"},
		{"gb2312", "=?gb2312?B?xOO6ww==?=", "你好"},
		{"language", "=?utf-8*de?q?=C3=BC?=", "ü"},
		{"blanks inside a word", "=?utf-8?q?two words?=", "two words"},
		{"unknown charset, UTF-8 inside", "=?x-none?q?=C3=BC?=", "ü"},
		{"unknown charset, other bytes inside", "=?x-none?q?=FC?=", "ü"},
		{"said to be UTF-8 and is not", "=?utf-8?q?M=FCller?=", "Müller"},
		{"said to be ASCII and is not", "=?us-ascii?q?M=C3=BCller?=", "Müller"},
		{"broken base64 stays", "=?utf-8?B?%%%?=", "=?utf-8?B?%%%?="},
		{"broken escape stays", "=?utf-8?q?100=?=", "100="},
		{"no end", "=?utf-8?q?abc", "=?utf-8?q?abc"},
		{"folded", "a long\n subject", "a long subject"},
		{"raw 8-bit, as Dovecot passes it on", "caf\ufffd", "caf\ufffd"},
		{"control characters", "a\u0001b\u009fc\td", "abc d"},
		{"empty", "", ""},
	} {
		if got := DecodeHeader(c.raw); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParseFrom(t *testing.T) {
	for _, c := range []struct{ raw, address, name string }{
		{"anna@example.org", "anna@example.org", ""},
		{"=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.org>", "juergen@example.org", "Jürgen Müller"},
		{`"=?utf-8?Q?J=C3=BCrgen?=" <j@example.org>`, "j@example.org", "Jürgen"},
		{"=?utf-8?B?8J+Y?=\n =?utf-8?B?gA==?= <smile@example.org>", "smile@example.org", "😀"},
		{`"Doe, John" <john@example.org>, second@example.org`, "john@example.org", "Doe, John"},
		{"Team: one@example.org, two@example.org;", "one@example.org", ""},
		{"undisclosed-recipients:;", "undisclosed-recipients:;", ""},
		{"not an address", "not an address", ""},
		{"=?utf-8?q?=C3=BC?= without one", "ü without one", ""},
		{"", "", ""},
	} {
		address, name := ParseFrom(c.raw)
		if address != c.address || name != c.name {
			t.Errorf("%q: %q, %q, want %q, %q", c.raw, address, name, c.address, c.name)
		}
	}
}

func TestNotification(t *testing.T) {
	const whole = `{"user":"4@464646669","event":"messageNew","folder":"INBOX","imap-uidvalidity":1795347842,"imap-uid":2,` +
		`"from":"=?utf-8?Q?J=C3=BCrgen?= <j@example.org>","subject":"=?utf-8?q?=C3=9Cbung?=","snippet":"Hey\u0001 you","unseen":2}`
	for _, c := range []struct{ name, body, data, err string }{
		{"whole", whole, `{"displayname":"Jürgen","email":"j@example.org","folder":"default0/INBOX","id":"2","subject":"Übung","teaser":"Hey you","unread":2}`, ""},
		{"least", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":0}`, `{"folder":"default0/INBOX","id":"0"}`, ""},
		{"numbers as texts", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":"7","unseen":"3"}`, `{"folder":"default0/INBOX","id":"7","unread":3}`, ""},
		{"empty subject and body", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":7,"subject":"","snippet":""}`, `{"folder":"default0/INBOX","id":"7","subject":"","teaser":""}`, ""},
		{"unseen below 0", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":7,"unseen":-1}`, `{"folder":"default0/INBOX","id":"7"}`, ""},
		{"no JSON", `<html>`, "", "is not the JSON of Dovecot's ox driver"},
		{"empty", ``, "", "is not the JSON"},
		{"no user", `{"event":"messageNew","folder":"INBOX","imap-uid":7}`, "", `has no "user"`},
		{"no folder", `{"user":"4@1","event":"messageNew","imap-uid":7}`, "", `has no "folder"`},
		{"no uid", `{"user":"4@1","event":"messageNew","folder":"INBOX"}`, "", `has no "imap-uid"`},
		{"uid of letters", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":"x"}`, "", `"imap-uid" of the notification is no number of IMAP: "x"`},
		{"uid too large", `{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":4294967296}`, "", "is no number of IMAP"},
		{"user a number", `{"user":4,"event":"messageNew","folder":"INBOX","imap-uid":7}`, "", "is not the JSON"},
		{"no UTF-8", "{\"user\":\"\xff\"}", "", "is not UTF-8"},
	} {
		n, err := Parse([]byte(c.body))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if data, _ := json.Marshal(n.Data()); string(data) != c.data {
			t.Errorf("%s:\n%s, want\n%s", c.name, data, c.data)
		}
	}
	if n, err := Parse([]byte(`{"user":"4@1","event":"flagsSet","folder":""}`)); err != nil || n.Event != "flagsSet" {
		t.Errorf("another event: %v %v", n, err)
	}
}

// TestLongSubject holds that a huge subject is cut between two characters.
func TestLongSubject(t *testing.T) {
	n := &Notification{HasSubject: true, Subject: strings.Repeat("ü", 500_000)}
	s := n.Data()["subject"].(string)
	if len(s) > MaxSubject || len(s) < MaxSubject-utf8.UTFMax || !utf8.ValidString(s) {
		t.Errorf("%d bytes, valid %v", len(s), utf8.ValidString(s))
	}
}

func TestKey(t *testing.T) {
	key := func(n Notification) string { k, _ := n.Key(); return k }
	a := Notification{User: "A@x", Folder: "INBOX", UIDValidity: 1, UID: 2}
	b := a
	b.User = "a@x"
	if key(a) != key(b) {
		t.Error("logins differ by letter case only")
	}
	for _, other := range []Notification{{User: "b@x", Folder: "INBOX", UIDValidity: 1, UID: 2}, {User: "a@x", Folder: "inbox", UIDValidity: 1, UID: 2}, {User: "a@x", Folder: "INBOX", UIDValidity: 2, UID: 2}, {User: "a@x", Folder: "INBOX", UIDValidity: 1, UID: 3}} {
		if key(other) == key(a) {
			t.Errorf("%+v has the key of another mail", other)
		}
	}
	if _, ok := (&Notification{}).Key(); ok {
		t.Error("a mail without a number has a key")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"user":"4@1","event":"messageNew","folder":"INBOX","imap-uid":2,"from":"=?utf-8?Q?J=C3?= =?utf-8?Q?=BC?= <a@b>","subject":"=?gb2312?B?xOO6ww==?=","snippet":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := Parse(body)
		if err != nil || n.Event != NewMail {
			return
		}
		for k, v := range n.Data() {
			s, ok := v.(string)
			if !ok {
				continue
			}
			if !utf8.ValidString(s) {
				t.Errorf("%s is not UTF-8: %q", k, s)
			}
			if k != "folder" && strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%s has control characters: %q", k, s)
			}
		}
	})
}
