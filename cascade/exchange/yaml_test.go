package exchange

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

func emptySchema(t *testing.T) *cascade.Schema {
	t.Helper()
	s, err := cascade.NewSchema(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sample is a small directory: a context and a user that are known, and others
// of which there are only overrides.
func sample(name, property, value, reason, actor string, ms int64, bits uint8) []any {
	at := time.UnixMilli(ms)
	plain := func(context, user uint32) cascade.Override {
		return cascade.Override{Key: cascade.Key{Subject: cascade.Subject{Context: context, User: user}, Property: property}, Value: value}
	}
	rich := plain(7, 3)
	rich.Final = []string{"", cascade.ScopeUser, cascade.ScopeContext, cascade.ScopeServer}[bits&3]
	rich.Protected, rich.Reason, rich.Actor, rich.Time = bits&4 != 0, reason, actor, at
	if bits&8 != 0 {
		rich.Expires = at.Add(time.Hour)
	}
	list := []any{plain(5, 0), plain(5, 2), plain(6, 1)}
	if bits&16 == 0 {
		list = append(list, cascade.Context{ID: 7, Name: name, Enabled: bits&32 == 0, Tags: []string{"de", "7"}}, plain(7, 0), plain(7, 2))
	}
	list = append(list, cascade.User{Context: 7, ID: 3, Enabled: bits&64 == 0, Permissions: []string{"WebMail"}}, rich)
	return append(list, cascade.Context{ID: cascade.MaxID, Enabled: true})
}

func feed(sink Sink, list []any) error {
	for _, e := range list {
		var err error
		switch e := e.(type) {
		case cascade.Context:
			err = sink.Context(e)
		case cascade.User:
			err = sink.User(e)
		case cascade.Override:
			err = sink.Override(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// roundTrip writes and reads. What the writer refuses must not be valid.
func roundTrip(t *testing.T, list []any) {
	t.Helper()
	var out bytes.Buffer
	w := NewYAMLWriter(&out, "d.yml")
	err := feed(w, list)
	fs, closed := w.Close()
	if err != closed {
		t.Fatalf("%v, and then %v", err, closed)
	}
	if err != nil {
		valid := &bounds{}
		for _, e := range list {
			switch e := e.(type) {
			case cascade.Context:
				if valid.context(e) != nil || notUTF8("", e.Name) != nil {
					return
				}
			case cascade.Override:
				if valid.override(e) != nil || notUTF8("", e.Property, e.Value, e.Reason, e.Actor) != nil || e.Time.UTC().Year() < 0 || e.Expires.UTC().Year() > 9999 {
					return
				}
			}
		}
		t.Fatalf("refused: %v", err)
	}
	want, got := &entries{}, &entries{}
	if err := feed(want, list); err != nil {
		t.Fatal(err)
	}
	more, err := ReadYAML("d.yml", out.Bytes(), emptySchema(t), got)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(fs, more...) {
		if f.Code != yamlfile.CodeSuspiciousKey { // the name of the property is as it is
			t.Errorf("%s in\n%s", f, out.String())
		}
	}
	equal(t, out.String()+"reads", got.list, want.list)
}

func TestYAMLForm(t *testing.T) {
	var out bytes.Buffer
	w := NewYAMLWriter(&out, "d.yml")
	if err := feed(w, sample("acme", "com.openexchange.foo", "false", "a: b", "root", 1_700_000_000_123, 1|4|8|32|64)); err != nil {
		t.Fatal(err)
	}
	if fs, err := w.Close(); err != nil || len(fs) != 0 {
		t.Fatal(fs, err)
	}
	const want = `contexts:
  - id: 5
    known: false
    config:
      com.openexchange.foo: "false"
    users:
      - id: 2
        known: false
        config:
          com.openexchange.foo: "false"
  - id: 6
    known: false
    users:
      - id: 1
        known: false
        config:
          com.openexchange.foo: "false"
  - id: 7
    name: acme
    enabled: false
    tags: [de, "7"]
    config:
      com.openexchange.foo: "false"
    users:
      - id: 2
        known: false
        config:
          com.openexchange.foo: "false"
      - id: 3
        enabled: false
        permissions: [WebMail]
        config:
          com.openexchange.foo: {value: "false", final: user, protected: true, reason: "a: b", actor: root, time: 2023-11-14T22:13:20.123Z, expires: 2023-11-14T23:13:20.123Z}
  - id: 2147483647
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestEmptyYAML(t *testing.T) {
	roundTrip(t, nil)
}

// TestYAMLKeepsEverything writes directories of random size and odd texts.
func TestYAMLKeepsEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "B.c", "0", "1", ":", " ", "#", "-", "\"", "'", "\\", "\n", "\t", "\r", "\x00", "yes", "null", "~", "{", "]", ",", "ä", "😀", "\u2028", "\ufeff", "\u200b", "%", "@", "&", "*", "!", "|", ">", "="}
	odd := func() string {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	for range 300 {
		var list []any
		add := func(context, user uint32) {
			for i := range r.IntN(3) {
				o := cascade.Override{Key: cascade.Key{Subject: cascade.Subject{Context: context, User: user}, Property: fmt.Sprint("p", i, odd())}, Value: odd()}
				if r.IntN(2) == 0 {
					o.Reason, o.Actor, o.Protected = odd(), odd(), r.IntN(2) == 0
					o.Time = time.UnixMilli(r.Int64N(1 << 42))
				}
				list = append(list, o)
			}
		}
		for context := range uint32(r.IntN(5)) {
			context++
			if r.IntN(3) > 0 {
				list = append(list, cascade.Context{ID: context, Name: odd(), Enabled: r.IntN(2) == 0})
			}
			add(context, 0)
			for user := range uint32(r.IntN(4)) {
				user++
				if r.IntN(3) > 0 {
					list = append(list, cascade.User{Context: context, ID: user, Enabled: r.IntN(2) == 0})
				}
				add(context, user)
			}
		}
		if roundTrip(t, list); t.Failed() {
			return
		}
	}
}

func TestYAMLRefuses(t *testing.T) {
	context := cascade.Context{ID: 7, Enabled: true}
	user := cascade.User{Context: 7, ID: 3, Enabled: true}
	of := func(context, user uint32) cascade.Override {
		return cascade.Override{Key: cascade.Key{Subject: cascade.Subject{Context: context, User: user}, Property: "a"}, Value: "x"}
	}
	bad, late, long := of(7, 0), of(7, 0), of(7, 0)
	bad.Value, late.Expires, long.Value = "secret\xff", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), strings.Repeat("x", cascade.MaxValueLen+1)
	for _, c := range []struct {
		list []any
		want string
	}{
		{[]any{context, context}, "comes after context 7, or twice"},
		{[]any{context, cascade.Context{ID: 6}}, "context 6 comes after"},
		{[]any{context, user, user}, "user 3 in context 7 comes after"},
		{[]any{context, user, of(7, 2)}, "user 2 in context 7 comes after"},
		{[]any{context, user, of(7, 0)}, "context 7 comes after"},
		{[]any{context, of(7, 0), of(7, 0)}, "comes twice"},
		{[]any{bad}, "not valid UTF-8"},
		{[]any{late}, "the year of expires"},
		{[]any{long}, "longer than"},
		{[]any{cascade.Context{ID: 0}}, "is not an id"},
		{[]any{cascade.Context{ID: 7, Tags: []string{"a,b"}}}, "has a comma"},
	} {
		w := NewYAMLWriter(io.Discard, "d.yml")
		err := feed(w, c.list)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", c.list, err)
		}
		if _, closed := w.Close(); closed != err {
			t.Errorf("%v: closed with %v", c.list, closed)
		}
	}
}

// TestYAMLLeavesOutWordsThatNothingCanName: they have no effect anywhere.
func TestYAMLLeavesOutWordsThatNothingCanName(t *testing.T) {
	var out bytes.Buffer
	w := NewYAMLWriter(&out, "d.yml")
	if err := w.Context(cascade.Context{ID: 7, Enabled: true, Tags: []string{"web mail", "de"}}); err != nil {
		t.Fatal(err)
	}
	fs, err := w.Close()
	if err != nil || out.String() != "contexts:\n  - id: 7\n    tags: [de]\n" {
		t.Error(out.String(), err)
	}
	equal(t, "findings", brief(fs), []string{"d.yml:0:0 warning bad-tag"})
}

// TestYAMLStopsAtTheLimitOfTheReader: a file that nothing can read is no export.
func TestYAMLStopsAtTheLimitOfTheReader(t *testing.T) {
	w := NewYAMLWriter(io.Discard, "d.yml")
	value := strings.Repeat("x", cascade.MaxValueLen)
	for user := uint32(1); ; user++ {
		err := w.Override(cascade.Override{Key: cascade.Key{Subject: cascade.Subject{Context: 7, User: user}, Property: "a"}, Value: value})
		if err == errTooLarge {
			break
		}
		if err != nil || user > yamlfile.MaxDirectoryFile/cascade.MaxValueLen {
			t.Fatal(user, err)
		}
	}
}
