package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// brakedTree allows a change to close one socket of a member.
var brakedTree = map[string]string{
	"websockets.properties": websockets.PropEnabled + "=true\n",
	"sluice.properties":     PropMaxClose + "=1\n",
}

// hold saves a change that is held, and returns its digest.
func (w *world) hold(text string) string {
	w.t.Helper()
	w.file("websockets.properties", text)
	w.reload()
	var st struct {
		Status string
		Held   *cascade.Hold
	}
	w.ask("GET", "/admin/v1/config", "").into(w.t, &st)
	if st.Status != "held" || st.Held == nil {
		w.t.Fatalf("not held: %+v\n%s", st, w.logs.String())
	}
	return st.Held.Digest
}

// TestHeldChange saves a change that would send two users away where one may
// go: their sockets stay and so do new handshakes, everything that is shown says
// so, and one confirmation ends it.
func TestHeldChange(t *testing.T) {
	w := newWorld(t, brakedTree)
	a, b := w.connect(w.login(17), "a"), w.connect(w.login(18), "b")
	events := w.tail("kinds=config", "")
	digest := w.hold(websockets.PropEnabled + "=false\ncom.example.a=two\n")
	if e := events.next(); !strings.Contains(e, `"held":{"digest":"`+digest) {
		t.Error(e)
	}
	w.server.CloseRefused()
	w.wantMetric("sluice_config_held_sockets", "2")
	w.wantMetric("sluice_config_held_users", "2")
	w.wantMetric("sluice_config_holds_total", "1")
	c := w.connect(w.login(19), "c")
	var x cascade.Explanation
	w.ask("GET", "/admin/v1/contexts/7/users/17/properties/"+websockets.PropEnabled, "").into(t, &x)
	if x.Effective != true || x.Held == nil || x.Held.Effective != false || x.Held.Digest != digest {
		t.Errorf("explained as %+v", x)
	}
	if got := w.ask("GET", "/admin/v1/contexts/7/users/17/websockets", "").body; !strings.Contains(got, `"enabled":true`) || !strings.Contains(got, digest) {
		t.Error(got)
	}
	if got := w.ask("GET", "/admin/v1/properties/com.example.a", "").body; !strings.Contains(got, `"value":"two"`) {
		t.Errorf("the rest of the change does not count: %s", got)
	}
	for path, want := range map[string]string{"/readyz": `"name":"gate","status":"held"`, "/admin/v1/members": "member one holds a change"} {
		if got := w.ask("GET", path, "").body; !strings.Contains(got, want) || !strings.Contains(got, digest) {
			t.Errorf("%s: %s", path, got)
		}
	}

	w.want("POST /admin/v1/config/confirm", 409, `{"digest":"0123456789ab"}`)
	newer := w.hold(websockets.PropEnabled + "=false\ncom.example.a=three\n")
	old := w.want("POST /admin/v1/config/confirm", 409, fmt.Sprintf(`{"digest":%q}`, digest))
	if !strings.Contains(old.body, "one holds "+newer) {
		t.Error(old.body)
	}
	done := w.want("POST /admin/v1/config/confirm", 200, fmt.Sprintf(`{"digest":%q}`, newer))
	if done.body != fmt.Sprintf(`{"digest":%q,"members":[{"member":"one","status":"confirmed"}]}`+"\n", newer) {
		t.Error(done.body)
	}
	w.want("POST /admin/v1/config/confirm", 409, fmt.Sprintf(`{"digest":%q}`, newer))
	w.server.CloseRefused()
	for _, s := range []*socket{a, b, c} {
		s.closed(4403)
	}
	w.wantMetric("sluice_config_held_sockets", "0")
	if log := w.logs.String(); !strings.Contains(log, "actor="+me) || !strings.Contains(log, "held change confirmed") {
		t.Error(log)
	}
}

