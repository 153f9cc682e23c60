package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		message string
		want    Packet
	}{
		{"0", Packet{Type: Connect, Namespace: "/"}},
		{`0{"token":"x"}`, Packet{Type: Connect, Namespace: "/", Data: json.RawMessage(`{"token":"x"}`)}},
		{"0/admin,", Packet{Type: Connect, Namespace: "/admin"}},
		{"0/admin", Packet{Type: Connect, Namespace: "/admin"}},
		{"0/admin?a=b&c=/d,", Packet{Type: Connect, Namespace: "/admin?a=b&c=/d"}},
		{`0/admin,{"a":1}`, Packet{Type: Connect, Namespace: "/admin", Data: json.RawMessage(`{"a":1}`)}},
		{"1", Packet{Type: Disconnect, Namespace: "/"}},
		{"1/admin,", Packet{Type: Disconnect, Namespace: "/admin"}},
		{`2["a"]`, Packet{Type: Event, Namespace: "/", Data: json.RawMessage(`["a"]`)}},
		{`2/admin,["a",1,{"b":[]}]`, Packet{Type: Event, Namespace: "/admin", Data: json.RawMessage(`["a",1,{"b":[]}]`)}},
		{`20["a"]`, Packet{Type: Event, Namespace: "/", HasID: true, Data: json.RawMessage(`["a"]`)}},
		{`2/admin,456["a"]`, Packet{Type: Event, Namespace: "/admin", HasID: true, ID: 456, Data: json.RawMessage(`["a"]`)}},
		{`2["__proto__",null]`, Packet{Type: Event, Namespace: "/", Data: json.RawMessage(`["__proto__",null]`)}},
		{`312[]`, Packet{Type: Ack, Namespace: "/", HasID: true, ID: 12, Data: json.RawMessage(`[]`)}},
		{`4"Invalid namespace"`, Packet{Type: ConnectError, Namespace: "/", Data: json.RawMessage(`"Invalid namespace"`)}},
		{`4/x,{"message":"no"}`, Packet{Type: ConnectError, Namespace: "/x", Data: json.RawMessage(`{"message":"no"}`)}},
		{`51-["a",{"_placeholder":true,"num":0}]`, Packet{Type: BinaryEvent, Attachments: 1, Namespace: "/", Data: json.RawMessage(`["a",{"_placeholder":true,"num":0}]`)}},
		{`61-/admin,7[{"_placeholder":true,"num":0}]`, Packet{Type: BinaryAck, Attachments: 1, Namespace: "/admin", HasID: true, ID: 7, Data: json.RawMessage(`[{"_placeholder":true,"num":0}]`)}},
	} {
		got, err := Decode([]byte(c.message))
		if err != nil {
			t.Errorf("%q: %v", c.message, err)
			continue
		}
		if got.Type != c.want.Type || got.Attachments != c.want.Attachments || got.Namespace != c.want.Namespace ||
			got.HasID != c.want.HasID || got.ID != c.want.ID || !bytes.Equal(got.Data, c.want.Data) {
			t.Errorf("%q: %+v, want %+v", c.message, got, c.want)
		}
	}
}

// bad are messages that are no packets; most are from known attacks.
var bad = []string{
	"", "7", "9", "a", "\xff", "0abc", `0"x"`, "0[]", "0 {}", "01", "1{}", `1"x"`, "11",
	"2", "2{}", "2[]", "2[1]", "2[null]", `2[{"toString":"x"}]`, `2["connect"]`, `2["disconnect"]`, `2["newListener"]`,
	`2"x"`, `2abc["x"]`, `2-1["x"]`, `2["x"`, `2["x",]`, `2["x"]]`, `2["x"]["y"]`, `2 ["x"]`, `2["x"]x`, "2[\"\xff\"]", "2[\"a\x00\"]",
	"2" + strings.Repeat("9", 30) + `["x"]`, `29007199254740992["x"]`, `2["x",` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "]",
	"3[]", "3", "31", `31{}`, `31"x"`, "4[]", "41", "4x",
	"5", `5["x"]`, `5-["x"]`, `599999999999-["x"]`, `517-["x"]`, `51["x"]`, `5-1-["x"]`, `51.5-["x"]`, `51-[1]`, "61-[]", "6",
	"0/" + strings.Repeat("x", MaxNamespace) + ",", "0/\xff,",
}

func TestDecodeRefuses(t *testing.T) {
	for _, message := range bad {
		if p, err := Decode([]byte(message)); !errors.Is(err, ErrPacket) {
			t.Errorf("%q: %+v (%v), want ErrPacket", message, p, err)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"ox:mail:new", `[{"folder":"default0/INBOX"}]`, `2["ox:mail:new",{"folder":"default0/INBOX"}]`},
		{"a", `[]`, `2["a"]`},
		{"a", ` [ ] `[1:4], `2["a"]`},
		{`q"uo<te`, `[1,"<b>"]`, `2["q\"uo<te",1,"<b>"]`},
	} {
		if got := AppendEvent(nil, c.name, json.RawMessage(c.args)); string(got) != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// What is decoded encodes to itself, and holds what Decode promises.
func FuzzDecode(f *testing.F) {
	for _, seed := range bad {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{
		"0", `0{"a":1}`, "0/x,", "1", `2["a"]`, `2/x,12["a",{}]`, "312[]", `4"no"`, `51-["a",{"_placeholder":true,"num":0}]`, `61-7[1]`,
		`2["\ud800"]`, `2["a",1e999]`, `2["a" , 1 ]`, "2[\n\"a\"\n]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		p, err := Decode(message)
		if err != nil {
			if !errors.Is(err, ErrPacket) {
				t.Fatalf("error %v is not ErrPacket", err)
			}
			return
		}
		if p.Data != nil && (!json.Valid(p.Data) || !utf8.Valid(p.Data)) {
			t.Fatalf("%q: data %q is no JSON in UTF-8", message, p.Data)
		}
		if p.Attachments > MaxAttachments || p.ID > MaxAckID || !strings.HasPrefix(p.Namespace, "/") {
			t.Fatalf("%q: out of bounds: %+v", message, p)
		}
		again, err := Decode(p.Append(nil))
		if err != nil || again.Type != p.Type || again.Namespace != p.Namespace || again.HasID != p.HasID ||
			again.ID != p.ID || again.Attachments != p.Attachments || !bytes.Equal(again.Data, p.Data) {
			t.Fatalf("%q: %+v becomes %+v (%v)", message, p, again, err)
		}
		if p.Type != Event {
			return
		}
		name, args, ok := split(p.Data)
		if !ok || !json.Valid(args) || args[0] != '[' {
			t.Fatalf("%q: name %q, args %q", message, name, args)
		}
		event, err := Decode(AppendEvent(nil, name, args))
		if err != nil {
			t.Fatalf("%q: event %q: %v", message, AppendEvent(nil, name, args), err)
		}
		if name2, args2, _ := split(event.Data); name2 != name || !bytes.Equal(bytes.Join(bytes.Fields(args2), nil), bytes.Join(bytes.Fields(args), nil)) {
			t.Fatalf("%q: %q %q becomes %q %q", message, name, args, name2, args2)
		}
	})
}
