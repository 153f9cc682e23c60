package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// TestSampleDirectory reads the example of the design.
func TestSampleDirectory(t *testing.T) {
	const in = `contexts:
  - id: 1337
    name: acme
    enabled: true
    tags: [webmail, de]
    config:
      com.openexchange.foo: bar                      # short form
      com.openexchange.upload.max: {value: "200", final: context, protected: true}
    users:
      - {id: 17, permissions: [WebMail, Infostore], config: {com.openexchange.websockets.enabled: "false"}}
`
	want := []Context{{
		ID: 1337, Name: "acme", Enabled: true, Tags: []string{"webmail", "de"}, Line: 2,
		Config: []Override{
			{Property: "com.openexchange.foo", Value: "bar", Line: 7, Col: 7},
			{Property: "com.openexchange.upload.max", Value: "200", Final: "context", Protected: true, Line: 8, Col: 7},
		},
		Users: []User{{
			ID: 17, Enabled: true, Permissions: []string{"WebMail", "Infostore"}, Line: 10,
			Config: []Override{{Property: "com.openexchange.websockets.enabled", Value: "false", Line: 10, Col: 62}},
		}},
	}}
	got, fs, ok := ParseDirectory("p.yml", []byte(in))
	if !ok || len(fs) != 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("ok=%v %v\n got %+v\nwant %+v", ok, fs, got, want)
	}
}

// showDirectory renders contexts as id:name[tags]{config}(users).
func showDirectory(cs []Context) string {
	overrides := func(list []Override) string {
		var s []string
		for _, o := range list {
			x := o.Property + "=" + o.Value
			if o.Final != "" {
				x += "/" + o.Final
			}
			if o.Protected {
				x += "/protected"
			}
			for _, more := range []string{o.Reason, o.Actor} {
				if more != "" {
					x += "/" + more
				}
			}
			for _, at := range []time.Time{o.Time, o.Expires} {
				if !at.IsZero() {
					x += "/" + at.UTC().Format("0102T15")
				}
			}
			s = append(s, x)
		}
		return strings.Join(s, " ")
	}
	off := map[bool]string{false: "-", true: ""}
	var s []string
	for _, c := range cs {
		x := fmt.Sprintf("%s%d:%s[%s]{%s}(", off[c.Enabled], c.ID, c.Name, strings.Join(c.Tags, ","), overrides(c.Config))
		for i, u := range c.Users {
			if i > 0 {
				x += " "
			}
			x += fmt.Sprintf("%s%d[%s]{%s}", off[u.Enabled], u.ID, strings.Join(u.Permissions, ","), overrides(u.Config))
		}
		s = append(s, x+")")
	}
	return strings.Join(s, " ")
}

func TestParseDirectory(t *testing.T) {
	const good = "{id: 9}"
	rows := []struct{ in, want, findings string }{
		{"[{id: 1}]", "1:[]{}()", ""},
		{"", "", ""},
		{"~", "", ""},
		{"[]", "", ""},
		{"[{id: 2147483647, enabled: no, tags: ~, users: ~, config: ~}]", "-2147483647:[]{}()", ""},
		{"[{id: 1, name: \"a b\", enabled: ~}]", "1:a b[]{}()", ""},
		{"[{id: 1, name: 1337, tags: \"a, b\", users: [{id: 2, enabled: false, permissions: WebMail}]}]", "1:1337[a,b]{}(-2[WebMail]{})", ""},
		{"[{id: 1, config: {p: yes, q: \"\", r: {{ X }}}}]", "1:[]{p=true q=}()", "1:48 error bad-key"},
		{"[{id: 1, config: {p: \"{{ X }}\"}}]", "1:[]{p={{ X }}}()", ""},
		{
			"[{id: 1, config: {p: {value: 1, final: user, protected: on, reason: why, actor: me, time: 2026-01-31T12:00:00Z, expires: \"2027-02-01T12:00:00+02:00\"}}}]",
			"1:[]{p=1/user/protected/why/me/0131T12/0201T10}()", "",
		},
		{"[{id: 1, config: {p: 010}}]", "1:[]{p=010}()", "1:32 warning yaml11"},
		{"[&c {id: 1, config: &k {p: 1}}, {<<: *c, id: 2}, {id: 3, config: *k}]", "1:[]{p=1}() 2:[]{p=1}() 3:[]{p=1}()", ""},

		{"[{id: 0}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: -1}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: 2147483648}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: 1e3}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: +1}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: 010}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: ٣}, " + good + "]", "9:[]{}()", "1:17 error bad-directory-entry"},
		{"[{id: [1]}, " + good + "]", "9:[]{}()", "1:17 error bad-value"},
		{"[{name: x}, " + good + "]", "9:[]{}()", "1:12 error bad-directory-entry"},
		{"[{id: 1}, {id: 1}, " + good + "]", "1:[]{}() 9:[]{}()", "1:21 error duplicate-id"},
		{"[{id: 1, users: [{id: 2}, {id: 2}, {id: 3}]}]", "1:[]{}(2[]{} 3[]{})", "1:37 error duplicate-id"},
		{"[{id: 1, colour: x}, " + good + "]", "9:[]{}()", "1:20 error unknown-field"},
		{"[{id: 1, users: [{id: 2, name: x}, {id: 3}]}]", "1:[]{}(3[]{})", "1:36 error unknown-field"},
		{"[{id: 1, enabled: maybe}, " + good + "]", "9:[]{}()", "1:29 error bad-directory-entry"},
		{"[{id: 1, name: [x]}, " + good + "]", "9:[]{}()", "1:26 error bad-value"},
		{"[{id: 1, name: no}, " + good + "]", "9:[]{}()", "1:26 error bad-value"},
		{"[{id: 1, tags: [a, \"b c\"]}, " + good + "]", "9:[]{}()", "1:30 error bad-tag"},
		{"[{id: 1, tags: {a: b}}, " + good + "]", "9:[]{}()", "1:26 error bad-value"},
		{"[{id: 1, users: {a: b}}, " + good + "]", "9:[]{}()", "1:27 error bad-directory-entry"},
		{"[{id: 1, config: [a]}, " + good + "]", "9:[]{}()", "1:28 error bad-directory-entry"},
		{"[{id: 1, config: {p: [a], q: 1}}]", "1:[]{q=1}()", "1:32 error bad-value"},
		{"[{id: 1, config: {p: ~, q: 1}}]", "1:[]{q=1}()", "1:29 error bad-directory-entry"},
		{"[{id: 1, config: {p: {final: user}, q: 1}}]", "1:[]{q=1}()", "1:29 error bad-directory-entry"},
		{"[{id: 1, config: {p: {value: 1, until: x}, q: 1}}]", "1:[]{q=1}()", "1:43 error unknown-field"},
		{"[{id: 1, config: {p: {value: 1, expires: tomorrow}, q: 1}}]", "1:[]{q=1}()", "1:52 error bad-directory-entry"},
		{"[{id: 1, config: {p: {value: 1, protected: 2}, q: 1}}]", "1:[]{q=1}()", "1:54 error bad-directory-entry"},
		{"[{id: 1, config: {1: x, q: 1}}]", "1:[]{q=1}()", "1:29 error bad-key"},
		{"[7, " + good + "]", "9:[]{}()", "1:12 error bad-directory-entry"},
		{"[!x {id: 1}, " + good + "]", "9:[]{}()", "1:12 error yaml-tag"},
	}
	for _, r := range rows {
		got, fs, ok := ParseDirectory("p.yml", []byte("contexts: "+r.in))
		checkTexts(t, r.in, fs)
		if !ok || showDirectory(got) != r.want || brief(fs) != r.findings {
			t.Errorf("%s:\n got %s | %s\nwant %s | %s\n%v", r.in, showDirectory(got), brief(fs), r.want, r.findings, fs)
		}
	}
}

