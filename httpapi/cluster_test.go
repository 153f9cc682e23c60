package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// members link servers of one process. The first is asked.
type members struct {
	Distributor
	self   *world
	others []*world
	policy string                                                 // of Redis
	gone   map[string]bool                                        // do not answer
	answer func(w *world, op string, body []byte) ([]byte, error) // instead of what the others say
}

// add starts another member.
func (m *members) add(name string) *world {
	w := newWorld(m.self.t, tree)
	w.server.Member = name
	m.others = append(m.others, w)
	m.self.server.Cluster = m
	return w
}

func (m *members) get(name string) *world {
	for _, w := range append(m.others, m.self) {
		if w.server.Member == name {
			return w
		}
	}
	m.self.t.Fatalf("no member is called %s", name)
	return nil
}

func (m *members) sockets() (open int64, queued int64) {
	for _, w := range append(m.others, m.self) {
		open += w.sockets.Count()
		queued += w.sockets.Stats().Queued
	}
	return open, queued
}

func (m *members) Policy() string { return m.policy }

func (m *members) Stats() remote.Stats { return remote.Stats{} }

// Name implements Cluster, as do the other two.
func (m *members) Name() string { return "test" }

func (m *members) Members() (list []remote.Member, status string) {
	list = append(list, m.self.server.Self())
	status = "ok"
	for _, w := range m.others {
		o := w.server.Self()
		o.Self = false
		o.Age = 1234 * time.Millisecond
		if m.gone[o.Name] {
			o.Alive, o.Age, status = false, 7*time.Second, "degraded"
		}
		list = append(list, o)
	}
	return list, status
}

func (m *members) Problem() string {
	if _, status := m.Members(); status != "ok" {
		return "a member is gone"
	}
	return ""
}

func (m *members) Canaries() (list []remote.Canary) {
	for _, w := range m.others {
		list = append(list, remote.Canary{
			From: w.server.Member, Incarnation: w.server.incarnation, Late: m.gone[w.server.Member],
			Age: 300 * time.Millisecond, Took: 2 * time.Millisecond, Missed: 1,
		})
	}
	return list
}

func (m *members) Ask(_ context.Context, op string, body []byte, _ ...string) (answers []remote.Answer) {
	for _, w := range m.others {
		a := remote.Answer{Member: w.server.Member, Incarnation: w.server.incarnation}
		switch {
		case m.gone[a.Member]:
			a.Err = errors.New("no answer")
		case m.answer != nil:
			a.Body, a.Err = m.answer(w, op, body)
		default:
			a.Body, a.Err = w.server.AnswerMember(op, body)
		}
		answers = append(answers, a)
	}
	return answers
}

