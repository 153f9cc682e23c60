package websockets

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const ownRecovery = "/socket.io/appsuite/?EIO=4&transport=websocket&recovery=1"

var connected = regexp.MustCompile(`40\{"sid":"([0-9a-f]{32})","pid":"([0-9a-f]{32})"\}`)

// ids are what the last CONNECT was answered with.
func (h *heard) ids() (sid, pid string) {
	h.t.Helper()
	until(h.t, "it is connected", func() bool { return connected.MatchString(h.String()) })
	m := connected.FindStringSubmatch(h.String())
	return m[1], m[2]
}

// offset is what a real client keeps: the last text of the last event.
func (h *heard) offset() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range slices.Backward(h.texts) {
		if rest, ok := strings.CutPrefix(text, "42"); ok {
			var list []any
			if err := json.Unmarshal([]byte(rest), &list); err != nil {
				h.t.Fatal(err)
			}
			last, _ := list[len(list)-1].(string)
			return last
		}
	}
	return ""
}

// Socket.IO's own recovery: nothing is missed, and nothing comes twice, whatever
// of it was confirmed.
func TestOwnRecovery(t *testing.T) {
	for _, path := range []string{ownRecovery, ownRecovery + "&connection=c1"} {
		t.Run(path, func(t *testing.T) {
			w := recovering(t, time.Minute)
			s := w.login(1, 2)
			c := w.dial(s, path).hear("")
			sid, pid := c.ids()
			until(t, "an offset comes before the first message", func() bool { return validOffset(c.offset()) })
			if !strings.Contains(c.String(), `42["sluice:position","`+c.offset()+`"]`) {
				t.Errorf("no position\n%s", c)
			}
			var got, want []string
			for round := range 10 {
				for i := range 5 {
					text := fmt.Sprint(round, "/", i)
					want = append(want, text)
					w.say(text)
				}
				c.wait(1 + round%3)
				c.cut(w)
				got = append(got, c.events()...)
				if len(c.events()) > 0 && !validOffset(c.offset()) {
					t.Fatalf("no offset\n%s", c)
				}
				text := fmt.Sprint(round, "/ while away")
				want = append(want, text)
				w.say(text)
				c = w.dial(s, path).hear(fmt.Sprintf(`{"pid":%q,"offset":%q}`, pid, c.offset()))
				if again, same := c.ids(); again != sid || same != pid {
					t.Errorf("recovered as %s, %s, not %s, %s", again, same, sid, pid)
				}
				if strings.Contains(c.String(), eventPosition) {
					t.Errorf("a position for a client that has one\n%s", c)
				}
			}
			c.wait(1)
			w.say("last")
			want = append(want, "last")
			until(t, "the last comes", func() bool { l := c.events(); return l[len(l)-1] == "last" })
			if got = append(got, c.events()...); !slices.Equal(got, want) {
				t.Errorf("came %q\nwant %q", got, want)
			}
			if st := w.server.Stats(); st.Recoveries["all"] != 10 || st.Recoveries["unknown"] != 0 {
				t.Errorf("%v", st.Recoveries)
			}
		})
	}
}