// TestClosedByOneChange warns where one change closes more than a few sockets,
// with what has closed them.
func TestClosedByOneChange(t *testing.T) {
	w := newWorld(t, map[string]string{"sluice.properties": PropMaxClose + "=off\n"})
	for u := range warnClosed + 1 {
		w.connect(w.login(17+u), "a")
	}
	w.ask("PUT", "/admin/v1/contexts/7/users/17/websockets", `{"enabled":false,"reason":"one"}`)
	w.server.CloseRefused()
	if log := w.logs.String(); strings.Contains(log, "level=WARN") || !strings.Contains(log, `[com.openexchange.websockets.enabled=false (override by `+me+` (one))]`) {
		t.Error(log)
	}
	w.ask("DELETE", "/admin/v1/contexts/7/users/17/websockets", "")
	w.connect(w.login(17), "a")
	w.ask("PUT", "/admin/v1/contexts/7", `{"enabled":false}`)
	w.server.CloseRefused()
	log := w.logs.String()
	i := strings.Index(log, "level=WARN msg=\"gate closed sockets\"")
	if i < 0 || !strings.Contains(log[i:], fmt.Sprintf("closed=%d", warnClosed+1)) || !strings.Contains(log[i:], "contextDisabled (the directory by "+me) {
		t.Error(log)
	}
}

// TestBulkWouldClose refuses a write of many records that would close two
// sockets where one may go, unless it names the number; one record is never
// refused.
func TestBulkWouldClose(t *testing.T) {
	w := newWorld(t, brakedTree)
	w.connect(w.login(17), "a")
	w.connect(w.login(18), "b")
	bulk := func(value string, users ...int) string {
		var list []string
		for _, u := range users {
			list = append(list, fmt.Sprintf(`{"context":7,"user":%d,"property":%q,"value":%q}`, u, websockets.PropEnabled, value))
		}
		return `{"reason":"r","overrides":[` + strings.Join(list, ",") + `]}`
	}
	const path = "/admin/v1/overrides"
	head := w.store.Head()
	got := w.wantAt("POST", path, 409, bulk("false", 17, 18))
	if !strings.Contains(got.body, `"code":"would_close"`) || !strings.Contains(got.body, "would close 2 sockets of 2 users") || !strings.Contains(got.body, "?confirm=2") {
		t.Error(got.body)
	}
	w.wantAt("POST", path+"?confirm=1", 409, bulk("false", 17, 18))
	w.wantAt("POST", path+"?confirm=x", 400, bulk("false", 17, 18))
	if w.store.Head() != head {
		t.Error("something was written")
	}
	w.wantAt("POST", path+"?dryRun=true", 200, bulk("false", 17, 18))
	w.wantAt("POST", path, 200, bulk("true", 17, 18))
	w.wantAt("POST", path, 200, bulk("false", 17, 99)) // one of them
	w.wantAt("POST", path, 200, bulk("true", 17, 99))
	// The one that was closed counts along.
	got = w.wantAt("POST", path+"?confirm=2", 409, bulk("false", 17, 18))
	if !strings.Contains(got.body, "would close 2 sockets of 2 users, of 2 that are open, and 3 with those that writes of many records closed within 10 minutes") {
		t.Error(got.body)
	}
	w.wantAt("POST", path+"?confirm=3", 200, bulk("false", 17, 18))
	w.wantAt("POST", path, 200, bulk("true", 17, 18))

	const lines = `{"context":{"id":7,"enabled":false}}` + "\n" + `{"context":{"id":8}}`
	w.wantAt("POST", "/admin/v1/import?reason=r", 409, lines, "Content-Type: "+ndjson)
	w.wantAt("POST", "/admin/v1/import?reason=r&confirm=5", 200, lines, "Content-Type: "+ndjson)
	w.wantAt("POST", fmt.Sprintf("/admin/v1/audit/%d/revert", w.store.Head().Revision), 200, `{"reason":"r"}`)
	w.wantAt("PUT", "/admin/v1/contexts/7", 201, `{"name":"acme"}`)

	// A new owner of the id ends the sessions of those who are served before and
	// after.
	const renamed = `{"context":{"id":7,"name":"other"}}` + "\n" + `{"context":{"id":8}}`
	w.wantAt("POST", "/admin/v1/import?reason=r", 409, renamed, "Content-Type: "+ndjson)
	w.wantAt("POST", "/admin/v1/import?reason=r&confirm=7", 200, renamed, "Content-Type: "+ndjson)
	w.wantAt("PUT", "/admin/v1/contexts/7", 200, `{"enabled":false}`)
}

