package main

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	socket4 = "/socket.io/?EIO=3&transport=websocket" // Socket.IO protocol 4
	socket5 = "/socket.io/?EIO=4&transport=websocket"
)

// joined is a client in "/".
func joined(t *testing.T, url, path string) *client {
	t.Helper()
	c := dialURL(t, url+path)
	c.want("0{")
	if path == socket4 {
		c.want("40", `42["auth",{}]`)
	} else {
		c.send("40")
		c.want(`40{"sid":SID}`, `42["auth",{}]`)
	}
	return c
}

func TestSocketConnect(t *testing.T) {
	_, url := serveSlowly(t)
	for _, c := range []struct {
		send string
		want []string
	}{
		{"40", []string{`40{"sid":SID}`, `42["auth",{}]`}},
		{`40{"token":"123"}`, []string{`40{"sid":SID}`, `42["auth",{"token":"123"}]`}},
		{"40/custom,", []string{`40/custom,{"sid":SID}`, `42/custom,["auth",{}]`}},
		{"40/custom", []string{`40/custom,{"sid":SID}`, `42/custom,["auth",{}]`}},
		{`40/custom,{"token":"abc"}`, []string{`40/custom,{"sid":SID}`, `42/custom,["auth",{"token":"abc"}]`}},
		{"40/random", []string{`44/random,{"message":"Invalid namespace"}`}},
		{"40/__proto__,{}", []string{`44/__proto__,{"message":"Invalid namespace"}`}},
		{"40/custom?a=b,", []string{`44/custom?a=b,{"message":"Invalid namespace"}`}},
	} {
		cl := dialURL(t, url+socket5)
		cl.want("0{")
		cl.send(c.send)
		cl.want(c.want...)
	}
	// Protocol 4 joins "/" by itself and refuses in its own form.
	cl := joined(t, url, socket4)
	cl.send("40/custom?token=abc,")
	cl.want("40/custom,", `42/custom,["auth",{}]`)
	cl.send("40/random?x=y,")
	cl.want(`44/random,"Invalid namespace"`)
	cl.send("40")
	cl.send(`42["message","still here"]`)
	cl.want(`42["message-back","still here"]`)
}

// A client that answers its pings and joins nothing is closed all the same.
func TestSocketConnectTimeout(t *testing.T) {
	_, url := serve(t, func(s *server) {
		s.engine.PingInterval, s.engine.PingTimeout, s.socket.ConnectTimeout = 20*time.Millisecond, patience, 100*time.Millisecond
	})
	closed := func(c *client) {
		t.Helper()
		for {
			kind, data, err := c.ws.Read(c.ctx)
			if err != nil {
				if websocket.CloseStatus(err) != 1008 || !strings.Contains(err.Error(), "CONNECT") {
					t.Error(err)
				}
				return
			}
			if kind == websocket.MessageText && string(data) == "2" {
				_ = c.ws.Write(c.ctx, websocket.MessageText, []byte("3")) // may come too late
			}
		}
	}
	c := dialURL(t, url+socket5)
	c.want("0{")
	closed(c)
	c = dialURL(t, url+socket5)
	c.want("0{")
	c.send("40/random")
	closed(c)
}

func TestSocketDisconnect(t *testing.T) {
	_, url := serve(t, func(s *server) {
		s.engine.PingInterval, s.engine.PingTimeout, s.socket.ConnectTimeout = 50*time.Millisecond, patience, patience
	})
	c := joined(t, url, socket5)
	c.send("41")
	for !strings.HasPrefix(c.next(), "2") { // the connection goes on
	}
	_, url = serveSlowly(t)
	for _, path := range []string{socket4, socket5} {
		c := joined(t, url, path)
		c.send("40/custom")
		if path == socket4 {
			c.want("40/custom,")
		} else {
			c.want(`40/custom,{"sid":SID}`)
		}
		c.want(`42/custom,["auth",{}]`)
		c.send("41/custom")
		c.send(`42["message","message to main namespace"]`)
		c.want(`42["message-back","message to main namespace"]`)
		c.send(`42/custom,["message"]`)
		c.wantClose(1002)
	}
}

