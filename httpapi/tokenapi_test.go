package httpapi

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/auth"
)

func TestTokenAPI(t *testing.T) {
	w := newWorld(t, tree)
	const path = "/admin/v1/tokens"
	// Without a store there is nothing to write to.
	w.ask("POST", path, `{"name":"a","role":"editor"}`).refused(t, 409, "no_token_store")
	w.ask("DELETE", path+"/a", "").refused(t, 404, "no_token")
	if a := w.ask("GET", path, ""); a.body != `{"tokens":[]}`+"\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	m := &memoryTokens{}
	w.server.Tokens = m

	var made CreatedToken
	a := w.ask("POST", path, `{"name":"ops","role":"editor"}`)
	a.into(t, &made)
	if a.status != 201 || !auth.IsTokenText(made.Token) || made.Name != "ops" || made.Role != auth.Editor || made.Expires != nil || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := m.all["ops"]; got.Actor != me || got.Hash != auth.HashToken(made.Token) || !got.Created.Equal(made.Created) {
		t.Errorf("kept: %+v", got)
	}
	w.admin = w.tcp
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
	editor := "Authorization: Bearer " + made.Token

	for body, code := range map[string]string{
		`{"name":"ops","role":"viewer"}`:                                "token_exists",
		`{"name":"b"}`:                                                  "bad_role",
		`{"name":"b","role":"root"}`:                                    "bad_role",
		`{"name":"","role":"viewer"}`:                                   "bad_name",
		`{"name":"a/b","role":"viewer"}`:                                "bad_name",
		`{"name":"unix:root","role":"viewer"}`:                          "bad_name",
		`{"name":"` + strings.Repeat("x", 65) + `","role":"viewer"}`:    "bad_name",
		`{"name":"` + auth.NewTokenText() + `","role":"viewer"}`:        "bad_name",
		`{"name":"b","role":"viewer","expires":"soon"}`:                 "bad_expires",
		`{"name":"b","role":"viewer","expires":"2020-01-01T00:00:00Z"}`: "bad_expires",
		`{"name":"b","role":"viewer","hash":"x"}`:                       "bad_json",
		`{"name":"b","role":"viewer","role":"editor"}`:                  "bad_json",
		`{"name":"b","role":3}`:                                         "bad_json",
	} {
		status := 400
		if code == "token_exists" {
			status = 409
		}
		w.ask("POST", path, body, editor).refused(t, status, code)
	}
	w.ask("POST", path+"?x", `{"name":"b","role":"viewer"}`, editor).refused(t, 400, "bad_query")

	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	a = w.ask("POST", path, `{"name":"b@example.com","role":"viewer","expires":"`+until.Format(time.RFC3339)+`"}`, editor)
	var viewer CreatedToken
	a.into(t, &viewer)
	if a.status != 201 || viewer.Expires == nil || !viewer.Expires.Equal(until) || m.all["b@example.com"].Actor != "ops" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+viewer.Token)

	file := filepath.Join(t.TempDir(), "tokens")
	save(t, file, []byte("scraper viewer "+auth.NewTokenText()))
	f, err := auth.LoadTokenFile(file, w.server.Logger)
	must(t, err)
	w.server.TokenFile = f
	w.ask("POST", path, `{"name":"scraper","role":"viewer"}`, editor).refused(t, 409, "token_exists")
	w.ask("DELETE", path+"/scraper", "", editor).refused(t, 409, "file_token")

	a = w.ask("GET", path, "", editor)
	var list struct{ Tokens []ListedToken }
	a.into(t, &list)
	var names []string
	for _, l := range list.Tokens {
		names = append(names, l.Name+" "+l.Role.String()+" "+l.From)
	}
	if got := strings.Join(names, ", "); got != "b@example.com viewer store, ops editor store, scraper viewer file" {
		t.Errorf("list: %s", got)
	}
	if list.Tokens[0].LastUsed == nil || list.Tokens[0].Expired || list.Tokens[2].LastUsed != nil || list.Tokens[2].Created != nil {
		t.Errorf("list: %s", a.body)
	}
	if strings.Contains(a.body, made.Token) || strings.Contains(strings.ToLower(a.body), "hash") {
		t.Errorf("a token or its hash is in the list: %s", a.body)
	}

	w.ask("DELETE", path+"/nobody", "", editor).refused(t, 404, "no_token")
	w.ask("DELETE", path+"/a%2Fb", "", editor).refused(t, 404, "no_token")
	if a := w.ask("DELETE", path+"/b%40example.com", "", editor); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+viewer.Token).refused(t, 401, "unauthorized")

	m.fail = store.ErrBusy
	w.ask("POST", path, `{"name":"c","role":"viewer"}`, editor).refused(t, 503, "store_unavailable")
	w.ask("DELETE", path+"/ops", "", editor).refused(t, 503, "store_unavailable")
	m.fail = nil
	for i := len(m.all); i < auth.MaxTokens; i++ {
		m.all[auth.NewTokenText()] = auth.Token{}
	}
	w.ask("POST", path, `{"name":"c","role":"viewer"}`, editor).refused(t, 409, "too_many_tokens")
	logs := w.logs.String()
	if strings.Contains(logs, "slt_") || !strings.Contains(logs, "token created") || !strings.Contains(logs, "token deleted") {
		t.Errorf("log: %s", logs)
	}
}

// The store keeps tokens as the API wants it to.
func TestStoreTokens(t *testing.T) {
	w := newWorld(t, tree)
	w.server.Tokens = auth.NewStoreTokens(w.store)
	const path = "/admin/v1/tokens"
	var made, viewer CreatedToken
	w.ask("POST", path, `{"name":"ops","role":"editor"}`).into(t, &made)
	editor := "Authorization: Bearer " + made.Token
	w.admin = w.tcp
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
	w.ask("POST", path, `{"name":"ops","role":"viewer"}`, editor).refused(t, 409, "token_exists")
	w.ask("POST", path, `{"name":"b","role":"viewer","expires":"2999-12-31T23:59:59Z"}`, editor).into(t, &viewer)
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+viewer.Token)
	var list struct{ Tokens []ListedToken }
	w.ask("GET", path, "", editor).into(t, &list)
	if len(list.Tokens) != 2 || list.Tokens[0].Name != "b" || list.Tokens[0].Actor != "ops" || list.Tokens[0].Expires.Year() != 2999 ||
		list.Tokens[0].LastUsed == nil || list.Tokens[1].Role != auth.Editor || list.Tokens[1].Actor != me {
		t.Errorf("%+v", list.Tokens)
	}
	if a := w.ask("GET", "/admin/v1/audit", "", editor); !strings.Contains(a.body, `"token.create"`) || strings.Contains(a.body, "slt_") {
		t.Errorf("audit: %s", a.body)
	}
	for name, status := range map[string]int{"b": 204, "nobody": 404} {
		if a := w.ask("DELETE", path+"/"+name, "", editor); a.status != status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+viewer.Token).refused(t, 401, "unauthorized")
	// A role of a newer version may do nothing.
	text := auth.NewTokenText()
	hash := auth.HashToken(text)
	_, err := w.store.Do(t.Context(), store.Write{Actor: "test", Action: "token.create", Changes: []store.Change{
		{Key: store.TokenKey("newer"), Body: &store.Token{Role: "auditor", Hash: hash[:], Created: time.Now()}},
	}})
	must(t, err)
	w.ask("GET", "/admin/v1/config", "", "Authorization: Bearer "+text).refused(t, 403, "role")
}