// TestBulkWouldCloseInCluster counts the sockets of all members, in pages, with
// what each of them closed lately; a member that does not answer is named, and
// stops nothing by itself.
func TestBulkWouldCloseInCluster(t *testing.T) {
	w := newWorld(t, brakedTree)
	m := &members{self: w, gone: map[string]bool{}}
	two, three := m.add("two"), m.add("three")
	w.connect(w.login(17), "a")
	for u := range 3 {
		two.connect(two.login(17+u), "a")
	}
	three.connect(three.login(18), "a")
	three.connect(three.login(18), "b")
	three.connect(three.loginAt(8, 18), "a") // whom the write does not concern
	off := func(confirm string, want int) string {
		t.Helper()
		return w.wantAt("POST", "/admin/v1/overrides"+confirm, want, fmt.Sprintf(`{"reason":"r","overrides":[
			{"context":7,"property":%[1]q,"value":"false"},{"context":9,"property":%[1]q,"value":"false"}]}`, websockets.PropEnabled)).body
	}
	const all = "would close 6 sockets of 3 users, of 7 that are open (one 1, three 2, two 3); at most 1 go unasked, first com.openexchange.websockets.enabled=false (override by "
	if got := off("", 409); !strings.Contains(got, all) || !strings.Contains(got, "?confirm=6") {
		t.Error(got)
	}
	// Pages of one user each; what of a page belongs to the next one counts once.
	m.answer = func(o *world, op string, body []byte) ([]byte, error) {
		var a usersAnswer
		b, err := o.server.AnswerMember(op, body)
		must(t, errors.Join(err, json.Unmarshal(b, &a)))
		if len(a.Users) > 1 {
			a.Users, a.More = a.Users[:1], true
		}
		return json.Marshal(a)
	}
	if got := off("", 409); !strings.Contains(got, all) {
		t.Error(got)
	}
	// An answer that is no page is none.
	for name, body := range map[string]string{
		"more of nothing": `{"users":[],"more":true}`, "twice": `{"users":[[7,17,1],[7,17,1]]}`, "no user": `{"users":[[7,0,1]]}`, "text": `x`,
		"less than no sockets": `{"users":[[7,17,-9]]}`, "less than none open": `{"users":[],"connected":-1}`,
	} {
		m.answer = func(o *world, op string, question []byte) ([]byte, error) {
			if o == three {
				return []byte(body), nil
			}
			return o.server.AnswerMember(op, question)
		}
		if got := off("", 409); !strings.Contains(got, "would close 4 sockets of 3 users, of 4 that are open (one 1, two 3), without those of three, which did not say") {
			t.Errorf("%s: %s", name, got)
		}
	}
	m.answer = nil
	m.gone["two"] = true
	if got := off("", 409); !strings.Contains(got, "would close 3 sockets of 2 users, of 4 that are open (one 1, three 2), without those of two, which did not say") {
		t.Error(got)
	}
	m.gone["two"] = false
	// What such writes closed over another member counts along.
	two.server.bulkClosed.take(5, -1)
	if got := off("?confirm=6", 409); !strings.Contains(got, "and 11 with those that writes of many records closed within 10 minutes") {
		t.Error(got)
	}
	off("?confirm=11", 200)
	if got := w.server.bulkClosed.recent(); got != 6 {
		t.Errorf("%d are noted", got)
	}
}