// TestClusterPages walks pages of each length over sockets of three members:
// they come in one order, each once.
func TestClusterPages(t *testing.T) {
	w := newWorld(t, tree)
	m := &members{self: w}
	worlds := []*world{w, m.add("two"), m.add("three")}
	const users = 9
	for u := range users {
		home := worlds[u*2%3]
		home.connect(home.login(u+1), "a")
		home = worlds[u%2] // the same user on a member that may be another
		home.connect(home.login(u+1), "b")
	}
	for _, limit := range []int{1, 2, 5, 17, 18, 19, 1000} {
		var all []listedSocket
		pages := 0
		for cursor := ""; ; pages++ {
			var page socketPage
			w.ask("GET", fmt.Sprintf("/admin/v1/sockets?limit=%d&cursor=%s", limit, cursor), "").into(t, &page)
			if len(page.Sockets) > limit || page.Next != "" && len(page.Sockets) != limit {
				t.Fatalf("limit %d: a page of %d", limit, len(page.Sockets))
			}
			all = append(all, page.Sockets...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		seen := map[string]bool{}
		for i, s := range all {
			if s.User != uint32(i/2+1) || seen[s.ID] || i%2 == 1 && s.ID < all[i-1].ID {
				t.Errorf("limit %d: place %d has %+v", limit, i, s)
			}
			if want := worlds[(int(s.User)-1)*2%3].server.Member; s.Connection == "a" && s.Member != want {
				t.Errorf("limit %d: %+v is of member %s", limit, s, want)
			}
			seen[s.ID] = true
		}
		if want := (2*users - 1) / limit; len(all) != 2*users || pages != want {
			t.Errorf("limit %d: %d sockets on %d more pages, want %d on %d", limit, len(all), pages, 2*users, want)
		}
	}
}

// TestShortAnswers holds that no socket is left out where an answer has room for
// fewer than were asked for.
func TestShortAnswers(t *testing.T) {
	w := newWorld(t, tree)
	m := &members{self: w}
	worlds := []*world{w, m.add("two"), m.add("three")}
	const users = 9
	for u := range users {
		home := worlds[u/2%3]
		home.connect(home.login(u+1), "a")
	}
	m.answer = func(other *world, op string, body []byte) ([]byte, error) {
		var page socketPage
		b, err := other.server.AnswerMember(op, body)
		must(t, errors.Join(err, json.Unmarshal(b, &page)))
		if len(page.Sockets) > 1 {
			page.Sockets = page.Sockets[:1]
			page.Next = websockets.Next(page.Sockets[0].Context, page.Sockets[0].User, page.Sockets[0].ID)
		}
		return json.Marshal(page)
	}
	for _, limit := range []int{1, 3, 100} {
		user := uint32(0)
		for cursor := ""; ; {
			var page socketPage
			w.ask("GET", fmt.Sprintf("/admin/v1/sockets?limit=%d&cursor=%s", limit, cursor), "").into(t, &page)
			for _, s := range page.Sockets {
				if user++; s.User != user {
					t.Errorf("limit %d: user %d comes after %d", limit, s.User, user-1)
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if user != users {
			t.Errorf("limit %d: %d sockets, want %d", limit, user, users)
		}
	}
}

// TestLongAnswers holds what goes through Redis below its bound, and that it
// says what it leaves out.
func TestLongAnswers(t *testing.T) {
	page := socketPage{}
	for range maxLimit {
		page.Sockets = append(page.Sockets, listedSocket{ID: randomID(), Context: 1, User: 2, Path: strings.Repeat("/p", 2000)})
	}
	b, err := page.encode()
	must(t, err)
	var got socketPage
	must(t, json.Unmarshal(b, &got))
	n := len(got.Sockets)
	if len(b) > maxMemberAnswer || n < 10 || got.Next != websockets.Next(1, 2, page.Sockets[n-1].ID) || !websockets.ValidNext(got.Next) {
		t.Errorf("%d sockets in %d bytes, next %s", n, len(b), got.Next)
	}
	value := strings.Repeat("v", 2000)
	r := memberReload{Member: "a", Status: reloadOK, ReloadResult: &cascade.ReloadResult{Generation: 7, Errors: []finding.Finding{}}}
	for range 1000 {
		r.Changed = append(r.Changed, cascade.Change{Property: "p", New: &value})
	}
	b, err = r.encode()
	must(t, err)
	var short memberReload
	must(t, json.Unmarshal(b, &short))
	if len(b) > maxMemberAnswer || len(short.Changed) < 100 || len(short.Changed)+short.Omitted != 1000 || short.Generation != 7 {
		t.Errorf("%d changes in %d bytes, %d omitted", len(short.Changed), len(b), short.Omitted)
	}
}

// TestBadAnswers holds that an answer of another member that makes no sense is
// none, and that its sockets are not mixed into the list.
func TestBadAnswers(t *testing.T) {
	w := newWorld(t, tree)
	w.connect(w.login(5), "a")
	m := &members{self: w}
	m.add("two")
	cursor := strings.Repeat("0", 48)
	for name, body := range map[string]string{
		"nothing":             ``,
		"text":                `hello`,
		"no socket's id":      `{"sockets":[{"id":"x","context":1,"user":1}],"next":""}`,
		"before the cursor":   `{"sockets":[{"id":"` + cursor[:32] + `"}],"next":""}`,
		"none and more":       `{"sockets":[],"next":"` + cursor + `"}`,
		"of another type":     `{"sockets":[{"id":7}]}`,
		"a list, not an page": `[]`,
	} {
		m.answer = func(*world, string, []byte) ([]byte, error) { return []byte(body), nil }
		var page socketPage
		a := w.ask("GET", "/admin/v1/sockets?cursor="+cursor, "")
		a.into(t, &page)
		if a.status != 200 || len(page.Sockets) != 1 || page.Sockets[0].User != 5 || strings.Join(page.Unreachable, " ") != "two" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		var r struct{ Members []memberReload }
		a = w.ask("POST", "/admin/v1/config/reload?cluster=true", "")
		a.into(t, &r)
		if a.status != 200 || len(r.Members) != 2 || r.Members[0].Status != "ok" || r.Members[1].Status != "unreachable" || r.Members[1].Error == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if !strings.Contains(w.logs.String(), `msg="a member did not answer" member=one op=sockets.list asked=two`) {
		t.Errorf("log: %s", w.logs.String())
	}
}

// TestQuestions holds that a member does nothing for a question that it does
// not understand wholly.
func TestQuestions(t *testing.T) {
	w := newWorld(t, tree)
	w.connect(w.login(5), "a")
	for _, c := range []struct{ op, body, want string }{
		{opClose, `{}`, "a close names a context, or all"},
		{opClose, ``, "bad_json"},
		{opClose, `{"context":7,"all":true}`, "a close names a context, or all"},
		{opClose, `{"context":7,"newer":"filter"}`, `"newer" is not known`},
		{opClose, `{"context":-7}`, `"context" is no value that fits`},
		{opClose, `{"user":5}`, "context"},
		{opClose, `{"context":7,"pathFilter":"no path"}`, "invalid path filter"},
		{opList, `{"cursor":"x"}`, "run the same Sluice on all members"},
		{"sockets.cloze", `{"context":7}`, "run the same Sluice on all members"},
		{"", `{}`, "run the same Sluice on all members"},
	} {
		if b, err := w.server.AnswerMember(c.op, []byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %s, %v, want %s", c.op, c.body, b, err, c.want)
		}
	}
	b, err := w.server.AnswerMember(opList, []byte(`{"limit":5}`))
	must(t, err)
	var page socketPage
	must(t, json.Unmarshal(b, &page))
	if len(page.Sockets) != 1 {
		t.Errorf("%s", b)
	}
	b, err = w.server.AnswerMember(opClose, []byte(`{"all":true,"from":"two","actor":"eve"}`))
	if err != nil || string(b) != `{"closed":1}` || !strings.Contains(w.logs.String(), "closed=1 actor=eve from=two") {
		t.Errorf("%s %v", b, err)
	}
}

// TestActorOnOtherMembers holds that every member logs who reloaded, confirmed or
// closed, and over which member.
func TestActorOnOtherMembers(t *testing.T) {
	w := newWorld(t, tree)
	m := &members{self: w, gone: map[string]bool{}}
	two := m.add("two")
	two.connect(two.login(5), "a")
	w.wantAt("POST", "/admin/v1/config/reload?cluster=true", 200, "")
	w.wantAt("DELETE", "/admin/v1/sockets?all=true", 200, "")
	two.file("sluice.properties", PropMaxClose+"=0\n")
	two.connect(two.login(6), "a")
	digest := two.hold(websockets.PropEnabled + "=false\n")
	w.want("POST /admin/v1/config/confirm", 200, fmt.Sprintf(`{"digest":%q}`, digest))
	for _, want := range []string{
		`msg="reload asked for" member=one actor=` + me + " from=one", `closed=1 actor=` + me + " from=one",
		`msg="held change confirmed" member=one digest=` + digest + " actor=" + me + " from=one",
	} {
		if log := two.logs.String(); !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
}

func TestMemberWarnings(t *testing.T) {
	at := time.Unix(1, 0).UTC()
	m := func(name, incarnation, digest string, alive bool) remote.Member {
		return remote.Member{Name: name, Incarnation: incarnation, Digest: digest, Started: at, Alive: alive, Self: name == "a"}
	}
	own := m("a", "1", "d+0", true)
	for _, c := range []struct {
		name     string
		members  []remote.Member
		drift    string // names
		warnings []string
	}{
		{"alone", []remote.Member{own}, "", nil},
		{"equal", []remote.Member{m("b", "2", "d+0", true), own}, "", nil},
		{"other files", []remote.Member{own, m("b", "2", "e+0", true)}, "b", []string{"member b has another configuration (generation 0, digest e+0) than this one, a (generation 0, digest d+0)"}},
		{"other overrides", []remote.Member{own, m("b", "2", "d+1", true)}, "b", []string{"digest d+1"}},
		{"one that ended", []remote.Member{own, m("b", "2", "e+0", false)}, "", nil},
		{"this one is not listed", []remote.Member{m("b", "2", "e+0", true)}, "b", []string{"than this one, a"}},
		{"one name", []remote.Member{m("b", "3", "d+0", true), own, m("b", "2", "d+0", true)}, "", []string{"two live processes are called b (incarnations 2 and 3): give each its own sluice.remote.member"}},
		{"one name, one ended", []remote.Member{m("b", "3", "d+0", true), own, m("b", "2", "d+0", false)}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l memberList
			l.fill(c.members, own)
			drift := ""
			for _, m := range l.Members {
				if m.Drift {
					drift += m.Name
				}
			}
			if drift != c.drift || len(l.Warnings) != len(c.warnings) || len(l.Members) != len(c.members) {
				t.Fatalf("%+v", l)
			}
			for i, want := range c.warnings {
				if !strings.Contains(l.Warnings[i], want) {
					t.Errorf("%q, want %q", l.Warnings[i], want)
				}
			}
		})
	}
}