func TestDirectoryFileErrors(t *testing.T) {
	for _, in := range []string{"[]", "x", "contexts: {a: b}", "contexts: 7", "contexts: [", "contexts: []\n---\n", "contexts: []\ncontexts: []", "contexts: [{id: 1, id: 2}]", "contexts: [\x00]"} {
		if list, fs, ok := ParseDirectory("p.yml", []byte(in)); ok || len(list) != 0 || !finding.HasErrors(fs) {
			t.Errorf("%q: ok=%v %v %v", in, ok, list, fs)
		}
	}
	if list, fs, ok := ParseDirectory("p.yml", []byte("users: []\n")); !ok || len(list) != 0 || brief(fs) != "1:1 error unknown-field" {
		t.Errorf("ok=%v %v %v", ok, list, fs)
	}
}

func largeDirectory(contexts, users int) []byte {
	var b strings.Builder
	b.WriteString("contexts:\n")
	for c := 1; c <= contexts; c++ {
		fmt.Fprintf(&b, "  - id: %d\n    name: context%d\n    tags: [webmail, de]\n    users:\n", c, c)
		for u := 1; u <= users; u++ {
			fmt.Fprintf(&b, "      - {id: %d, permissions: [WebMail, Infostore], config: {com.openexchange.websockets.enabled: \"false\"}}\n", u)
		}
	}
	return []byte(b.String())
}

func TestLargeDirectory(t *testing.T) {
	in := largeDirectory(20, 1000)
	start := time.Now()
	list, fs, ok := ParseDirectory("p.yml", in)
	d := time.Since(start)
	if !ok || len(fs) != 0 || len(list) != 20 || len(list[19].Users) != 1000 {
		t.Fatalf("ok=%v %d contexts %v", ok, len(list), fs)
	}
	t.Logf("20,000 users, %d bytes: %v", len(in), d)
	if d > maxParseTime {
		t.Errorf("took %v", d)
	}
}

func BenchmarkDirectory(b *testing.B) {
	in := largeDirectory(10, 1000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		ParseDirectory("p.yml", in)
	}
}

func TestEntriesThatAreNotKnown(t *testing.T) {
	contexts, fs, ok := ParseDirectory("p.yml", []byte("contexts:\n"+
		"  - {id: 1, known: false, config: {a: x}, users: [{id: 2, known: false, config: {a: y}}, {id: 3}]}\n"+
		"  - {id: 4, known: true, name: x}\n"+
		"  - {id: 5, known: false, name: x}\n"+
		"  - {id: 6, known: false, enabled: false}\n"+
		"  - {id: 7, known: false, tags: [x]}\n"+
		"  - {id: 8, users: [{id: 1, known: false, enabled: false}, {id: 2, known: false, permissions: [x]}, {id: 3, known: maybe}]}\n"))
	const want = "4:5 error bad-directory-entry; 5:5 error bad-directory-entry; 6:5 error bad-directory-entry; " +
		"7:21 error bad-directory-entry; 7:60 error bad-directory-entry; 7:116 error bad-directory-entry"
	if !ok || brief(fs) != want {
		t.Errorf("%t %s", ok, brief(fs))
	}
	if len(contexts) != 3 || !contexts[0].Unknown || contexts[1].Unknown || contexts[2].Unknown || len(contexts[2].Users) != 0 ||
		len(contexts[0].Users) != 2 || !contexts[0].Users[0].Unknown || contexts[0].Users[1].Unknown {
		t.Errorf("%+v", contexts)
	}
}
