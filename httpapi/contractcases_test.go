package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/testkit"
	"github.com/seed47708276/sluice/websockets"
)

// example is a request of an operation that is good, and one that says what
// cannot be.
type example struct{ good, bad string }

// examples are those with a body. {context} and so on are filled as everywhere.
var examples = map[string]example{
	"PUT /admin/v1/contexts/{context}":                                       {`{"name":"n"}`, `{"tags":[""]}`},
	"PUT /admin/v1/contexts/{context}/users/{user}":                          {`{"permissions":["WebMail"]}`, `{"permissions":["` + strings.Repeat("x", cascade.MaxTextLen+1) + `"]}`},
	"PUT /admin/v1/contexts/{context}/properties":                            {`{"value":"v","reason":"r"}`, `{"value":"v"}`},
	"PUT /admin/v1/contexts/{context}/properties/{property}":                 {`{"value":"v","reason":"r"}`, `{"value":"v"}`},
	"PUT /admin/v1/contexts/{context}/users/{user}/properties":               {`{"value":"v","reason":"r"}`, `{"value":"v"}`},
	"PUT /admin/v1/contexts/{context}/users/{user}/properties/{property}":    {`{"value":"v","reason":"r"}`, `{"value":"v"}`},
	"PUT /admin/v1/contexts/{context}/websockets":                            {`{"enabled":false,"reason":"r"}`, `{"reason":"r"}`},
	"PUT /admin/v1/contexts/{context}/users/{user}/websockets":               {`{"enabled":false,"reason":"r"}`, `{"reason":"r"}`},
	"POST /admin/v1/overrides":                                               {`{"reason":"r","overrides":[{"context":7,"property":"p","value":"v"}]}`, `{"reason":"r","overrides":[]}`},
	"POST /admin/v1/plan":                                                    {`{"overrides":[{"context":7,"property":"p","value":"v"}]}`, `{"files":{"../x":""}}`},
	"POST /admin/v1/import":                                                  {`{"context":{"id":8,"name":"n"}}`, `{"context":{"id":0}}`},
	"POST /admin/v1/audit/{revision}/revert":                                 {`{"reason":"r"}`, `{"reason":""}`},
	"POST /admin/v1/store/adopt":                                             {`{"confirm":true}`, ``},
	"POST /admin/v1/tokens":                                                  {`{"name":"n","role":"editor"}`, ``},
	"POST /admin/v1/sessions":                                                {`{"context":7,"user":3,"client":"c"}`, ``},
	"POST /admin/v1/sockets/probe":                                           {``, ``},
	"POST /admin/v1/messages":                                                {`{"context":7,"name":"n","args":[]}`, `{"context":7,"name":"n","args":[],"pathFilter":""}`},
	"POST /admin/v1/mailpush/registrations":                                  {`{"action":"status","users":[{"context":7,"user":3}]}`, ``},
	"POST /admin/v1/notifications":                                           {`{"context":7,"user":3,"topic":"t","data":{}}`, `{"context":7,"user":3,"topic":"","data":{}}`},
	"POST /admin/v1/config/reload":                                           {``, ``},
	"POST /admin/v1/platform/refresh":                                        {``, ``},
	"POST /admin/v1/upgrade":                                                 {``, ``},
	"POST /admin/v1/config/confirm":                                          {`{"digest":"0123456789ab"}`, `{"digest":""}`},
	"DELETE /admin/v1/contexts/{context}/properties":                         {},
	"DELETE /admin/v1/contexts/{context}/properties/{property}":              {},
	"DELETE /admin/v1/contexts/{context}/users/{user}/properties":            {},
	"DELETE /admin/v1/contexts/{context}/users/{user}/properties/{property}": {},
	"DELETE /admin/v1/contexts/{context}/websockets":                         {},
	"DELETE /admin/v1/contexts/{context}/users/{user}/websockets":            {},
	"DELETE /admin/v1/contexts/{context}":                                    {},
	"DELETE /admin/v1/contexts/{context}/users/{user}":                       {},
}