// TestBulkAtOnceOnTwoMembers has another member asked for such a write at the
// same time: what that one has noted after this one counted its sockets is seen
// before this one writes.
func TestBulkAtOnceOnTwoMembers(t *testing.T) {
	w := newWorld(t, brakedTree)
	m := &members{self: w, gone: map[string]bool{}}
	two := m.add("two")
	w.connect(w.login(17), "a")
	off := func(confirm string, want int) string {
		t.Helper()
		return w.wantAt("POST", "/admin/v1/overrides"+confirm, want, fmt.Sprintf(`{"reason":"r","overrides":[
			{"context":7,"property":%[1]q,"value":"false"},{"context":9,"property":%[1]q,"value":"false"}]}`, websockets.PropEnabled)).body
	}
	var other *bulkClosing
	m.answer = func(o *world, op string, body []byte) ([]byte, error) {
		b, err := o.server.AnswerMember(op, body)
		if op == opUsers && other == nil {
			other, _ = two.server.bulkClosed.take(1, 1)
		}
		return b, err
	}
	if got := off("", 409); !strings.Contains(got, "would close 1 socket of 1 user, of 1 that are open") || !strings.Contains(got, "and 2 with those that") {
		t.Error(got)
	}
	if got := w.server.bulkClosed.recent(); got != 0 {
		t.Errorf("%d are noted of a write that was refused", got)
	}
	// The other one was refused as well, and its number is taken back.
	two.server.bulkClosed.undone(other)
	off("", 200)
	if got := w.server.bulkClosed.recent(); got != 1 {
		t.Errorf("%d are noted", got)
	}
}

// TestBulkClosedUndone takes back what was noted of a write that was not done,
// and lets no two writes at once count as the only one.
func TestBulkClosedUndone(t *testing.T) {
	var b bulkClosed
	first, _ := b.take(3, 5)
	if second, recent := b.take(3, 5); first == nil || second != nil || recent != 3 {
		t.Fatalf("%v, then %v beside %d", first, second, recent)
	}
	b.undone(first)
	if second, recent := b.take(3, 5); second == nil || recent != 0 {
		t.Errorf("%v beside %d", second, recent)
	}
	b.undone(nil)
}

