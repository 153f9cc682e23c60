package websockets

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// A recorded handshake has no secret, wherever the client has put it.
func TestRecordedHandshake(t *testing.T) {
	s := newWorld(t).server
	for _, c := range []struct {
		name, target string
		header       http.Header
		want         Recorded
	}{
		{
			"as clients send it", "/socket.io/appsuite/?session=Geheim1&connection=c1&EIO=4&transport=websocket&token=Geheim2",
			http.Header{"Cookie": {"open-xchange-secret-abc=Geheim3; JSESSIONID=Geheim4.route"}, "User-Agent": {"Mozilla/5.0"}, "Authorization": {"Bearer Geheim5"}, "X-Forwarded-For": {"192.0.2.7"}, "X-Api-Key": {"Geheim6"}, "Sec-Websocket-Protocol": {"Geheim7"}},
			Recorded{
				Path: "/socket.io/appsuite/", Query: []string{"EIO=4", "connection=c1", "session=***", "token=***", "transport=websocket"},
				Headers: []string{"Authorization: ***", "Cookie: JSESSIONID=***", "Cookie: open-xchange-secret-abc=***", "Sec-Websocket-Protocol: ***", "User-Agent: Mozilla/5.0", "X-Api-Key: ***", "X-Forwarded-For: 192.0.2.7"},
			},
		},
		{"in the path", "/socket.io/appsuite/Geheim1/x", nil, Recorded{Path: "/socket.io/appsuite/***", Query: []string{}, Headers: []string{}}},
		{"behind a semicolon", "/ws/push;jsessionid=Geheim1", nil, Recorded{Path: "/ws/push", Query: []string{}, Headers: []string{}}},
		{"in a broken query", "/ws/push?session=%zzGeheim1", nil, Recorded{Path: "/ws/push", Query: []string{"***"}, Headers: []string{}}},
		{"in a broken cookie", "/ws/push", http.Header{"Cookie": {"Geheim1; =Geheim2"}}, Recorded{Path: "/ws/push", Query: []string{}, Headers: []string{"Cookie: ***", "Cookie: =***"}}},
		{"long", "/ws/push?EIO=" + strings.Repeat("4", 600), nil, Recorded{Path: "/ws/push", Query: []string{"EIO=" + strings.Repeat("4", 512) + "..."}, Headers: []string{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.target, nil)
			r.Header = c.header
			s.ServeHTTP(httptest.NewRecorder(), r)
			all := s.Handshakes()
			got := all[len(all)-1]
			if got.Result == handshakeOK || got.Time.IsZero() || got.Method != http.MethodGet || got.Host != "example.com" {
				t.Errorf("recorded %+v", got)
			}
			if !reflect.DeepEqual([]any{got.Path, got.Query, got.Headers}, []any{c.want.Path, c.want.Query, c.want.Headers}) {
				t.Errorf("got  %q\n%q\n%q\nwant %q\n%q\n%q", got.Path, got.Query, got.Headers, c.want.Path, c.want.Query, c.want.Headers)
			}
		})
	}
	for range 2 * handshakesKept {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/ws/push?session=a", nil))
	}
	if n := len(s.Handshakes()); n != handshakesKept {
		t.Errorf("%d are kept, want %d", n, handshakesKept)
	}
}
