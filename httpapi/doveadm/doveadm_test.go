package doveadm

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// commandList is what GET answers, as far as it is read.
func commandList() string {
	var list []string
	for _, op := range []Op{Set, Unset, Get} {
		list = append(list, fmt.Sprintf(`{"command":%q,"parameters":[{"name":"user"},{"name":"mailbox"},{"name":"allowEmptyMailboxName"},{"name":"key"}]}`, op))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// What is no answer, or that of an endpoint that is not set up, is an error that says
// so, and never a success.
func TestAnswers(t *testing.T) {
	const good = `[["doveadmResponse",[{"value":"user=1@7"}],"0"]]`
	for _, c := range []struct {
		name, list, answer string
		status             int
		want               error
		text               string
	}{
		{"good", commandList(), good, 200, nil, ""},
		{"no JSON, as where one of many is an unknown command", commandList(), `[["error",{"type":"unknownMethod"},"0"]["doveadmResponse",[],"1"]]`, 200, ErrUncertain, "not JSON"},
		{"breaks off", commandList(), `[["doveadmRes`, 200, ErrUncertain, "not JSON"},
		{"an answer to nobody", commandList(), `[["doveadmResponse",[],"7"]]`, 200, ErrUncertain, "a tag that nobody sent"},
		{"an answer is missing", commandList(), `[]`, 200, ErrUncertain, "answered 0 of 1"},
		{"another form", commandList(), `[[1,2,3]]`, 200, ErrUncertain, "the answer is not DoveAdm's"},
		{"a fault of the request", commandList(), "bad", 400, ErrUncertain, "400"},
		{"a wrong key", commandList(), "", 401, ErrUncertain, "compare doveadm_api_key"},
		{"no such user", commandList(), `[["error",{"type":"exitCode","exitCode":67},"0"]]`, 200, ErrNoUser, ""},
		{"later", commandList(), `[["error",{"type":"exitCode","exitCode":75},"0"]]`, 200, ErrLater, ""},
		{"no attributes", commandList(), `[["error",{"type":"exitCode","exitCode":65},"0"]]`, 200, ErrSetup, "mail_attribute_dict"},
		{"refused", commandList(), `[["error",{"type":"exitCode","exitCode":64},"0"]]`, 200, ErrSetup, ""},
		{"unknown command", commandList(), `[["error",{"type":"unknownMethod","exitCode":0},"0"]]`, 200, ErrSetup, "unknownMethod"},
		{"another exit code", commandList(), `[["error",{"type":"exitCode","exitCode":1},"0"]]`, 200, ErrLater, "exit code 1"},
		{"another version", `[{"command":"mailboxMetadataSet","parameters":[{"name":"user"}]}]`, good, 200, ErrUncertain, "this version of Dovecot"},
		{"another server", `<html>`, good, 200, ErrUncertain, "is it DoveAdm's"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				fmt.Fprint(w, c.list)
				return
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.answer)
		}))
		client := New([]string{s.URL + "/doveadm/v1"}, "key")
		got := client.Do(t.Context(), Get, []Command{{Login: "a@x.test"}})[0]
		if !errors.Is(got.Err, c.want) || c.want == nil && got.Value != "user=1@7" || got.Err != nil && !strings.Contains(got.Err.Error(), c.text) {
			t.Errorf("%s: %q, %v, want %v", c.name, got.Value, got.Err, c.want)
		}
		client.Close()
		s.Close()
	}
}

// An endpoint that fails is passed over for a while, and what cannot be a login is
// not sent.
func TestFailOver(t *testing.T) {
	var asked [2]atomic.Int64
	var urls []string
	for i := range asked {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i].Add(1)
			switch {
			case i == 0:
				w.WriteHeader(http.StatusBadGateway)
			case r.Method == http.MethodGet:
				fmt.Fprint(w, commandList())
			default:
				fmt.Fprint(w, `[["doveadmResponse",[],"1"]]`)
			}
		}))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	c := New(urls, "key")
	t.Cleanup(c.Close)
	for range 10 {
		got := c.Do(t.Context(), Set, []Command{{Login: "a\nb"}, {Login: "a@x.test", Value: "user=1@7"}})
		if !errors.Is(got[0].Err, ErrNoUser) || got[1].Err != nil {
			t.Fatalf("%v", got)
		}
	}
	if n := asked[0].Load(); n != 1 || asked[1].Load() != 11 {
		t.Errorf("%d and %d requests, want 1 and 11", n, asked[1].Load())
	}
	h := c.Health()
	if h[0].URL != urls[0] || h[0].Status != StatusFailing || !strings.Contains(h[0].Error, "502") || h[0].Since == nil || h[0].Asked == nil {
		t.Errorf("the one that fails: %+v", h[0])
	}
	if h[1].URL != urls[1] || h[1].Status != StatusOK || h[1].Error != "" || h[1].Since != nil || h[1].Asked == nil {
		t.Errorf("the one that works: %+v", h[1])
	}
	if h := New([]string{"http://a:secret@x.test/doveadm/v1"}, "key").Health()[0]; h.Status != StatusUnasked || strings.Contains(h.URL, "secret") || h.Asked != nil {
		t.Errorf("one that was not asked: %+v", h)
	}
	if got := New(nil, "key").Do(t.Context(), Set, []Command{{Login: "a"}})[0]; !errors.Is(got.Err, ErrUncertain) {
		t.Errorf("without endpoints: %v", got.Err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`[["doveadmResponse",[{"value":"x"}],"0"]]`)
	f.Add(`[["error",{"type":"exitCode","exitCode":67},"0"]]`)
	f.Fuzz(func(t *testing.T, answer string) {
		results := make([]Result, 1)
		if readAnswer([]byte(answer), []int{0}, results) == nil && !strings.Contains(answer, "0") {
			t.Errorf("%q is no answer to the command, and is taken for one: %v", answer, results)
		}
	})
}