// TestConnectedUsersQuestion refuses questions that make no sense, and keeps the
// largest answer within its bound.
func TestConnectedUsersQuestion(t *testing.T) {
	w := newWorld(t, tree)
	for body, want := range map[string]string{
		`{}`: "1 to 20000 contexts", `{"contexts":[]}`: "1 to 20000 contexts", `x`: "bad_json",
		`{"contexts":[7],"newer":1}`: `"newer" is not known`,
	} {
		if _, err := w.server.AnswerMember(opUsers, []byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	a := usersAnswer{More: true, Connected: 1 << 30, Recent: 1 << 30}
	for range usersPage {
		a.Users = append(a.Users, [3]uint32{cascade.MaxID, cascade.MaxID, 1000})
	}
	if b, err := json.Marshal(a); err != nil || len(b) > maxMemberAnswer {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	q := usersQuestion{}
	for range store.MaxChanges {
		q.Contexts = append(q.Contexts, cascade.MaxID)
	}
	if b, err := json.Marshal(q); err != nil || len(b) > maxMemberAnswer {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestConfirmInCluster confirms a change on the member that is asked, on one
// that has it too, on one that gets it later, and on another than the one asked.
func TestConfirmInCluster(t *testing.T) {
	w := newWorld(t, brakedTree)
	m := &members{self: w, gone: map[string]bool{}}
	two, three := m.add("two"), m.add("three")
	for _, o := range []*world{two, three} {
		for name, text := range brakedTree {
			o.file(name, text)
		}
		for _, name := range []string{"a.properties", "server.properties", "contextSets/premium.yml"} {
			o.file(name, "")
		}
		o.reload()
	}
	for _, name := range []string{"a.properties", "server.properties", "contextSets/premium.yml"} {
		w.file(name, "")
	}
	w.reload()
	for _, o := range []*world{w, two, three} {
		o.connect(o.login(17), "a")
		o.connect(o.login(18), "b")
	}
	const off = websockets.PropEnabled + "=false\n"
	digest := two.hold(off)
	if got := w.ask("GET", "/admin/v1/members", "").body; !strings.Contains(got, "member two holds a change") {
		t.Error(got)
	}
	// Asked is one, which does not have it.
	done := w.want("POST /admin/v1/config/confirm", 200, fmt.Sprintf(`{"digest":%q}`, digest))
	if want := `[{"member":"one","status":"noted"},{"member":"three","status":"noted"},{"member":"two","status":"confirmed"}]`; !strings.Contains(done.body, want) {
		t.Errorf("%s, want %s", done.body, want)
	}
	for _, o := range []*world{w, three} {
		o.file("websockets.properties", off)
		o.reload()
		if h := o.engine.Status().Held; h != nil {
			t.Errorf("%s holds %+v after the confirmation", o.server.Member, h)
		}
	}
	m.gone["three"] = true
	if got := w.want("POST /admin/v1/config/confirm", 409, fmt.Sprintf(`{"digest":%q}`, digest)); !strings.Contains(got.body, "three") {
		t.Errorf("a second confirmation: %s", got.body)
	}
}

// BenchmarkBrake counts whom a change would close, beside asking the gate for
// everybody, for 100,000 users.
func BenchmarkBrake(b *testing.B) {
	const users = 100_000
	dir := b.TempDir()
	e := openBench(b, dir)
	enabled := e.Bool(websockets.PropEnabled)
	off := cascade.Batch{Contexts: []cascade.Context{{ID: 9, Enabled: true}}}
	b.Run("recheck", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			must(b, e.Apply(off)) // a swap, which forgets all answers
			b.StartTimer()
			sn := e.Snapshot()
			for u := range uint32(users) {
				su := cascade.Subject{Context: 1 + u/1000, User: 1 + u%1000}
				if sn.Account(su) != cascade.AccountOpen || !enabled.In(sn, su) {
					b.Fatal(su)
				}
			}
		}
	})
	// What the gate does not read asks for nobody.
	b.Run("unconcerned", func(b *testing.B) {
		now := e.Snapshot()
		must(b, os.WriteFile(filepath.Join(dir, "other.properties"), []byte("com.openexchange.other=1\n"), 0o600))
		_, err := e.Reload(b.Context())
		must(b, err)
		must(b, e.Apply(cascade.Batch{Overrides: []cascade.Override{{Key: cascade.Key{Subject: cascade.Subject{Context: 1, User: 1}, Property: "com.openexchange.other"}, Value: "2"}}}))
		then := e.Snapshot()
		for b.Loop() {
			if !then.Unchanged(now, websockets.PropEnabled, websockets.PropWhenDisabled) {
				b.Fatal("a property that the gate does not read concerns it")
			}
		}
	})
	b.Run("brake", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			must(b, e.Apply(off))
			now := e.Snapshot()
			must(b, e.Apply(off))
			then := e.Snapshot()
			b.StartTimer()
			serves, served := then.Serving(websockets.PropEnabled), now.Serving(websockets.PropEnabled)
			for u := range uint32(users) {
				su := cascade.Subject{Context: 1 + u/1000, User: 1 + u%1000}
				if !serves(su) && served(su) {
					b.Fatal(su)
				}
			}
		}
	})
}

func openBench(b *testing.B, dir string) *cascade.Engine {
	b.Helper()
	schema, err := cascade.NewSchema(websockets.Prefixes, websockets.Properties, Properties)
	must(b, err)
	e, err := cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema, Gate: websockets.PropEnabled})
	must(b, err)
	return e
}