// What nobody knows, or is no offset, is not recovered, counted, and no error.
func TestOwnRecoveryBadInput(t *testing.T) {
	w := recovering(t, time.Minute)
	s, other := w.login(1, 2), w.login(1, 3)
	c := w.dial(other, ownRecovery).hear("")
	_, foreign := c.ids()
	offset := c.offset()
	c.cut(w)
	c = w.dial(s, ownRecovery).hear("")
	_, mine := c.ids()
	c.cut(w)
	_ = mine
	long := strings.Repeat("x", 10_000)
	unknown := int64(0)
	for _, auth := range []string{
		`{}`, `{"pid":17,"offset":[]}`, `{"pid":null}`, `{"offset":"x"}`, // which asks for nothing
		fmt.Sprintf(`{"pid":%q,"offset":%q}`, foreign, offset),
		fmt.Sprintf(`{"pid":%q,"offset":"x"}`, long),
		`{"pid":"x","offset":"` + long + `"}`,
		`{"pid":"x"}`,
		`{"pid":"\u0000","offset":"sluice:"}`,
	} {
		c := w.dial(s, ownRecovery).hear(auth)
		_, pid := c.ids()
		if strings.Contains(auth, `"pid":"`) {
			unknown++
		}
		w.say("n")
		c.wait(1)
		if pid == foreign || pid == mine || len(c.events()) != 1 {
			t.Errorf("%.50s: recovered\n%s", auth, c)
		}
		c.cut(w)
	}
	if st := w.server.Stats(); st.Recoveries["unknown"] != unknown || st.Recoveries["all"]+st.Recoveries["gap"]+st.Recoveries["foreign"] != 0 {
		t.Errorf("%v, want %d unknown", st.Recoveries, unknown)
	}
	// A pid of one's own with an offset that is none of ours: not recovered either.
	for _, bad := range []string{"x", "", long, offset + "0", "sluice:0000000000000000-1", "sluice:-"} {
		c := w.dial(s, ownRecovery).hear("")
		_, pid := c.ids()
		c.cut(w)
		c = w.dial(s, ownRecovery).hear(fmt.Sprintf(`{"pid":%q,"offset":%q}`, pid, bad))
		if _, again := c.ids(); again == pid {
			t.Errorf("recovered with the offset %.50q", bad)
		}
		c.cut(w)
	}
}

// Every event of such a client ends with an offset, those of the server's own too;
// others get neither a pid nor an offset.
func TestOffsetsOfNotices(t *testing.T) {
	w := recovering(t, time.Minute)
	w.gate.hold()
	s := w.login(1, 2)
	c := w.dial(s, ownRecovery).hear("")
	c.ids()
	w.say("1")
	c.wait(1)
	offset := c.offset()
	w.gate.refuse(1, 2, SwitchedOff)
	w.server.Recheck()
	until(t, "it is muted", func() bool { return strings.Contains(c.String(), `42["sluice:disabled","`+offset+`"]`) })
	w.gate.allow(1, 2)
	w.server.Recheck()
	until(t, "it is served", func() bool { return strings.Contains(c.String(), `42["sluice:enabled","`+offset+`"]`) })
	if err := w.sessions.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	<-c.ended
	if !strings.Contains(c.String(), `42["session:invalid","`+offset+`"]`+"\n41") {
		t.Errorf("no offset at the end\n%s", c)
	}
	plain := w.dial(w.login(1, 2), kinds["version 4"])
	plain.wantPrefix("0")
	plain.send(`40{"pid":"x","offset":"y"}`)
	if got := plain.wantPrefix(`40{"sid":"`); strings.Contains(got, "pid") {
		t.Errorf("a pid for a client that did not ask: %s", got)
	}
	w.say("2")
	plain.want(`42["n","2"]`)
}

// Messages of /ws have an id where the client wants one.
func TestIDs(t *testing.T) {
	w := recovering(t, time.Minute)
	s := w.login(1, 2)
	c := w.dial(s, "/ws/push?ids=1&connection=c1").hear("")
	until(t, "it is there", func() bool { return w.server.Count() == 1 })
	w.say("1")
	c.wait(1)
	w.say(`2 "\`)
	c.wait(2)
	c.cut(w)
	w.say("3")
	c2 := w.dial(s, "/ws/push?ids=1&connection=c1").hear("")
	c2.wait(1)
	seen := map[string]bool{}
	for _, text := range strings.Split(c.String()+"\n"+c2.String(), "\n") {
		var m struct {
			Name, Namespace, ID string
			Args                []string
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Name != "n" || m.Namespace != "/" || len(m.Args) != 1 || !validOffset(m.ID) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
		seen[m.ID+" "+m.Args[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("the messages have the ids %v", seen)
	}
}

// textOf is what the encoder makes of the same message.
func TestTextOf(t *testing.T) {
	for _, m := range []Message{
		{Name: "n"}, {Name: `a"b\c<d>`, Args: json.RawMessage(`[1,"x",{"a":[]}]`)}, {Name: "ü\u2028", Args: json.RawMessage(`[[]]`)},
	} {
		e, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(textOf(payloadOf(e.packet.data), ""), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(payloadOf(e.plain().data), &want); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
