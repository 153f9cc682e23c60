package websockets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/websockets"
)

// everybody is a gate that is open for all users but one.
type everybody struct{ but atomic.Uint32 }

func (g *everybody) Allowed(_, user uint32) websockets.Verdict {
	return websockets.Verdict{Allowed: user != g.but.Load()}
}

// serve starts a server with a session of user 17 in context 1.
func serve(o websockets.Options) (server *websockets.Server, session *websockets.Session, url string, end func()) {
	sessions := websockets.NewMemorySessions(func(s *websockets.Session) { server.CloseSession(s) })
	cfg := websockets.DefaultConfig()
	cfg.Cookie.Salt = "of the cookie's name"
	o.Sessions, o.Config = sessions, func() *websockets.Config { return cfg }
	server, err := websockets.New(o)
	if err != nil {
		log.Fatal(err)
	}
	session = websockets.NewSession(1, 17, "example", "", time.Hour, cfg.Cookie)
	if err := sessions.Create(context.Background(), session); err != nil {
		log.Fatal(err)
	}
	listener := httptest.NewServer(server)
	return server, session, listener.URL, func() {
		server.Close()
		listener.Close()
		sessions.Close()
	}
}

// connect opens a socket of /ws/, which speaks plain text, or of /socket.io/.
func connect(url string, session *websockets.Session) *websocket.Conn {
	conn, _, err := websocket.Dial(context.Background(), url+"session="+session.ID, &websocket.DialOptions{
		HTTPHeader: http.Header{"Cookie": {session.CookieName() + "=" + session.Secret}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func read(conn *websocket.Conn) string {
	_, data, err := conn.Read(context.Background())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// A message reaches all sockets of a user that its target matches.
func ExampleServer_SendToUser() {
	server, session, url, end := serve(websockets.Options{Gate: &everybody{}})
	defer end()
	conn := connect(url+"/ws/push?", session)
	defer conn.CloseNow()

	m := websockets.Message{Name: "ox:mail:new", Args: json.RawMessage(`[{"folder":"default0/INBOX"}]`)}
	if err := m.Validate(); err != nil {
		log.Fatal(err)
	}
	queued, err := server.SendToUser(1, 17, m, websockets.Target{PathFilter: "/ws/*"})
	fmt.Println(queued, err)
	fmt.Println(read(conn))
	// Output:
	// 1 <nil>
	// {"name":"ox:mail:new","args":[{"folder":"default0/INBOX"}],"namespace":"/"}
}

// Recheck asks the gate again for every connected user, and closes the sockets of
// those that it serves no longer.
func ExampleServer_Recheck() {
	gate := &everybody{}
	server, session, url, end := serve(websockets.Options{Gate: gate})
	defer end()
	conn := connect(url+"/ws/push?", session)
	defer conn.CloseNow()

	fmt.Println(server.Recheck()) // users, and sockets closed
	gate.but.Store(17)
	server.Recheck()
	_, _, err := conn.Read(context.Background())
	fmt.Println(int(websocket.CloseStatus(err)))
	// Output:
	// 1 0
	// 4403
}

// OnEvent answers what clients send: here with the arguments of the event, as the
// ack that the client has asked for.
func ExampleOptions() {
	_, session, url, end := serve(websockets.Options{
		Gate: &everybody{},
		OnEvent: func(e websockets.Event) (json.RawMessage, [][]byte) {
			fmt.Println("user", e.User, "says", e.Name)
			return e.Args, nil
		},
	})
	defer end()
	conn := connect(url+"/socket.io/?EIO=4&transport=websocket&", session)
	defer conn.CloseNow()

	ctx := context.Background()
	read(conn) // the open packet of Engine.IO, 0{...}
	if err := conn.Write(ctx, websocket.MessageText, []byte("40")); err != nil {
		log.Fatal(err)
	}
	read(conn) // the answer to CONNECT, 40{...}
	if err := conn.Write(ctx, websocket.MessageText, []byte(`427["hello","world"]`)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(read(conn))
	// Output:
	// user 17 says hello
	// 437["world"]
}
