package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
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
		{`52-["a",{"b":{"num":1,"_placeholder":true}},[{ "\u005fplaceholder" : true , "\u006eum" : 0 }]]`, Packet{Type: BinaryEvent, Attachments: 2, Namespace: "/", Data: json.RawMessage(`["a",{"b":{"num":1,"_placeholder":true}},[{ "\u005fplaceholder" : true , "\u006eum" : 0 }]]`)}},
		{`51-["a",{"_placeholder":false,"num":9},{"_placeholder":true,"num":0}]`, Packet{Type: BinaryEvent, Attachments: 1, Namespace: "/", Data: json.RawMessage(`["a",{"_placeholder":false,"num":9},{"_placeholder":true,"num":0}]`)}},
		{`2["a",{"_placeholder":true,"num":9}]`, Packet{Type: Event, Namespace: "/", Data: json.RawMessage(`["a",{"_placeholder":true,"num":9}]`)}},
		{`2/a?b=c,["a"]`, Packet{Type: Event, Namespace: "/a?b=c", Data: json.RawMessage(`["a"]`)}},
		{"0/\u00fc\u2028,", Packet{Type: Connect, Namespace: "/\u00fc\u2028"}},
		{"0/__proto__", Packet{Type: Connect, Namespace: "/__proto__"}},
		{`29007199254740991["x"]`, Packet{Type: Event, Namespace: "/", HasID: true, ID: MaxAckID, Data: json.RawMessage(`["x"]`)}},
		{`2["toString"]`, Packet{Type: Event, Namespace: "/", Data: json.RawMessage(`["toString"]`)}},
		{`2["a",{"x":1,"x":2}]`, Packet{Type: Event, Namespace: "/", Data: json.RawMessage(`["a",{"x":1,"x":2}]`)}},
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

// The places of attachments 0 to n-1.
func placeholders(n int) string {
	var list []string
	for i := range n {
		list = append(list, `{"_placeholder":true,"num":`+strconv.Itoa(i)+`}`)
	}
	return strings.Join(list, ",")
}

// bad are messages that are no packets; most are from known attacks
// (docs/reference/attacks.md#socketio, W11 to W16).
var bad = []string{
	"", "7", "9", "a", "\xff", "0abc", `0"x"`, "0[]", "0 {}", "01", "1{}", `1"x"`, "11",
	`0{"token":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}",
	"2", "2{}", "2[]", "2[1]", "2[null]", "2[[]]", `2[{"toString":"x"}]`, `2["connect"]`, `2["disconnect"]`, `2["newListener"]`,
	`2["disconnecting"]`, `2["connect_error"]`, `2["removeListener"]`, `2["\u0063onnect"]`,
	`2"x"`, `2abc["x"]`, `2-1["x"]`, `21.5["x"]`, `2["x"`, `2["x",]`, `2["x"]]`, `2["x"]["y"]`, `2 ["x"]`, `2["x"]x`, "2[\"\xff\"]", "2[\"a\x00\"]",
	"2" + strings.Repeat("9", 100) + `["x"]`, `29007199254740992["x"]`,
	`2["x",` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + "]",
	"2" + strings.Repeat("[", 100_000), `2["x",` + strings.Repeat(`{"a":`, 100_000),
	"3[]", "3", "31", `31{}`, `31"x"`, "4[]", "41", "4x",
	"5", `5["x"]`, `5-["x"]`, `50-["x"]`, `500-["x"]`, `599999999999-["x"]`, `51["x"]`, `5-1-["x"]`, `51.5-["x"]`, `51-[1]`, "61-[]", "6", "60-1[]",
	`511-["x",` + placeholders(11) + "]",
	// A placeholder for each attachment, once each (CVE-2022-2421).
	`51-["x"]`, `52-["x",{"_placeholder":true,"num":0}]`, `51-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`,
	`51-["x",{"_placeholder":true,"num":"splice"}]`, `51-["x",{"_placeholder":true,"num":"0"}]`, `51-["x",{"_placeholder":true,"num":-1}]`,
	`51-["x",{"_placeholder":true,"num":-0}]`, `51-["x",{"_placeholder":true,"num":1.5}]`, `51-["x",{"_placeholder":true,"num":0.0}]`,
	`51-["x",{"_placeholder":true,"num":0e0}]`, `51-["x",{"_placeholder":true,"num":1}]`, `51-["x",{"_placeholder":true,"num":7}]`,
	`51-["x",{"_placeholder":true,"num":00}]`, `51-["x",{"_placeholder":true,"num":null}]`, `51-["x",{"_placeholder":true}]`,
	`51-["x",{"num":0}]`, `51-["x",{"_placeholder":1,"num":0}]`, `51-["x",{"_placeholder":true,"num":0,"more":1}]`,
	`51-["x",{"_placeholder":true,"num":5,"num":0}]`, `51-["x",{"_placeholder":true,"_placeholder":true,"num":0}]`,
	`51-["x",{"_placeholder":true,"num":18446744073709551616}]`, `51-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`,
	`51-["x",{"a":{"_placeholder":true,"num":0},"_placeholder":true}]`, `61-1[{"_placeholder":true,"num":"splice"}]`,
	"0/" + strings.Repeat("x", MaxNamespace) + ",", "0/" + strings.Repeat("x", 1<<20), "0/\xff,", `0/x{"a":1},{`,
}

func TestDecodeRefuses(t *testing.T) {
	for _, message := range bad {
		if p, err := Decode([]byte(message)); !errors.Is(err, ErrPacket) {
			t.Errorf("%.100q: %.100q (%v), want ErrPacket", message, p.Data, err)
		}
	}
}

// As deep, and with as many attachments, as it may be.
func TestDecodeLimits(t *testing.T) {
	for _, message := range []string{
		`2["x",` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + "]",
		`510-["x",` + placeholders(MaxAttachments) + "]",
		"0/" + strings.Repeat("x", MaxNamespace-1) + ",",
	} {
		if _, err := Decode([]byte(message)); err != nil {
			t.Errorf("%.100q: %v", message, err)
		}
	}
}

// What a client sends all the time costs nothing but what it asks for.
func TestDecodeAllocatesNothing(t *testing.T) {
	message := []byte(`212["ox:mail:seen",{"folder":"default0/INBOX","ids":[1,2,3],"name":"J\u00fcrgen"}]`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Decode(message); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
