package cli_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
)

// ending is a way in which a socket ends: a row of docs/clients.md.
type ending struct {
	code   int
	reason string
	before []string // packets
	stops  bool     // the client does not come back
}

// endings are the rows, those on which clients stop at the end.
func endings(t *testing.T) (all []ending) {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| (\\d{4}) \\| (?:`([^`]*)` )?\\| ([^|]*?) ?\\| (yes|no)? ?\\|")
	var last []ending
	for _, m := range row.FindAllStringSubmatch(clientPage(t), -1) {
		code, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		e := ending{code: code, reason: m[2], stops: m[4] == "no"}
		for _, what := range strings.Split(m[3], ", ") {
			switch {
			case what == "DISCONNECT":
				e.before = append(e.before, "41")
			case what != "":
				e.before = append(e.before, `42["`+strings.Trim(what, "`")+`"]`)
			}
		}
		switch {
		case m[4] == "": // the client's own
		case e.stops:
			last = append(last, e)
		default:
			all = append(all, e)
		}
	}
	if len(all) < 10 || len(last) < 3 {
		t.Fatalf("docs/clients.md has %d ends after which clients come back and %d after which they do not", len(all), len(last))
	}
	return append(all, last...)
}

// TestClientsAndEnds holds what docs/clients.md says of the clients' libraries: after
// which ends they come back by themselves. A server of the test's ends each of their
// sockets in another way, since no server of ours breaks its own rules; the ends at which they
// stop get a client each.
func TestClientsAndEnds(t *testing.T) {
	ends := endings(t)
	for _, lib := range []string{"sio1", "sio2", "sio3", "sio4"} {
		t.Run(lib, func(t *testing.T) {
			t.Parallel()
			from := 0
			for from < len(ends) {
				first := from
				var came atomic.Int64
				host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					i := first + int(came.Add(1)) - 1
					if i >= len(ends) {
						http.Error(w, "nothing follows", http.StatusServiceUnavailable)
						return
					}
					if err := end(w, r, &ends[i]); err != nil {
						t.Errorf("%d %s: %v", ends[i].code, ends[i].reason, err)
					}
				}))
				n := runNode(t, lib, nil, "client.js", lib, host.URL, "s", "a=b", "c")
				stopped := func() bool {
					n.mu.Lock()
					defer n.mu.Unlock()
					for _, e := range n.events {
						if e.Event == "disconnect" && strings.HasSuffix(string(e.Data), ` disconnect"`) { // by the server, or itself once its session is invalid
							return true
						}
					}
					return false
				}
				testkit.Poll(t, "the client stops", stopped)
				host.Close()
				last := first + int(came.Load()) - 1
				if last >= len(ends) || !ends[last].stops {
					t.Fatalf("%s stopped after %d ends, with %+v", lib, last-first+1, ends[min(last, len(ends)-1)])
				}
				from = last + 1
			}
		})
	}
}

// end opens a socket of Socket.IO as a server does, and ends it.
func end(w http.ResponseWriter, r *http.Request, e *ending) error {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	say := func(packets ...string) {
		for _, packet := range packets {
			err = errors.Join(err, conn.Write(ctx, websocket.MessageText, []byte(packet)))
		}
	}
	hear := func() {
		_, _, got := conn.Read(ctx)
		err = errors.Join(err, got)
	}
	say(`0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`)
	if r.URL.Query().Get("EIO") == "4" {
		hear()
		say(`40{"sid":"b"}`)
	} else {
		say("40")
	}
	say(e.before...)
	if e.code != 1006 {
		_ = conn.Close(websocket.StatusCode(e.code), e.reason) // it may not wait for an answer
	}
	return err
}