func isPublic(op string) bool {
	return slices.Contains(slices.Collect(maps.Values(publicOperations)), op)
}

// withStatus lists the operations of administrators that may answer so.
func withStatus(status string) (list []string) {
	for op, statuses := range theContract().operations {
		if _, may := statuses[status]; may && !isPublic(op) {
			list = append(list, op)
		}
	}
	slices.Sort(list)
	return list
}

// request makes the method, path and headers of an operation.
func request(op string) (method, path string, headers []string) {
	method, path, _ = strings.Cut(op, " ")
	path = filled.Replace(path)
	if strings.HasSuffix(path, "/properties") && method != http.MethodGet {
		path += "?name=com.example.a"
	}
	if op == "GET /admin/v1/sessions" || op == "DELETE /admin/v1/sessions" {
		path += "?context=7&user=3"
	}
	if op == "POST /admin/v1/import" {
		path, headers = path+"?reason=r", []string{"Content-Type: " + ndjson}
	}
	return method, path, headers
}

// want asks for an operation, and for the status that it then has.
func (w *world) want(op string, status int, body string, headers ...string) answer {
	w.t.Helper()
	method, path, more := request(op)
	return w.wantAt(method, path, status, body, append(more, headers...)...)
}

func (w *world) wantAt(method, path string, status int, body string, headers ...string) answer {
	w.t.Helper()
	a := w.ask(method, path, body, headers...)
	if a.status != status {
		w.t.Errorf("%s %s: %d instead of %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// What is refused before it is looked at, is so everywhere.
func TestContractRefusals(t *testing.T) {
	w := newWorld(t, tree)
	w.server.Tokens = auth.NewStoreTokens(w.store)
	before := w.store.Head()
	w.admin = w.strangers()
	for _, op := range withStatus("403") {
		if !strings.Contains(op, servicePaths) {
			w.want(op, 403, "")
		}
	}
	w.admin = w.socket
	for _, op := range withStatus("400") {
		method, path, _ := request(op)
		switch sep := "?"; {
		case op == "POST /admin/v1/config/reload":
			w.wantAt(method, path+"?x=1", 400, "")
		default:
			if strings.Contains(path, "?") {
				sep = "&"
			}
			if method == http.MethodGet || method == http.MethodDelete {
				w.wantAt(method, path, 400, "{}") // which takes none
			} else {
				w.want(op, 400, "{")
			}
			if !strings.HasPrefix(path, "/admin/v1") {
				continue
			}
			w.wantAt(method, path+sep+"limit=%zz", 400, examples[op].good)
		}
	}
	for _, op := range withStatus("415") {
		w.want(op, 415, "{}", "Content-Type: text/plain")
	}
	large := strings.Repeat(" ", maxBulkBody+1)
	for _, op := range withStatus("413") {
		body := large[:maxBody+1]
		if slices.Contains([]string{"POST /admin/v1/import", "POST /admin/v1/overrides", "POST /admin/v1/plan"}, op) {
			body = large
		}
		w.want(op, 413, body)
	}
	for _, op := range withStatus("422") {
		if e := examples[op]; e.bad != "" {
			w.want(op, 422, e.bad)
		}
	}
	for _, su := range []string{"/contexts/7", "/contexts/7/users/3"} {
		w.wantAt("DELETE", "/admin/v1"+su+"/properties/a%0Ab", 422, "")
		w.wantAt("DELETE", "/admin/v1"+su+"/properties?name=a%0Ab", 422, "")
		w.wantAt("DELETE", "/admin/v1"+su+"?reason=%01", 422, "")
		w.wantAt("DELETE", "/admin/v1"+su+"/websockets?reason=%01", 422, "")
	}
	w.want("POST /admin/v1/plan", 404, `{"overrides":[{"context":7,"property":"q","remove":true}]}`)
	if w.store.Head() != before {
		t.Errorf("something was written: %v", w.store.Head())
	}
}

// With a wrong token nothing is answered, and after many not even that.
func TestContractTokens(t *testing.T) {
	w, _ := newGuarded(t)
	for _, op := range withStatus("401") {
		if !strings.Contains(op, servicePaths) {
			w.want(op, 401, "")
		}
	}
	wrong := "Authorization: Bearer " + auth.NewTokenText()
	w.poll("too many", func() bool { return w.ask("GET", "/admin/v1/config", "", wrong).status == 429 })
	for _, op := range withStatus("429") {
		if !strings.Contains(op, servicePaths) {
			w.want(op, 429, "", wrong)
		}
	}
}

// Every write, done, done again, done by somebody who was too slow, and undone.
func TestContractWrites(t *testing.T) {
	w := newWorld(t, tree)
	for _, op := range withStatus("201") {
		if e := examples[op]; strings.HasPrefix(op, "PUT ") {
			a := w.want(op, 201, e.good)
			tag := "If-Match: " + a.header.Get("ETag")
			w.want(op, 412, e.good, "If-None-Match: *")
			w.want(op, 412, e.good, `If-Match: "999"`)
			w.want(op, 400, e.good, "If-Match: W/"+a.header.Get("ETag"))
			w.want(op, 200, e.good, tag)
			w.want(op, 412, e.good, tag)
			if get := "GET " + op[4:]; !strings.HasSuffix(op, "/properties") {
				w.want(get, 200, "")
			}
			if remove := "DELETE " + op[4:]; strings.Contains(op, "/properties") || strings.HasSuffix(op, "/websockets") {
				w.want(remove, 412, "", `If-Match: "999"`)
				w.want(remove, 200, "")
				w.want(remove, 404, "")
			}
		}
	}
	for _, op := range []string{"POST /admin/v1/overrides", "POST /admin/v1/import", "POST /admin/v1/plan"} {
		w.want(op, 200, examples[op].good)
	}
	w.want("POST /admin/v1/overrides", 404, `{"reason":"r","overrides":[{"context":7,"property":"q","remove":true}]}`)
	w.wantAt("POST", "/admin/v1/overrides?dryRun=true", 200, examples["POST /admin/v1/overrides"].good)
	w.want("GET /admin/v1/audit", 200, "")
	w.want("GET /admin/v1/users/sample", 200, "")
	w.wantAt("GET", "/admin/v1/users/sample?limit=0", 400, "")
	w.want("GET /admin/v1/export", 200, "")
	w.want("GET /admin/v1/audit/{revision}", 200, "")
	w.wantAt("GET", "/admin/v1/audit/9999", 404, "")
	w.wantAt("POST", "/admin/v1/audit/9999/revert", 404, `{"reason":"r"}`)
	w.want("POST /admin/v1/audit/{revision}/revert", 409, `{"reason":"r"}`)
	w.wantAt("POST", "/admin/v1/audit/1/revert?force=true", 200, `{"reason":"r"}`)
	for _, op := range []string{"DELETE /admin/v1/contexts/{context}/users/{user}", "DELETE /admin/v1/contexts/{context}"} {
		w.ask("PUT", filled.Replace(op[7:]), "{}")
		w.want(op, 412, "", `If-Match: "999"`)
		w.want(op, 200, "")
		w.want(op, 404, "")
		w.want("GET "+op[7:], 404, "")
	}
	for _, path := range []string{"/admin/v1/contexts/8/users/3/websockets", "/admin/v1/contexts/8/websockets"} {
		w.wantAt("PUT", path, 409, `{"enabled":false,"reason":"r","target":"platform"}`)
		w.wantAt("DELETE", path+"?target=platform", 409, "")
		w.wantAt("PUT", path, 422, `{"enabled":false,"reason":"r","target":"elsewhere"}`)
	}
	w.want("PUT /admin/v1/contexts/{context}/users/{user}/websockets", 409, examples["PUT /admin/v1/contexts/{context}/users/{user}/websockets"].good)
	w.want("POST /admin/v1/store/adopt", 409, `{"confirm":true}`)
}

// Where a file has the directory, nothing of it is written or listed.
func TestContractFixed(t *testing.T) {
	w := newWorld(t, tree)
	w.server.Fixed = true
	for _, op := range withStatus("409") {
		switch {
		case slices.Contains([]string{"POST /admin/v1/tokens", "DELETE /admin/v1/tokens/{token}", "POST /admin/v1/sessions", "DELETE /admin/v1/sessions", "DELETE /admin/v1/sessions/{session}", "POST /admin/v1/store/adopt", "POST /admin/v1/config/confirm", "POST /admin/v1/upgrade", "POST /admin/v1/mailpush/registrations", "GET /admin/v1/contexts/{context}/users/{user}/mailpush"}, op):
		case strings.HasSuffix(op, "/revert"):
		default:
			a := w.want(op, 409, examples[op].good)
			if !strings.Contains(a.body, `"directory_file"`) {
				t.Errorf("%s: %s", op, a.body)
			}
		}
	}
}

// What cannot be stored is refused, and said to be.
func TestContractUnavailable(t *testing.T) {
	w := newWorld(t, tree)
	w.want("PUT /admin/v1/contexts/{context}", 201, "{}")
	must(t, w.store.Close())
	w.server.Tokens = auth.NewStoreTokens(w.store)
	w.server.Sessions = brokenSessions{foreign{err: http.ErrServerClosed}}
	w.server.StoreSetup.Adopt = func(context.Context, bool) error { return store.ErrClosed }
	w.server.Platform = platformAway{}
	for _, op := range withStatus("503") {
		switch op {
		case "GET /readyz", "GET /admin/v1/events", "POST /admin/v1/messages", "POST /admin/v1/notifications":
		case "GET /admin/v1/tags":
			w.wantAt("GET", "/admin/v1/tags?context=7", 503, "")
		default:
			w.want(op, 503, examples[op].good)
		}
	}
	w.server.SetReady(false)
	for _, op := range []string{"GET /readyz", "GET /admin/v1/events"} {
		w.want(op, 503, "")
	}
	w.server.ClosePushes()
	w.want("POST /admin/v1/notifications", 503, examples["POST /admin/v1/notifications"].good)
}

// platformAway is a platform whose database never answered.
type platformAway struct{}

func (platformAway) Load(_ context.Context, su cascade.Subject) error {
	if su.Context == 0 {
		return nil
	}
	return platform.ErrUnavailable
}
func (platformAway) Refresh(context.Context) error { return platform.ErrUnavailable }
func (platformAway) Write(context.Context, platform.Write) (platform.Change, error) {
	return platform.Change{}, platform.ErrUnavailable
}

func (platformAway) Reread(context.Context, cascade.Subject) error { return platform.ErrUnavailable }

func (platformAway) Sample(context.Context, int) ([]cascade.Subject, error) {
	return nil, platform.ErrUnavailable
}

func (platformAway) Status() platform.Status {
	return platform.Status{Status: platform.Degraded, Problems: []string{}}
}

// brokenSessions are our own, in a store that fails.
type brokenSessions struct{ foreign }

func (b brokenSessions) Create(context.Context, *websockets.Session) error { return b.err }
func (b brokenSessions) Delete(context.Context, string) error              { return b.err }
func (b brokenSessions) EndOfUser(context.Context, uint32, uint32, string) (int, error) {
	return 0, b.err
}

// emptySum is that of no records.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// answering is a cluster of one other member, which says what it holds, and one that
// is silent.
type answering struct {
	Cluster
	holds func(*holdsQuestion) holdsAnswer
	asked *int // how often the silent one was
}

func (a answering) Ask(_ context.Context, _ string, body []byte, without ...string) (answers []remote.Answer) {
	if !slices.Contains(without, "s") {
		*a.asked++
		answers = []remote.Answer{{Member: "silent", Incarnation: "s", Err: errors.New("no answer")}}
	}
	var q holdsQuestion
	err := json.Unmarshal(body, &q)
	var text []byte
	if err == nil {
		text, err = json.Marshal(a.holds(&q))
	}
	return append(answers, remote.Answer{Member: "other", Incarnation: "o", Body: text, Err: err})
}

// nobody has no sockets, and is sent nothing.
type nobody struct{ remote.Deliverer }

func (nobody) Registrations(func(shared.Registration) bool) {}

// What a member holds becomes the truth when somebody confirms it, with what the
// others hold differently before their eyes.
func TestContractAdopt(t *testing.T) {
	redis := redistest.Start(t)
	client := redis.Client()
	log := slog.New(slog.DiscardHandler)
	link := testkit.Open(t, remote.New, remote.Options{
		Client: client, Cluster: "test", Member: "m", Lease: time.Second, Timings: remote.DefaultTimings,
		Buffered: func() int { return 1 }, Describe: func() remote.Member { return remote.Member{} }, Logger: log, Deliverer: nobody{},
	})
	running, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { link.Run(running) })
	defer work.Wait()
	defer stop()
	w := newWorld(t, tree)
	w.want("GET /admin/v1/store", 200, "")
	forced := false
	w.server.StoreSetup.Adopt = func(_ context.Context, force bool) error {
		if !force {
			return fmt.Errorf("%w: it has revision 1", store.ErrBehind)
		}
		forced = true
		return w.store.AdoptAlone()
	}
	silent := 0
	w.server.Cluster = answering{link, func(q *holdsQuestion) holdsAnswer {
		if q.Kind != store.KindContext {
			return holdsAnswer{Sum: emptySum}
		}
		return holdsAnswer{Count: 1, Sum: "other", Held: map[string]string{"00000007": "x", "00000009": "y"}}
	}, &silent}
	w.want("PUT /admin/v1/contexts/{context}", 201, "{}")
	w.wantAt("PUT", "/admin/v1/contexts/8", 201, "{}")
	a := w.want("POST /admin/v1/store/adopt", 200, "{}")
	for _, want := range []string{
		`"adopted":false`, `{"member":"other","key":{"kind":"context","context":7},"what":"other"}`,
		`{"member":"other","key":{"kind":"context","context":8},"what":"here"}`, `{"member":"other","key":{"kind":"context","context":9},"what":"there"}`,
		`"unreachable":["silent"]`,
	} {
		if !strings.Contains(a.body, want) || forced {
			t.Errorf("%s is missing in %s", want, a.body)
		}
	}
	if silent != 1 {
		t.Errorf("a member that does not answer was asked %d times", silent)
	}
	w.want("POST /admin/v1/store/adopt", 409, `{"confirm":true}`)
	a = w.want("POST /admin/v1/store/adopt", 200, `{"confirm":true,"force":true}`)
	if !forced || !strings.Contains(a.body, `"adopted":true`) {
		t.Errorf("%v %s", forced, a.body)
	}
	// A link that ends takes no message any more.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	link.Flush(ended)
	w.server.Cluster = link
	w.want("POST /admin/v1/messages", 503, examples["POST /admin/v1/messages"].good)
}

// The paths of the existing system's peers have their own login.
func TestContractService(t *testing.T) {
	var ops []string
	for op := range theContract().operations {
		if strings.Contains(op, servicePaths) && !isPublic(op) {
			ops = append(ops, op)
		}
	}
	w, _ := newGuarded(t)
	for _, op := range ops {
		w.want(op, 403, "")
	}
	w.file("login.properties", PropBasicLogin+"=mw\n"+PropBasicPassword+"=pw\n")
	w.reload()
	for _, op := range ops {
		w.want(op, 401, "")
	}
	wrong := "Authorization: Basic bXc6d3Jvbmc="
	w.poll("too many", func() bool {
		return w.ask("GET", "/preliminary/configuration/v1/property/a", "", wrong).status == 429
	})
	for _, op := range ops {
		w.want(op, 429, "", wrong)
	}
}
