package platform

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

func ptr(s string) *string { return &s }

// TestWriteStoresAsThePlatformDoes writes attributes, and looks at the rows.
func TestWriteStoresAsThePlatformDoes(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("INSERT INTO oxdb_5.contextAttribute (cid, name, value) VALUES (13, 'config/" + enabled + "', 'true; final=context;protected=true'), (16, 'config/x', 'y'), (14, 'config/COM.openexchange.websockets.enabled', 'true')")
	s.sql("INSERT INTO oxdb_5.user_attribute (cid, id, name, value) VALUES (12, 9, 'config/" + enabled + "', 'true')")
	row := func(schema, table, where string) string {
		return s.sql("SELECT value FROM " + schema + "." + table + " WHERE " + where + " AND name = 'config/" + enabled + "'")
	}
	for _, c := range []struct {
		what          string
		su            cascade.Subject
		value         *string
		schema, where string
		before, after string // "-": none
	}{
		{"a context's first", cascade.Subject{Context: 12}, ptr("false"), "oxdb_5", "cid = 12", "-", "false; protected=false"},
		{"a context's second", cascade.Subject{Context: 12}, ptr("true"), "oxdb_5", "cid = 12", "false; protected=false", "true; protected=false"},
		{"metadata stay", cascade.Subject{Context: 13}, ptr("false"), "oxdb_5", "cid = 13", "true; final=context;protected=true", "false; final=context;protected=true"},
		{"another schema", cascade.Subject{Context: 16}, ptr("a;b%\tü"), "oxdb_6", "cid = 16", "-", `a%3Bb%25\\t\\u00fc; protected=false`},
		{"a user's first", cascade.Subject{Context: 12, User: 2}, ptr("false"), "oxdb_5", "cid = 12 AND id = 2", "-", "false"},
		{"a user's second", cascade.Subject{Context: 12, User: 9}, ptr("false"), "oxdb_5", "cid = 12 AND id = 9", "true", "false"},
		{"a user's removed", cascade.Subject{Context: 12, User: 9}, nil, "oxdb_5", "cid = 12 AND id = 9", "false", "-"},
		{"a context's removed", cascade.Subject{Context: 12}, nil, "oxdb_5", "cid = 12", "true; protected=false", "-"},
	} {
		table := "contextAttribute"
		if c.su.User != 0 {
			table = "user_attribute"
		}
		recorded := ""
		text := func(p *string) string {
			if p == nil {
				return "-"
			}
			return *p
		}
		w := Write{Subject: c.su, Property: enabled, Value: c.value, Record: func(ch Change) error {
			recorded = text(ch.Before) + " -> " + text(ch.After)
			return nil
		}}
		w.DryRun = true
		was := row(c.schema, table, c.where)
		if _, err := s.p.Write(t.Context(), w); err != nil || recorded != "" || row(c.schema, table, c.where) != was {
			t.Errorf("%s: a dry run: %v, recorded %q", c.what, err, recorded)
		}
		w.DryRun = false
		ch, err := s.p.Write(t.Context(), w)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		got := row(c.schema, table, c.where)
		want := c.after
		if want == "-" {
			want = ""
		}
		if unescaped := strings.ReplaceAll(c.after, `\\`, `\`); got != want || text(ch.Before) != c.before || text(ch.After) != unescaped || recorded != c.before+" -> "+unescaped {
			t.Errorf("%s: the row is %q, want %q; %s; recorded %s", c.what, got, want, text(ch.After), recorded)
		}
		if ch.Table != s.prefix+c.schema+"."+table || ch.Attribute != "config/"+enabled {
			t.Errorf("%s: %+v", c.what, ch)
		}
		value, has := s.engine.Snapshot().PlatformValue(c.su, enabled)
		if has != (c.value != nil) || has && value != *c.value {
			t.Errorf("%s: the engine has %q %v", c.what, value, has)
		}
	}
	if id := s.sql("SELECT SUBSTR(HEX(uuid), 13, 1) FROM oxdb_5.user_attribute WHERE cid = 12 AND id = 2 AND name = 'config/" + enabled + "'"); id != "4" {
		t.Errorf("the uuid of a new row has version %q", id)
	}

	if _, err := s.p.Write(t.Context(), Write{Subject: cascade.Subject{Context: 12}, Property: enabled}); !errors.Is(err, ErrNotThere) {
		t.Errorf("removing what is not there: %v", err)
	}
	var letters *CaseError
	if _, err := s.p.Write(t.Context(), Write{Subject: cascade.Subject{Context: 14}, Property: enabled, Value: ptr("false")}); !errors.As(err, &letters) {
		t.Errorf("a name in another case: %v", err)
	}
	no := errors.New("no")
	if _, err := s.p.Write(t.Context(), Write{Subject: cascade.Subject{Context: 12}, Property: enabled, Value: ptr("false"), Record: func(Change) error { return no }}); !errors.Is(err, no) {
		t.Errorf("not recorded: %v", err)
	}
	if got := row("oxdb_5", "contextAttribute", "cid = 12"); got != "" {
		t.Errorf("what was not recorded is written: %q", got)
	}
	s.p.opt.Write = func() bool { return false }
	if _, err := s.p.Write(t.Context(), Write{Subject: cascade.Subject{Context: 12}, Property: enabled, Value: ptr("false")}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("without sluice.platform.write: %v", err)
	}
}

// TestWriteNeedsItsGrant names what is missing, and no more than two tables need.
func TestWriteNeedsItsGrant(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	s.sql("CREATE OR REPLACE USER w@'127.0.0.1' IDENTIFIED BY 'x'; GRANT SELECT ON *.* TO w@'127.0.0.1'")
	o := s.p.opt
	o.Config.User, o.Config.Password, o.Own = "w", "x", true
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := Write{Subject: cascade.Subject{Context: 12, User: 2}, Property: enabled, Value: ptr("false")}
	if _, err := p.Write(t.Context(), w); sqlpool.Classify(err) != sqlpool.Denied || !strings.Contains(err.Error(), "on `"+s.prefix+"oxdb_5`.`user_attribute` is missing for 'w'") {
		t.Errorf("without the grant: %v", err)
	}
	s.sql("GRANT INSERT, UPDATE, DELETE ON oxdb_5.user_attribute TO w@'127.0.0.1'; GRANT INSERT, UPDATE, DELETE ON oxdb_5.contextAttribute TO w@'127.0.0.1'")
	for _, value := range []*string{ptr("false"), ptr("true"), nil} {
		w.Value = value
		for _, w.Subject.User = range []uint32{0, 2} {
			if _, err := p.Write(t.Context(), w); err != nil {
				t.Errorf("with the grant: %v: %v", w.Subject, err)
			}
		}
	}
}

// TestTwoWriters write the same row together: both are done, one after the other.
func TestTwoWriters(t *testing.T) {
	s := newStand(t, nil, time.Hour)
	su := cascade.Subject{Context: 12}
	const each = 5
	done := make(chan error, 2)
	for _, v := range []string{"true", "false"} {
		go func() {
			var err error
			for range each {
				if _, e := s.p.Write(context.Background(), Write{Subject: su, Property: enabled, Value: &v}); e != nil {
					err = e
				}
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := s.sql("SELECT COUNT(*) FROM oxdb_5.contextAttribute WHERE cid = 12 AND name = 'config/" + enabled + "'"); got != "1" {
		t.Errorf("%s rows", got)
	}
}
