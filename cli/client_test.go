package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestAskServer asks a real server and the files that it serves: the answers
// are the same, and no flag makes a server show a secret.
func TestAskServer(t *testing.T) {
	tree := newTree(t)
	put(t, tree, "own.properties", "com.openexchange.own.password=hunter2\n")
	put(t, tree, "contextSets/own.yml", "own:\n  withTags: special\n  com.openexchange.websockets.enabled: false\n")
	p := launch(t, tree, t.TempDir())
	for _, ask := range [][]string{
		{"explain", "com.openexchange.websockets.enabled", "-c", "3", "-u", "4", "--tags", "special", "--verbose"},
		{"explain", "com.openexchange.websockets.enabled", "-c", "3", "--permissions", "WebMail"},
		{"explain", "sluice.websockets.pingInterval"},
		{"explain", "com.openexchange.own.password"},
		{"get", "com.openexchange.own.password", "sluice.websockets.maxPerUser"},
	} {
		var answers [2]map[string]any
		for i, where := range [][]string{{"--server", p.admin}, {"--etc", tree}} {
			code, out, errs := run(append(append(ask, where...), "-o", "json")...)
			if code != 0 || strings.Contains(out, "hunter2") {
				t.Errorf("%v %v: %d\n%s%s", ask, where, code, out, errs)
			}
			if err := json.Unmarshal([]byte(out), &answers[i]); err != nil {
				t.Errorf("%v %v: %v", ask, where, err)
			}
			delete(answers[i], "generation") // that of the process
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			t.Errorf("%v: the server says %v, its files say %v", ask, answers[0], answers[1])
		}
	}
	for _, ask := range []string{"explain", "get"} {
		if code, _, errs := run(ask, "com.openexchange.nothing", "--server", p.admin); code != 1 {
			t.Errorf("%s of what is not defined: %d %s", ask, code, errs)
		}
	}
}

// TestToken sends the token of the file before that of the environment, and no
// header without one.
func TestToken(t *testing.T) {
	var sent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"property":"a","scope":"server","value":"1"}`))
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env, want string
		args      []string
	}{
		{"", "", nil},
		{"from-env\n", "Bearer from-env", nil},
		{"from-env", "Bearer from-file", []string{"--token-file", file}},
	} {
		t.Setenv("SLUICE_TOKEN", c.env)
		if code, _, errs := run(append([]string{"get", "a", "--server", s.URL}, c.args...)...); code != 0 {
			t.Errorf("%q %v: %d %s", c.env, c.args, code, errs)
		}
		if sent != c.want {
			t.Errorf("%q %v: sent %q, want %q", c.env, c.args, sent, c.want)
		}
	}
}

// TestAnswers ends with 1 where a server answers and refuses, or is another
// one, and passes on what it says.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name         string
		status       int
		answer, want string
	}{
		{"refused", 403, `{"code":"forbidden","detail":"the role viewer may not do this"}`, "sluice: the role viewer may not do this\n"},
		{"refused without a reason", 502, `<html>`, "the server answered 502 Bad Gateway"},
		{"not Sluice", 200, `<html>welcome</html>`, "is not what this version understands"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer s.Close()
			for _, args := range [][]string{{"get", "a"}, {"get", "--all"}, {"explain", "a"}, {"tags", "-c", "1"}} {
				code, out, errs := run(append(args, "--server", s.URL)...)
				if code != 1 || out != "" || !strings.Contains(errs, c.want) {
					t.Errorf("%v: %d %s%s", args, code, out, errs)
				}
			}
		})
	}
}
