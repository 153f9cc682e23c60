package remote

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/shared"
)

func TestEnvelope(t *testing.T) {
	for _, m := range []Message{
		{Name: "n", Args: `[]`, Label: shared.Label{ID: "1"}},
		{Context: 1337, Name: "n", Args: `[1]`, Label: shared.Label{ID: "1"}},
		{Name: "n", Args: `[]`, Label: shared.Label{ID: "1", IDs: []string{"1", "<&>"}}},
		{Label: shared.Label{ID: strings.Repeat("x", 128)}, Context: 2147483647, User: 17, Target: shared.Target{PathFilter: "/socket.io/appsuite/*", SourceToken: "abc"}, Name: "ox:mail:new", Args: `[{"a":"<&>\u2028?==? ?=3D=3D? \u0000\n"},[[]],null]`},
	} {
		text, err := encodeEnvelope("member#1", &parcel{Message: m})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEnvelope(text)
		if err != nil || !reflect.DeepEqual(got.Message, m) || got.Origin != "member#1" {
			t.Errorf("%s becomes %+v, %v", text, got, err)
		}
	}
}

func TestEnvelopeOfOthers(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"future":{"x":1}}`, nil},
		{`{"v":2,"id":["another","type"]}`, ErrVersion},
		{`{"v":9223372036854775807}`, ErrVersion},
		{`{"v":0,"id":"a","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{`{"v":-1,"id":"a","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{`{"v":1.5,"id":"a","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{`{"v":"1","id":"a","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{`{"id":"a","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{``, ErrEnvelope},
		{`null`, ErrEnvelope},
		{`[1]`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[`, ErrEnvelope},
		{`{"v":1,"id":"","o":"m","n":"e","a":[]}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"","n":"e","a":[]}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"","a":[]}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e"}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":{}}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":null}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"c":-1}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"c":2147483648}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"c":2147483648}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"u":5}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":[],"c":"1"}`, ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"` + strings.Repeat("x", 256) + `","a":[]}`, ErrEnvelope},
		{"{\"v\":1,\"id\":\"a\",\"o\":\"m\",\"n\":\"\xff\",\"a\":[]}", ErrEnvelope},
		{`{"v":1,"id":"a","o":"m","n":"e","a":["` + strings.Repeat("x", maxEnvelope) + `"]}`, ErrEnvelope},
	} {
		_, err := decodeEnvelope([]byte(c.text))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%.80s: %v, want %v", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%.80s: the error repeats it: %v", c.text, err)
		}
	}
}

// What is read is within the bounds, and is read again from what it is written
// as.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"a","o":"m","c":1,"u":2,"f":"*","t":"x","n":"e","a":[1,"\u2028"]}`))
	f.Add([]byte(`{"v":1,"V":2,"id":"a","ID":"b","o":"m","n":"e","a":[]}`))
	f.Add([]byte(`{"v":1,"id":"\ud800","o":"m","n":"e","a":["\udfff"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeEnvelope(text)
		if err != nil {
			return
		}
		if m.ID == "" || m.Origin == "" || m.Context > cascade.MaxID || m.User > cascade.MaxID || !utf8.ValidString(m.Name) || !json.Valid([]byte(m.Args)) {
			t.Fatalf("%q becomes %+v", text, m)
		}
		again, err := encodeEnvelope(m.Origin, m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxEnvelope {
			return
		}
		m2, err := decodeEnvelope(again)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, again, err)
		}
		m.Args, m2.Args = compact(t, m.Args), compact(t, m2.Args)
		if !reflect.DeepEqual(m2, m) {
			t.Fatalf("%q becomes %+v, then %+v", text, m, m2)
		}
	})
}

func compact(t *testing.T, args string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(args), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