func TestSocketMessages(t *testing.T) {
	_, url := serveSlowly(t)
	const two = `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}`
	for _, path := range []string{socket4, socket5} {
		c := joined(t, url, path)
		prefix := ""
		if path == socket4 {
			prefix = "\x04"
		}
		for _, x := range []struct {
			send   string
			binary []string
			want   string
		}{
			{`42["message",1,"2",{"3":[true]}]`, nil, `42["message-back",1,"2",{"3":[true]}]`},
			{`42["message" , "<b>" ]`, nil, `42["message-back","<b>"]`},
			{`452-["message",` + two + "]", []string{"\x01\x02\x03", "\x04\x05\x06"}, `452-["message-back",` + two + "]"},
			{`451-["message",{"a":[{"num":0,"_placeholder":true}]}]`, []string{""}, `451-["message-back",{"a":[{"num":0,"_placeholder":true}]}]`},
			{`42456["message-with-ack",1,"2",{"3":[false]}]`, nil, `43456[1,"2",{"3":[false]}]`},
			{`420["message-with-ack"]`, nil, "430[]"},
			{`429007199254740991["message-with-ack"]`, nil, "439007199254740991[]"},
			{`452-789["message-with-ack",` + two + "]", []string{"\x01\x02\x03", "\x04\x05\x06"}, "462-789[" + two + "]"},
			{`42["__proto__",{"__proto__":{}}]`, nil, ""},
			{`42["message-with-ack"]`, nil, ""},
			{`43999[1]`, nil, ""}, // nobody asked
			{`461-999[{"_placeholder":true,"num":0}]`, []string{"x"}, ""},
			{`42["ask",1]`, nil, `420["question",1]`},
			{`430["a",2]`, nil, `42["answer","a",2]`},
			{`430["again"]`, nil, ""},
			{`452-["ask",` + two + "]", []string{"a", "b"}, `452-1["question",` + two + "]"},
			{`461-1[{"_placeholder":true,"num":0}]`, []string{"\xff"}, `451-["answer",{"_placeholder":true,"num":0}]`},
		} {
			c.send(x.send)
			for _, data := range x.binary {
				c.sendBinary(prefix + data)
			}
			if x.want == "" {
				continue
			}
			c.want(x.want)
			for _, data := range x.binary {
				c.want("bin:" + prefix + data)
			}
		}
	}
}

func TestSocketClosesOnInvalidPackets(t *testing.T) {
	_, url := serveSlowly(t)
	const one = `451-["message",{"_placeholder":true,"num":0}]`
	for _, x := range []struct {
		send []string
		code websocket.StatusCode
	}{
		{[]string{"4abc"}, 1002},
		{[]string{"4"}, 1002},
		{[]string{"42{}"}, 1002},
		{[]string{"42[]"}, 1002},
		{[]string{"42[1]"}, 1002},
		{[]string{`42[{"toString":"x"}]`}, 1002},
		{[]string{`42["disconnect"]`}, 1002},
		{[]string{`42abc["message-with-ack",1,"2",{"3":[false]}]`}, 1002},
		{[]string{`429007199254740992["message-with-ack"]`}, 1002},
		{[]string{`42/custom,["message"]`}, 1002},
		{[]string{"40"}, 1002}, // twice
		{[]string{`44{"message":"x"}`}, 1002},
		{[]string{`450-["message"]`}, 1002},
		{[]string{`4511-["message"]`}, 1002},
		{[]string{`4599999999-["message"]`}, 1002},
		{[]string{`451-["message",{"_placeholder":true,"num":"splice"}]`}, 1002},
		{[]string{`451-["message",{"_placeholder":true,"num":1}]`}, 1002},
		{[]string{`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`}, 1002},
		{[]string{one, `42["message"]`}, 1002},
		{[]string{"bin:x"}, 1003},
		{[]string{one, "bin:" + strings.Repeat("x", maxPayload-10)}, 1009},
	} {
		c := joined(t, url, socket5)
		for _, frame := range x.send {
			if data, binary := strings.CutPrefix(frame, "bin:"); binary {
				c.sendBinary(data)
			} else {
				c.send(frame)
			}
		}
		c.wantClose(x.code)
	}
	// Before anything is joined.
	for _, frame := range []string{"4abc", `42["message"]`, "41", "430[]"} {
		c := dialURL(t, url+socket5)
		c.want("0{")
		c.send(frame)
		c.wantClose(1002)
	}
}
