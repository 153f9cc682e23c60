package cli_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var torture = flag.Bool("torture", false, "full counts instead of short rounds")

const (
	ledgerUsers = 24
	// inFlight is how many messages at least are on their way when a fault strikes.
	inFlight = 200
)

// ledger sends numbered messages to all members and knows what became of each.
// User u has a socket on each of two members; one sender for each member and
// user group posts in order.
type ledger struct {
	*fleet
	every   time.Duration // between two messages of a sender
	more    string        // of each message's JSON
	ids     bool          // each message has its text as its id
	logins  map[int]login // by user
	posting atomic.Int64  // messages that wait for their answer
	usual   time.Duration // of whole, while nothing fails
	sockets []*ledgerSocket
	node    *node // real clients; nil: there are none

	mu       sync.Mutex
	accepted map[string]*acceptedMessage
	refused  int
	unknown  int // no answer: it may have been accepted

	stop   context.CancelFunc
	ctx    context.Context
	work   sync.WaitGroup
	paused []atomic.Bool // by member: its senders wait
	busy   []sync.RWMutex
}

type acceptedMessage struct {
	member int
	user   int
	at     time.Time
	unsure bool
}

// ledgerSocket is a socket of a user and what it got. One that is opened again
// after its member was stopped is another.
type ledgerSocket struct {
	reader
	member, user int
	opened       time.Time
}

func newLedger(f *fleet, rate int) *ledger {
	l := &ledger{
		logins: make(map[int]login),
		fleet:  f, accepted: make(map[string]*acceptedMessage),
		paused: make([]atomic.Bool, len(f.members)), busy: make([]sync.RWMutex, len(f.members)),
		every: time.Second * time.Duration(len(f.members)*ledgerUsers) / time.Duration(rate),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for user := 1; user <= ledgerUsers; user++ {
		login := f.login(user)
		l.logins[user] = login
		for k := range 2 {
			l.open(login, (user+k)%len(f.members), user)
		}
	}
	return l
}

// open dials a socket, which reads until it is closed.
func (l *ledger) open(login login, member, user int) *ledgerSocket {
	l.t.Helper()
	conn, err := l.members[member].dial(login, fmt.Sprintf("c%d", time.Now().UnixNano()))
	if err != nil {
		l.t.Fatal(err)
	}
	s := &ledgerSocket{member: member, user: user, opened: time.Now()}
	l.mu.Lock()
	l.sockets = append(l.sockets, s)
	l.mu.Unlock()
	l.t.Cleanup(func() { _ = conn.CloseNow() })
	go s.run(conn) // ends with the connection
	return s
}

// send starts the senders of all members.
func (l *ledger) send() {
	for member := range l.members {
		for user := 1; user <= ledgerUsers; user++ {
			l.work.Go(func() { l.sender(member, user) })
		}
	}
}

func (l *ledger) sender(member, user int) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		l.busy[member].RLock()
		if !l.paused[member].Load() {
			l.post(member, user, fmt.Sprintf("%d/%d/%d", member, user, n))
		}
		l.busy[member].RUnlock()
	}
}

var ledgerClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: inFlight + 3*ledgerUsers, DialContext: dialAdmin},
}

func (l *ledger) post(member, user int, text string) {
	more := l.more
	if l.ids {
		more += fmt.Sprintf(`,"id":%q`, text)
	}
	body := fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":[%q]%s}`, user, text, more)
	l.posting.Add(1)
	defer l.posting.Add(-1)
	at := time.Now()
	res, err := ledgerClient.Post(adminURL(l.members[member].admin, "/admin/v1/messages"), "application/json", strings.NewReader(body))
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil, bytes.Contains(answer, []byte(`"unconfirmed"`)):
		l.unknown++
		l.accepted[text] = &acceptedMessage{member, user, at, true}
	case res.StatusCode == http.StatusOK:
		l.accepted[text] = &acceptedMessage{member, user, at, false}
	default:
		l.refused++
		if !bytes.Contains(answer, []byte(`"code"`)) {
			l.t.Errorf("refused without a code: %d %s", res.StatusCode, answer)
		}
	}
}

// strike waits until enough is in flight and calls the fault.
func (l *ledger) strike(fault func()) { l.strikeAt(inFlight, fault) }

func (l *ledger) strikeAt(enough int, fault func()) {
	l.t.Helper()
	flying := 0
	l.members[0].poll(fmt.Sprintf("%d messages are in flight", enough), func() bool {
		flying = int(l.posting.Load())
		for i, m := range l.members {
			if !l.paused[i].Load() {
				flying += m.buffered()
			}
		}
		return flying >= enough
	})
	l.t.Logf("%d messages in flight", flying)
	fault()
}

// pause stops the senders of a member, and returns when its last answer is here.
func (l *ledger) pause(member int) {
	l.paused[member].Store(true)
	l.busy[member].Lock()
	defer l.busy[member].Unlock()
}

func (l *ledger) resume(member int) { l.paused[member].Store(false) }

// settle ends the senders and waits until no member has anything left.
func (l *ledger) settle() {
	l.t.Helper()
	l.stop()
	l.work.Wait()
	for _, m := range l.members {
		limit := time.Now().Add(3 * patience)
		for m.buffered() > 0 {
			if time.Now().After(limit) {
				l.t.Fatalf("%s still has %d messages\n%s", m.name, m.buffered(), m.log())
			}
			m.poll("its buffer empties", func() bool { return m.buffered() == 0 })
		}
	}
}
