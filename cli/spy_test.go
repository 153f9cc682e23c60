package cli_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// spy asks a server for everything.
type spy struct {
	t      *testing.T
	p      *process
	x      *planted
	tokens map[string]string
	kept   map[string]string // what came out, in which digests of whole files are looked for

	statuses map[int]int // answers
}

// ask is a request of somebody; "" is over the Unix socket.
func (s *spy) ask(who, method, path, body, media string) string {
	s.t.Helper()
	server := s.p.admin
	if who != "" {
		server = s.p.tcp
	}
	req, err := http.NewRequest(method, adminURL(server, path), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	switch who {
	case "":
	case service:
		req.SetBasicAuth(service, s.x.service)
	default:
		req.Header.Set("Authorization", "Bearer "+s.tokens[who])
		req.AddCookie(&http.Cookie{Name: "sluice_console", Value: s.tokens[who]})
	}
	if body != "" {
		req.Header.Set("Content-Type", media)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode >= 500 {
		s.t.Errorf("%s %s of %q: %d %s", method, path, who, res.StatusCode, b)
	}
	s.statuses[res.StatusCode]++
	text := string(b) + fmt.Sprint(res.Header)
	what := fmt.Sprintf("%s %s of %q (%d)", method, path, who, res.StatusCode)
	s.x.seen(s.t, what, text)
	s.kept[what] = text
	return string(b)
}

const asJSON = "application/json"

// events reads all that is told while the rest goes on.
func (s *spy) events(into chan<- string) (stop func()) {
	s.t.Helper()
	req, err := http.NewRequest("GET", adminURL(s.p.admin, "/admin/v1/events"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		s.t.Fatal(err)
	}
	read := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(res.Body) // up to the close
		read <- b
	}()
	return func() {
		_ = res.Body.Close()
		into <- string(<-read)
	}
}

// writes puts secrets where the API takes them.
func (s *spy) writes() {
	s.ask("", "PUT", "/admin/v1/contexts/7", `{"name":"acme","tags":["planted"]}`, asJSON)
	s.ask("", "PUT", "/admin/v1/contexts/7/users/3", `{}`, asJSON)
	for name, format := range map[string]string{
		"com.example.over.password": "%s", "com.example.over.url": inURLs["mysql"], "com.example.over.geheim": "%s", "com.example.over.oracle": inURLs["oracle"],
	} {
		text, err := json.Marshal(s.x.value(name, format))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, path := range []string{"/admin/v1/contexts/7", "/admin/v1/contexts/7/users/3"} {
			if a := s.ask("", "PUT", path+"/properties/"+name, fmt.Sprintf(`{"value":%s,"reason":"planted"}`, text), asJSON); strings.Contains(a, `"status":4`) {
				s.t.Error(a)
			}
		}
	}
	s.ask("", "POST", "/admin/v1/overrides", fmt.Sprintf(`{"reason":"planted","overrides":[{"context":8,"property":"com.example.bulk.password","value":%q}]}`, s.x.secret()), asJSON)
	line := fmt.Sprintf(`{"override":{"context":9,"property":"com.example.import.password","value":%q}}`, s.x.secret())
	s.ask("", "POST", "/admin/v1/import?reason=planted", line, "application/x-ndjson")
	s.x.names = append(s.x.names, "com.example.bulk.password", "com.example.import.password")
	s.ask("", "POST", "/admin/v1/audit/5/revert", `{"reason":"planted"}`, asJSON)
}

// routes asks for every path of openapi.yaml that can be read, and for every name.
func (s *spy) routes() {
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := yaml.Unmarshal([]byte(s.ask("", "GET", "/openapi.yaml", "", "")), &doc); err != nil {
		s.t.Fatal(err)
	}
	fill := strings.NewReplacer("{context}", "7", "{user}", "3", "{revision}", "4", "{session}", "x", "{token}", "ed", "{prefix}", "com.example.", "{property}", "com.example.over.password")
	read := 0
	for path, item := range doc.Paths {
		if item["get"] == nil || strings.HasSuffix(path, "/events") {
			continue
		}
		read++
		at := fill.Replace(path)
		callers := []string{"", "eve", "ed"}
		if strings.HasPrefix(path, "/preliminary/") {
			callers = []string{service}
		}
		for _, who := range callers {
			s.ask(who, "GET", at, "", "")
			if strings.HasSuffix(path, "/properties") {
				s.ask(who, "GET", at+"?prefix=&limit=1000", "", "")
				s.ask(who, "GET", at+"?prefix=com.example.&limit=1000", "", "")
			}
			if !strings.HasSuffix(path, "{property}") {
				continue
			}
			for _, name := range s.x.names {
				at := strings.NewReplacer("{context}", "7", "{user}", "3", "{property}", url.PathEscape(name)).Replace(path)
				s.ask(who, "GET", at, "", "")
				if strings.HasPrefix(path, "/admin/") {
					s.ask(who, "GET", at+"?verbose=true", "", "")
				}
			}
		}
	}
	if read < 30 {
		s.t.Errorf("only %d paths were read", read)
	}
	for r := range 12 {
		s.ask("eve", "GET", fmt.Sprintf("/admin/v1/audit/%d", r+1), "", "")
	}
	s.ask("eve", "GET", "/admin/v1/audit?property=com.example.over.password", "", "")
}

// refusals asks for what is refused, and for plans, with secrets in the requests.
func (s *spy) refusals() {
	secret := s.x.secret()
	for _, who := range []string{"", "eve", "ed"} {
		for _, body := range []string{
			fmt.Sprintf(`{"value":%q,"reason":"r","final":"nowhere"}`, secret),
			fmt.Sprintf(`{"value":%q,"reason":"r","expires":"never"}`, secret),
			fmt.Sprintf(`{"value":%q}`, secret),
			fmt.Sprintf(`{"value":"%s\u0001","reason":"r"}`, secret),
		} {
			s.ask(who, "PUT", "/admin/v1/contexts/7/properties/com.example.over.password", body, asJSON)
		}
		for _, name := range []string{"sluice.websockets.pingInterval", "com.openexchange.websockets.enabled"} {
			s.ask(who, "PUT", "/admin/v1/contexts/7/properties/"+name, fmt.Sprintf(`{"value":%q,"reason":"r"}`, "redis://u:"+secret+"@h"), asJSON)
		}
		s.ask(who, "POST", "/admin/v1/import?reason=r&dryRun=true", fmt.Sprintf(`{"override":{"context":9,"property":"com.example.import.password","value":%q,"final":"x"}}`, secret), "application/x-ndjson")
		var plan struct {
			Files     map[string]string `json:"files"`
			Overrides []any             `json:"overrides"`
		}
		plan.Files = map[string]string{
			"zz-planted.properties":   "com.example.password=" + secret + "\ncom.example.url.redis=redis://u:" + secret + "@h:6379/0\ncom.example.licence=" + secret + "\n",
			"configdb.properties":     "writeProperty.1=password=" + secret + "\n",
			"contextSets/planted.yml": "planted:\n  withTags: planted\n  com.example.set.password: " + secret + "\n  com.example.bad.secret: {a: " + secret + "}\n",
			"meta/planted.yml":        "com.example.meta.secret: [" + secret + "\n",
		}
		plan.Overrides = []any{map[string]any{"context": 7, "user": 3, "property": "com.example.over.password", "value": secret}}
		text, err := json.Marshal(plan)
		if err != nil {
			s.t.Fatal(err)
		}
		if got := s.ask(who, "POST", "/admin/v1/plan", string(text), asJSON); !strings.Contains(got, "com.example.password") {
			s.t.Errorf("the plan of %q says nothing: %s", who, got)
		}
	}
}

func (s *spy) console() {
	pages := []string{
		"/console/", "/console/?q=acme", "/console/person/7/3", "/console/configuration", "/console/cluster", "/console/audit", "/console/nowhere",
	}
	for _, name := range s.x.names {
		pages = append(pages, "/console/property/"+url.PathEscape(name), "/console/person/7/3?property="+url.QueryEscape(name))
	}
	for _, page := range pages {
		for _, who := range []string{"", "eve", "ed"} {
			if got := s.ask(who, "GET", page, "", ""); !strings.Contains(got, "</html>") {
				s.t.Errorf("%s of %q is no page: %.200s", page, who, got)
			}
		}
	}
}

// support unpacks what is passed on to strangers: with secrets in handshakes, too.
func (s *spy) support() {
	secret := s.x.secret()
	l := s.p.login(3)
	s.x.secrets = append(s.x.secrets, l.Session, l.Cookie.Value)
	s.p.dial(l, "c1")
	for _, path := range []string{"/socket.io/appsuite/" + secret + "?session=" + secret, "/ws/push;s=" + secret, "/ws/push?%zz" + secret + "&session=" + secret} {
		req, err := http.NewRequest("GET", s.p.public+path, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header = http.Header{
			"Cookie": {"open-xchange-secret-x=" + secret, secret}, "Authorization": {"Bearer " + secret}, "X-Api-Key": {secret}, "Referer": {"https://x/?session=" + secret},
			"Sec-Websocket-Protocol": {secret}, "Sec-Websocket-Key": {secret},
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	packed := s.ask("ed", "GET", "/admin/v1/support?handshakes=true", "", "")
	zip, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		s.t.Fatalf("%v: %.300q", err, packed)
	}
	files := map[string]string{}
	for list := tar.NewReader(zip); ; {
		h, err := list.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(list)
		if err != nil {
			s.t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name] = string(text)
		s.x.seen(s.t, name+" for support", files[name])
		s.kept[name+" for support"] = files[name]
		for _, hidden := range []string{l.Session, l.Cookie.Value, s.tokens["ed"], s.tokens["eve"]} {
			if strings.Contains(files[name], hidden) {
				s.t.Errorf("%s for support has a session, a cookie or a token", name)
			}
		}
	}
	for name, has := range map[string]string{
		"handshakes.json": `"X-Api-Key: ***"`, "properties.json": "com.example.smtp.pass", "findings.txt": "meta/bad.yml", "log.txt": "handshake refused",
		"metrics.txt": "sluice_handshakes_total", "goroutines.txt": "httpapi", "status.json": "meta/bad.yml", "build.json": `"modules"`,
	} {
		if !strings.Contains(files[name], has) {
			s.t.Errorf("%s for support has no %s: %.500s", name, has, files[name])
		}
	}
	if got := s.ask("eve", "GET", "/admin/v1/support", "", ""); !strings.Contains(got, `"code":"role"`) {
		s.t.Errorf("a viewer gets the archive: %.200q", got)
	}
}

// commands runs what prints, against the server and on the files.
func (s *spy) commands() {
	dir := s.t.TempDir()
	before := filepath.Join(dir, "before")
	if out, err := exec.Command("cp", "-r", s.p.tree, before).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(before, "zz-planted.properties"))
	if err != nil {
		s.t.Fatal(err)
	}
	put(s.t, before, "zz-planted.properties", strings.ReplaceAll(string(b), canary, canary+"X"))
	directory := filepath.Join(dir, "directory.yml")
	put(s.t, dir, "directory.yml", fmt.Sprintf(`contexts:
  - id: 7
    name: acme
    tags: [planted]
    config: {com.example.over.password: %[1]s, com.example.over.url: "redis://u:%[1]s@h"}
    users:
      - {id: 3, config: {com.example.over.geheim: %[1]s, com.openexchange.websockets.enabled: "redis://u:%[1]s@h"}}
`, s.x.secret()))
	overrides := filepath.Join(dir, "overrides.yml")
	put(s.t, dir, "overrides.yml", fmt.Sprintf("- {context: 7, user: 3, property: com.example.over.password, value: %[1]s}\n- {context: 7, user: 3, property: com.example.over.geheim, value: %[1]s}\n", s.x.secret()))
	server, offline := []string{"--server", s.p.admin}, []string{"--etc", s.p.tree, "--directory", directory}
	list := [][]string{
		{"status"},
		{"members"},
		{"doctor", "-c", "7", "-u", "3"},
		{"audit"},
		{"export"},
		{"context", "list"},
		{"context", "show", "7"},
		{"user", "show", "3", "-c", "7"},
		{"tags", "-c", "7", "-u", "3"},
		{"sockets", "list", "--all"},
		{"store"},
		{"token", "list"},
		{"reload"},
		{"get", "--all"},
		{"get", "--all", "-c", "7", "-u", "3"},
		{"plan", "--tree", before},
		{"plan", "--overrides", overrides},
		{"set", "-c", "7", "com.openexchange.websockets.enabled", "redis://u:" + s.x.secret() + "@h", "--reason", "r"},
	}
	var all [][]string
	for _, args := range list {
		all = append(all, append(args, server...), append(append(slices.Clone(args), server...), "-o", "json"))
	}
	for _, args := range [][]string{
		{"check"}, {"check", "--state", s.p.state}, {"get", "--all"}, {"get", "--all", "-c", "7", "-u", "3"}, {"tags", "-c", "7", "-u", "3"},
	} {
		all = append(all, append(args, offline...), append(append(slices.Clone(args), offline...), "-o", "json"))
	}
	all = append(all, []string{"diff", before, s.p.tree, "--directory", directory}, []string{"diff", before, s.p.tree, "--directory", directory, "-o", "json"})
	for _, name := range s.x.names {
		for _, at := range [][]string{server, offline} {
			all = append(all, append([]string{"get", name, "-c", "7", "-u", "3"}, at...),
				append([]string{"explain", name, "-c", "7", "-u", "3", "--verbose"}, at...), append([]string{"explain", name, "-o", "json"}, at...))
		}
	}
	for _, args := range all {
		code, out, errs := run(args...)
		what := "sluice " + strings.Join(args[:min(3, len(args))], " ")
		if code == 2 || out+errs == "" {
			s.t.Errorf("%q says nothing: %d %s", args, code, errs)
		}
		if strings.Contains(errs, "[bad-directory") || strings.Contains(errs, "[unknown-field") {
			s.t.Fatalf("%q: %s", args, errs)
		}
		s.x.seen(s.t, what, out+errs)
		s.kept[what] = out + errs
	}
}
