package engineio

import (
	"encoding/json"
	"net/url"
	"testing"
)

func TestCheckRequest(t *testing.T) {
	for _, c := range []struct {
		method  string
		upgrade bool
		query   string
		version Version
		body    string // of the refusal
	}{
		{"GET", true, "EIO=4&transport=websocket", V4, ""},
		{"GET", true, "EIO=3&transport=websocket", V3, ""},
		{"GET", true, "EIO=4&transport=websocket&sid=", V4, ""},
		{"GET", true, "EIO=4&transport=websocket&t=abc&session=x", V4, ""},
		{"GET", true, "EIO=4", 0, `{"code":0,"message":"Transport unknown"}`},
		{"GET", true, "EIO=4&transport=abc", 0, `{"code":0,"message":"Transport unknown"}`},
		{"GET", false, "EIO=4&transport=polling", 0, `{"code":0,"message":"Transport unknown"}`},
		{"GET", true, "EIO=4&transport=websocket&transport=polling", 0, `{"code":0,"message":"Transport unknown"}`},
		{"POST", false, "EIO=4&transport=polling", 0, `{"code":0,"message":"Transport unknown"}`},
		{"GET", true, "EIO=4&transport=websocket&sid=abc", 0, `{"code":1,"message":"Session ID unknown"}`},
		{"GET", true, "EIO=4&transport=websocket&sid=&sid=abc", 0, `{"code":1,"message":"Session ID unknown"}`},
		{"POST", false, "EIO=4&transport=websocket&sid=abc", 0, `{"code":1,"message":"Session ID unknown"}`},
		{"POST", false, "EIO=4&transport=websocket", 0, `{"code":2,"message":"Bad handshake method"}`},
		{"PUT", true, "EIO=4&transport=websocket", 0, `{"code":2,"message":"Bad handshake method"}`},
		{"GET", false, "EIO=4&transport=websocket", 0, `{"code":3,"message":"Bad request"}`},
		{"GET", true, "transport=websocket", 0, `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", true, "EIO=abc&transport=websocket", 0, `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", true, "EIO=2&transport=websocket", 0, `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", true, "EIO=4&EIO=3&transport=websocket", 0, `{"code":5,"message":"Unsupported protocol version"}`},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		v, refused := CheckRequest(c.method, c.upgrade, q)
		body := ""
		if refused != nil {
			body = string(refused.AppendJSON(nil))
			if !json.Valid([]byte(body)) {
				t.Errorf("%s %s: %q is no JSON", c.method, c.query, body)
			}
		}
		if v != c.version || body != c.body {
			t.Errorf("%s %s, upgrade %v: version %d, %s", c.method, c.query, c.upgrade, v, body)
		}
	}
}
