package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// both runs a test for each version of Engine.IO.
func both(t *testing.T, test func(t *testing.T, path string, three bool)) {
	t.Helper()
	for _, v := range []string{"3", "4"} {
		t.Run("version "+v, func(t *testing.T) {
			t.Parallel()
			test(t, "/engine.io/?EIO="+v+"&transport=websocket", v == "3")
		})
	}
}

// The open packet says what the suites expect.
func TestEngineOpen(t *testing.T) {
	_, url := serve(t, func(*server) {})
	for _, path := range []string{"/engine.io/?EIO=3", "/engine.io/?EIO=4", "/socket.io/?EIO=3", "/socket.io/?EIO=4"} {
		first := dialURL(t, url+path+"&transport=websocket").next()
		var open map[string]any
		if first[0] != '0' || json.Unmarshal([]byte(first[1:]), &open) != nil {
			t.Fatalf("%s: %s", path, first)
		}
		keys := slices.Sorted(maps.Keys(open))
		want := []string{"maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"}
		if strings.Contains(path, "EIO=3") {
			want = want[1:]
		} else if open["maxPayload"] != 1e6 {
			t.Errorf("%s: maxPayload %v", path, open["maxPayload"])
		}
		sid, _ := open["sid"].(string)
		upgrades, isList := open["upgrades"].([]any)
		if !slices.Equal(keys, want) || sid == "" || !isList || len(upgrades) > 0 || open["pingInterval"] != 300.0 || open["pingTimeout"] != 200.0 {
			t.Errorf("%s: %s", path, first)
		}
	}
}

// What gets no session is told why, as the reference servers do.
func TestEngineRefusals(t *testing.T) {
	_, url := serveSlowly(t)
	const transport, sid, method, request, version = `{"code":0,"message":"Transport unknown"}`, `{"code":1,"message":"Session ID unknown"}`,
		`{"code":2,"message":"Bad handshake method"}`, `{"code":3,"message":"Bad request"}`, `{"code":5,"message":"Unsupported protocol version"}`
	for _, c := range []struct{ method, query, body string }{
		{"GET", "?transport=polling", transport},
		{"GET", "?EIO=abc&transport=polling", transport},
		{"GET", "?EIO=4", transport},
		{"GET", "?EIO=4&transport=abc", transport},
		{"POST", "?EIO=4&transport=polling", transport},
		{"PUT", "?EIO=4&transport=polling", transport},
		{"GET", "?EIO=4&transport=polling&sid=abc", transport},
		{"GET", "?EIO=4&transport=websocket&sid=abc", sid},
		{"POST", "?EIO=4&transport=websocket", method},
		{"GET", "?EIO=4&transport=websocket", request},
		{"upgrade", "?transport=websocket", version},
		{"upgrade", "?EIO=abc&transport=websocket", version},
		{"upgrade", "?EIO=2&transport=websocket", version},
		{"upgrade", "?EIO=4", transport},
		{"upgrade", "?EIO=3", transport},
		{"upgrade", "?EIO=4&transport=abc", transport},
		{"upgrade", "?EIO=4&transport=websocket&sid=abc", sid},
	} {
		for _, path := range []string{"/engine.io/", "/socket.io/"} {
			status, body := ask(t, c.method, url+path+c.query)
			if status != 400 || body != c.body {
				t.Errorf("%s %s%s: %d %s, want %s", c.method, path, c.query, status, body, c.body)
			}
		}
	}
	if status, _ := ask(t, "upgrade", url+"/other/?EIO=4&transport=websocket"); status != 404 {
		t.Errorf("status %d", status)
	}
}

// ask makes a request; the method "upgrade" is one for a Web Socket.
func ask(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	var resp *http.Response
	if method == "upgrade" {
		ws, r, err := dialRaw(t, url)
		if err == nil {
			_ = ws.CloseNow()
			t.Fatalf("%s: connected", url)
		}
		resp = r
	} else {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err = transport.RoundTrip(r); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }() // read to its end
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestEngineMessages(t *testing.T) {
	_, url := serveSlowly(t)
	both(t, func(t *testing.T, path string, three bool) {
		c := dialURL(t, url+path)
		c.want("0{")
		for _, text := range []string{"4hello", "4", "4\u00e4\u2028\x00", "4" + strings.Repeat("x", maxPayload-1)} {
			c.send(text)
			c.want(text)
		}
		for _, data := range []string{"\x04\x01\x02\x03\x04", "\x04", "\x04\xff\xfe", "\x04" + strings.Repeat("x", maxPayload-1)} {
			c.sendBinary(data)
			c.want("bin:" + data)
		}
		if !three {
			c.sendBinary("\x01\x02\x03\x04")
			c.want("bin:\x01\x02\x03\x04")
			c.sendBinary("")
			c.want("bin:")
		}
		c.send("6") // nothing comes of a noop
		c.send("5") // nor of an upgrade that has nothing to end
		c.send("4end")
		c.want("4end")
	})
}

func TestEngineClosesOnInvalidPackets(t *testing.T) {
	_, url := serveSlowly(t)
	both(t, func(t *testing.T, path string, three bool) {
		type bad struct {
			frame string
			code  websocket.StatusCode
		}
		packets := []bad{
			{"abc", 1002},
			{"", 1002},
			{"7", 1002},
			{"9", 1002},
			{"0{}", 1002},
			{"bAQIDBA==", 1002},
			{"4\xff", 1007},
			{"4" + strings.Repeat("x", maxPayload), 1009},
			{"bin:\x04" + strings.Repeat("x", maxPayload), 1009},
			{"1", 1000},
		}
		if three {
			packets = append(packets, bad{"3", 1002}, bad{"3probe", 1002}, bad{"bin:", 1002}, bad{"bin:\x01\x02", 1002})
		} else {
			packets = append(packets, bad{"2", 1002}, bad{"2probe", 1002})
		}
		for _, b := range packets {
			c := dialURL(t, url+path)
			c.want("0{")
			if data, binary := strings.CutPrefix(b.frame, "bin:"); binary {
				c.sendBinary(data)
			} else {
				c.send(b.frame)
			}
			c.wantClose(b.code)
		}
	})
}

func TestEngineHeartbeat(t *testing.T) {
	_, url := serve(t, func(s *server) {
		s.engine.PingInterval, s.engine.PingTimeout = 50*time.Millisecond, patience
	})
	both(t, func(t *testing.T, path string, three bool) {
		c := dialURL(t, url+path)
		c.want("0{")
		for range 3 {
			if three {
				c.send("2")
				c.want("3")
				continue
			}
			c.want("2")
			c.send("3")
		}
		if three {
			c.send("2probe")
			c.want("3probe")
		}
		c.send("1")
		c.wantClose(1000)
	})
}

// A client that gives no sign of life is closed, however much else it sends in
// version 4.
func TestEnginePingTimeout(t *testing.T) {
	_, url := serve(t, func(s *server) {
		s.engine.PingInterval, s.engine.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	both(t, func(t *testing.T, path string, three bool) {
		c := dialURL(t, url+path)
		c.want("0{")
		if !three {
			c.want("2")
			_ = c.ws.Write(c.ctx, websocket.MessageText, []byte("4no pong")) // may come too late
		}
		c.wantClose(1008)
	})
}
