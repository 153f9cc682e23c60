package appsuite

import (
	"encoding/json"
	"strings"
	"testing"
)

// What parse makes of documents that differ from a good one in one thing. The
// rest of them is in TestStrangeDocuments.
func TestParse(t *testing.T) {
	const good = `"sessionId":"a","contextId":1,"userId":2,"secret":"s"`
	for _, c := range []struct {
		name, text string
		want       result
		check      func(document) bool // nil: none
	}{
		{"least", "{" + good + "}", found, func(d document) bool { return !d.stays && !d.session.Guest && !d.session.Restricted }},
		{"names of another case are others", `{"SessionId":"a","contextId":1,"userId":2,"secret":"s"}`, badDocument, nil},
		{"a secret of another case is none", `{"sessionId":"a","contextId":1,"userId":2,"SECRET":"s"}`, badDocument, nil},
		{"another case does not win", "{" + good + `,"SECRET":"x","UserId":9}`, found, func(d document) bool { return d.session.Secret == "s" && d.session.User == 2 }},
		{"version 0", "{" + good + `,"version":0}`, found, nil},
		{"version 1", "{" + good + `,"version":1}`, found, nil},
		{"version -7", "{" + good + `,"version":-7}`, found, nil},
		{"version 2.5", "{" + good + `,"version":2.5}`, badDocument, nil},
		{"version 3 of anything", `{"version":3}`, badVersion, nil},
		{"stays", "{" + good + `,"staySignedIn":true}`, found, func(d document) bool { return d.stays }},
		{"stays as text", "{" + good + `,"staySignedIn":"true"}`, badDocument, nil},
		{"an address that is none", "{" + good + `,"localIp":"nowhere"}`, found, func(d document) bool { return !d.session.Address.IsValid() }},
		{"a mapped address", "{" + good + `,"localIp":"::ffff:192.0.2.1"}`, found, func(d document) bool { return d.session.Address.String() == "192.0.2.1" }},
		{"an address with a zone", "{" + good + `,"localIp":"fe80::1%eth0"}`, found, func(d document) bool { return d.session.Address.String() == "fe80::1" }},
		{"an address as a number", "{" + good + `,"localIp":7}`, badDocument, nil},
		{"a long client", "{" + good + `,"client":"` + strings.Repeat("x", maxText+1) + `"}`, badDocument, nil},
		{"a long hash", "{" + good + `,"hash":"` + strings.Repeat("x", maxText+1) + `"}`, badDocument, nil},
		{"login time as text", "{" + good + `,"loginTime":"now"}`, badDocument, nil},
		{"no parameters", "{" + good + `,"parameters":null}`, found, nil},
		{"a list of parameters", "{" + good + `,"parameters":[]}`, badDocument, nil},
		{"guest as a number", "{" + good + `,"parameters":{"__session.guest":1}}`, found, func(d document) bool { return !d.session.Guest }},
		{"second factor in doubt", "{" + good + `,"parameters":{"multifactor":1}}`, found, func(d document) bool { return d.session.Restricted }},
		{"second factor given in doubt", "{" + good + `,"parameters":{"multifactor":true,"multifactorAuthenticated":1}}`, found, func(d document) bool { return d.session.Restricted }},
		{"second factor given", "{" + good + `,"parameters":{"multifactor":true,"multifactorAuthenticated":"True"}}`, found, func(d document) bool { return !d.session.Restricted }},
		{"restricted to nothing", "{" + good + `,"parameters":{"restricted":null}}`, found, func(d document) bool { return !d.session.Restricted }},
		{"restricted to a list", "{" + good + `,"parameters":{"restricted":[]}}`, found, func(d document) bool { return d.session.Restricted }},
		{"of another", `{"sessionId":"b","contextId":1,"userId":2,"secret":"s"}`, otherID, nil},
		{"behind the document", "{" + good + "}x", badDocument, nil},
		{"two documents", "{" + good + "}{" + good + "}", badDocument, nil},
		{"deep", "{" + good + `,"x":` + strings.Repeat("[", 100_000) + "1" + strings.Repeat("]", 100_000) + "}", badDocument, nil},
		{"as large as may be", "{" + good + `,"x":"` + strings.Repeat("x", maxDocument-len(good)-9) + `"}`, found, nil},
		{"larger", "{" + good + `,"x":"` + strings.Repeat("x", maxDocument-len(good)-8) + `"}`, tooBig, nil},
	} {
		d, got := parse("a", []byte(c.text))
		if got != c.want || (got == found) != (d.session != nil) || c.check != nil && got == found && !c.check(d) {
			t.Errorf("%s: %s (%+v), want %s", c.name, got, d.session, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"sessionId":"a","contextId":1,"userId":2,"version":2,"secret":"s","parameters":{"multifactor":true}}`)
	f.Add(`{"sessionId":"a","contextId":1,"userId":2,"secret":"s","localIp":"::ffff:1.2.3.4%eth0","parameters":{"restricted":null}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, r := parse("a", []byte(text))
		if (r == found) != (d.session != nil) {
			t.Fatalf("%s with the session %v", r, d.session)
		}
		if r == found && (d.session.ID != "a" || d.session.Secret == "" || d.session.Context < 1 || d.session.User < 1 || d.session.AnyAgent) {
			t.Fatalf("%+v", *d.session)
		}
		if r == found && !json.Valid([]byte(text)) {
			t.Fatal("a session that is not JSON")
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	f.Add(`{"data":"{\"operation\":\"invalidate\",\"sessionIds\":[\"a\",\"b\"]}","instanceId":"0"}`)
	f.Add(`{"data":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		ids, ok := parseEvent(text)
		if !ok && ids != nil {
			t.Fatal("ids of what is no event")
		}
		if len(ids) > len(text) {
			t.Fatalf("%d ids in %d bytes", len(ids), len(text))
		}
	})
}
