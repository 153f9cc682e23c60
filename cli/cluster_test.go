package cli_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestClusterAnswers holds what is said, and the exit code, when members do
// not answer, differ, or fail: one server alone never answers so.
func TestClusterAnswers(t *testing.T) {
	const (
		socket  = `{"id":"x","member":"two","context":7,"user":17,"connection":"desk","path":"/ws/","since":"2020-01-01T00:00:00Z","queued":3}`
		members = `{"cluster":"c","status":%q,"members":[
			{"member":"one","started":"2020-01-01T00:00:00Z","sockets":5,"generation":3,"digest":"0123456789abcdef+0","version":"1.0","alive":true,"self":true,"age":"0s"},
			{"member":"two\u001b[31m","started":"2020-01-01T00:00:00Z","generation":2,"digest":"ff+0","version":"1.0","alive":true,"degraded":true,"drift":true,"age":"1.2s"},
			{"member":"three","started":"2020-01-01T00:00:00Z","generation":2,"digest":"ff+0","version":"1.0","age":"7s"}],"warnings":[%s]}`
		reloaded = `"generation":2,"changed":[{"property":"a","old":"1","new":"2","result":"applied","because":"b"}],"errors":[]`
	)
	for _, c := range []struct {
		name         string
		args         string
		request      string // method and path with its query
		status       int
		answer       string
		code         int
		stdout, errs string // each line of them is in the output
	}{
		{
			"members", "members", "GET /admin/v1/members", 200, fmt.Sprintf(members, "ok", ""), 0,
			"0123456789ab+0\n  this \n alive,degraded,drift  0 \n  1.2s ago \ntwo\\x1b[31m \nthree \n gone \ncluster c: ok", "",
		},
		{"warned members", "members", "GET /admin/v1/members", 200, fmt.Sprintf(members, "ok", `"two are called b"`), 1, "cluster c: ok", "sluice: warning: two are called b"},
		{"degraded members", "members -o json", "GET /admin/v1/members", 200, fmt.Sprintf(members, "degraded", ""), 1, `"status": "degraded"`, ""},
		{
			"sockets of some", "sockets list -c 7", "GET /admin/v1/sockets?context=7&limit=1000", 200,
			`{"sockets":[` + socket + `],"next":"","unreachable":["three"]}`, 1, "desk\n  3 \n  two", "sluice: member three did not answer: its sockets are not in the list",
		},
		{
			"sockets of some, for scripts", "sockets list --limit 1 -o json", "GET /admin/v1/sockets?limit=1", 200,
			`{"sockets":[` + socket + `],"next":"cursor","unreachable":["three"]}`, 1, "\"queued\": 3\n\"next\": \"cursor\"\n\"three\"", "member three did not answer\nmore than these 1",
		},
		{"a page of none", "sockets list", "GET /admin/v1/sockets?limit=1000", 200, `{"sockets":[],"next":"cursor"}`, 0, "", "no socket is open"},
		{
			"closed some", "sockets close --all --path /ws/*", "DELETE /admin/v1/sockets?all=true&path=%2Fws%2F%2A", 200,
			`{"closed":1,"unreachable":["three","two"]}`, 1, "1 socket closed", "member three did not answer: its sockets may be open still\nmember two did not answer",
		},
		{"others not known", "send n -c 7", "POST /admin/v1/messages", 200, `{"id":"i","local":2,"remote":null,"coalesced":true}`, 0, "i: 2 sockets here, other members not known, as one with an equal message that waits", ""},
		{"buffer full", "send n -c 7", "POST /admin/v1/messages", 429, `{"code":"buffer_full","detail":"too many wait"}`, 1, "", "sluice: too many wait"},
		{
			"reloaded", "reload --cluster", "POST /admin/v1/config/reload?cluster=true", 200,
			`{"members":[{"member":"one","status":"ok",` + reloaded + `},{"member":"two","status":"ok",` + reloaded + `}]}`, 0, "one:\ntwo:\na: 1 -> 2  applied: b", "",
		},
		{
			"a long result", "reload --cluster", "POST /admin/v1/config/reload?cluster=true", 200,
			`{"members":[{"member":"two","status":"ok",` + reloaded + `,"omitted":9}]}`, 0, "two:\na: 1 -> 2", "sluice: member two has 9 more changes",
		},
		{
			"one did not answer", "reload --cluster", "POST /admin/v1/config/reload?cluster=true", 200,
			`{"members":[{"member":"one","status":"ok",` + reloaded + `},{"member":"two","status":"unreachable","error":"it is away"}]}`, 1, "one:", "sluice: member two: it is away",
		},
		{
			"one has a bad file", "reload --cluster", "POST /admin/v1/config/reload?cluster=true", 422,
			`{"members":[{"member":"two","status":"bad_files","generation":2,"changed":[],"errors":[{"path":"a.properties","line":1,"text":"wrong"}]}]}`, 1,
			"two:\ngeneration 2, 0 changed, 1 errors", "sluice: member two has files with errors:\na.properties:1",
		},
		{"not Sluice", "sockets close -c 7", "DELETE /admin/v1/sockets?context=7", 200, `<html>`, 1, "", "is not what this version understands"},
		{"another Sluice", "sockets list", "GET /admin/v1/sockets?limit=1000", 200, `{"sockets":[{"context":"seven"}]}`, 1, "", "is not what this version understands"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Method + " " + r.URL.RequestURI(); got != c.request {
					t.Errorf("asked for %s, want %s", got, c.request)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer s.Close()
			code, out, errs := run(append(strings.Fields(c.args), "--server", s.URL)...)
			if code != c.code || c.stdout == "" && out != "" || c.errs == "" && errs != "" {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
			for text, in := range map[string]string{c.stdout: out, c.errs: errs} {
				for line := range strings.SplitSeq(text, "\n") {
					if !strings.Contains(in, line) {
						t.Errorf("%q is not in\n%s", line, in)
					}
				}
			}
		})
	}
}

// TestAllPages lists more than one answer holds, up to the limit.
func TestAllPages(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("cursor")+"/"+q.Get("limit"))
		next := map[string]string{"": "a", "a": "b"}[q.Get("cursor")]
		fmt.Fprintf(w, `{"sockets":[%s{"context":7}],"next":%q,"unreachable":["two"]}`, strings.Repeat(`{"context":7},`, 999), next)
	}))
	defer s.Close()
	for limit, want := range map[string]string{"0": "/1000 a/1000 b/1000", "1000": "/1000", "2500": "/1000 a/1000 b/500"} {
		asked = nil
		code, _, errs := run("sockets", "list", "--limit", limit, "--server", s.URL)
		if got := strings.Join(asked, " "); got != want || code != 1 || strings.Count(errs, "member two") != 1 {
			t.Errorf("--limit %s asked for %s, want %s; exit code %d\n%s", limit, got, want, code, errs)
		}
	}
}
