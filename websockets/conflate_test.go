package websockets

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/seed47708276/sluice/shared"
)

// A flood of one topic gives up what is older of each key, and neither the socket
// nor any other message.
func TestConflate(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), eio4) // which has not joined: all waits
	send := func(name, key string, n int) {
		t.Helper()
		m := Message{Name: name, Args: json.RawMessage(fmt.Sprintf("[%q,%d]", key, n)), Label: shared.Label{Conflate: key}}
		if queued, err := w.server.SendToUser(1, 2, m, Target{}); queued != 1 || err != nil {
			t.Fatal(queued, err)
		}
	}
	send("other", "", 1)
	send("ox:mail:new", "Archive", 1)
	for i := range 10_000 {
		send("ox:mail:new", "INBOX", i)
	}
	send("other", "", 2)
	send("ox:calendar:updates", "INBOX", 1)
	send("ox:mail:new", "Drafts", 1)
	conflated := w.server.Stats().Conflated
	if waiting := 10_000 + 5 - conflated; waiting > DefaultMaxWaiting+4 || conflated == 0 {
		t.Errorf("%d wait, %d were given up", waiting, conflated)
	}
	c.join()
	// What was given up is counted, the rest comes in the order in which it was sent.
	last, mails := -1, 0
	c.want(`42["other","",1]`)
	c.want(`42["ox:mail:new","Archive",1]`)
	for mails = 1; last < 9_999; mails++ {
		var e []any
		text := c.read()
		if err := json.Unmarshal([]byte(text[2:]), &e); err != nil || e[0] != "ox:mail:new" || e[1] != "INBOX" || int(e[2].(float64)) <= last {
			t.Fatalf("%s after %d (%v)", text, last, err)
		}
		last = int(e[2].(float64))
	}
	if mails > DefaultMaxWaiting+1 {
		t.Errorf("%d mails came", mails)
	}
	c.want(`42["other","",2]`)
	c.want(`42["ox:calendar:updates","INBOX",1]`)
	c.want(`42["ox:mail:new","Drafts",1]`)
}

// A flood in more folders than a queue has places for leaves the socket open, and
// room for what may not be given up; the newest of the folders come.
func TestConflateManyFolders(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.login(1, 2), eio4) // which has not joined: all waits
	send := func(name, key string, n int) {
		t.Helper()
		m := Message{Name: name, Args: json.RawMessage(fmt.Sprintf("[%d]", n)), Label: shared.Label{Conflate: key}}
		if queued, err := w.server.SendToUser(1, 2, m, Target{}); queued != 1 || err != nil {
			t.Fatal(queued, err)
		}
	}
	const folders = 1000
	const most = DefaultQueueMessages / conflatedShare
	for i := range folders {
		topic := "ox:mail:new"
		if i%2 == 1 {
			topic = "ox:calendar:updates"
		}
		send(topic, fmt.Sprint(i), i)
	}
	for i := range DefaultQueueMessages - most - 1 { // one place is the CONNECT's
		send("other", "", i)
	}
	if n := w.server.Stats().Conflated; n != folders-most {
		t.Errorf("%d were given up, want %d", n, folders-most)
	}
	c.join()
	for i := folders - most; i < folders; i += 2 {
		c.want(fmt.Sprintf(`42["ox:mail:new",%d]`, i))
		c.want(fmt.Sprintf(`42["ox:calendar:updates",%d]`, i+1))
	}
	c.want(`42["other",0]`)
}
