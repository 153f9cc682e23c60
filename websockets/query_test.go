package websockets

import (
	"strings"
	"testing"
)

func TestParseParams(t *testing.T) {
	given := func(v string) param { return param{v, true} }
	for _, c := range []struct {
		query string
		want  params
		ok    bool
	}{
		{"", params{}, true},
		{"session=a&connection=b&EIO=4&transport=websocket", params{session: given("a"), connection: given("b"), version: given("4"), transport: given("websocket")}, true},
		{"session=a&session=b", params{session: given("a")}, true},
		{"session=&session=b", params{session: given("")}, true},
		{"session&x", params{session: given("")}, true},
		{"%73ession=%61+b", params{session: given("a b")}, true},
		{"session=a=b", params{session: given("a=b")}, true},
		{"session=a;connection=b", params{session: given("a;connection=b")}, true},
		{"&&sid=1&", params{sid: given("1")}, true},
		{"Session=a&eio=4", params{}, true},
		{"x=%zz&%zz=1&session=a", params{session: given("a")}, true},
		{"session=a&session=%zz", params{session: given("a")}, true},
		{"session=%zz", params{}, false},
		{"connection=%", params{}, false},
		{strings.Repeat("x", maxQuery), params{}, true},
		{strings.Repeat("x", maxQuery+1), params{}, false},
	} {
		got, refused := parseParams(c.query)
		if got != c.want || (refused == nil) != c.ok {
			t.Errorf("%.40q: %+v (%v), want %+v", c.query, got, refused, c.want)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add("session=a&connection=%41&EIO=4&transport=websocket&sid")
	f.Add("&=&%=&session=%zz")
	f.Fuzz(func(t *testing.T, query string) {
		p, refused := parseParams(query)
		if refused != nil && p != (params{}) {
			t.Errorf("%q is refused and read: %+v", query, p)
		}
		for _, one := range []param{p.session, p.connection, p.version, p.transport, p.sid} {
			if one.value != "" && !one.given || len(one.value) > len(query) {
				t.Errorf("%q: %+v", query, one)
			}
		}
	})
}
