package websockets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Packets of Engine.IO that are broken, or come from the wrong side, or are
// none of a client's business (docs/reference/attacks.md#frames, W9).
var enginePackets = []struct {
	packet string
	v3, v4 Closing
	reply  string // where it goes on
}{
	{"", endsProtocol, endsProtocol, ""},
	{"9", endsProtocol, endsProtocol, ""},
	{"7", endsProtocol, endsProtocol, ""},
	{"-1", endsProtocol, endsProtocol, ""},
	{" 40", endsProtocol, endsProtocol, ""},
	{"\n", endsProtocol, endsProtocol, ""},
	{"\x00", endsProtocol, endsProtocol, ""},
	{"٤", endsProtocol, endsProtocol, ""},
	{"abc", endsProtocol, endsProtocol, ""},
	{"bAAAA", endsProtocol, endsProtocol, ""},
	{`{"type":"message"}`, endsProtocol, endsProtocol, ""},
	{`0{"sid":"x","upgrades":["polling"],"pingInterval":1,"pingTimeout":1}`, endsProtocol, endsProtocol, ""},
	{"0", endsProtocol, endsProtocol, ""},
	{"1", endsClient, endsClient, ""},
	{"1bye", endsClient, endsClient, ""},
	{"2", goesOn, endsProtocol, "3"},
	{"2probe", goesOn, endsProtocol, "3probe"},
	{"3", endsProtocol, goesOn, ""},
	{"3probe", endsProtocol, goesOn, ""},
	{"5", goesOn, goesOn, ""},
	{"5x", goesOn, goesOn, ""},
	{"6", goesOn, goesOn, ""},
	{"4", endsProtocol, endsProtocol, ""},
	{"2\x1e4", goesOn, endsProtocol, "3\x1e4"}, // records are for long-polling
	{"6\x1e1", goesOn, goesOn, ""},
}

func TestBrokenEnginePackets(t *testing.T) {
	a := newArena(t)
	for _, c := range enginePackets {
		for path, end := range map[string]Closing{eio3: c.v3, eio4: c.v4} {
			k := attack{send: text(c.packet), end: end}
			if end == goesOn && c.reply != "" {
				k.replies = []string{c.reply}
			}
			t.Run(fmt.Sprintf("%s/%q", path[strings.Index(path, "EIO"):][:5], c.packet), func(t *testing.T) { a.strike(t, path, true, k) })
		}
	}
}

// nested is an event whose arrays nest to that depth.
func nested(depth int) string {
	return `42["deep",` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "]"
}

// Packets of Socket.IO that end the socket in each version, once the client
// has joined (docs/reference/attacks.md#socketio, W11 to W18).
var brokenPackets = map[string]string{
	"no such type":              "49",
	"type is a letter":          "4x",
	"CONNECT with text":         "40abc",
	"CONNECT with an array":     "40[]",
	"CONNECT with a number":     "407",
	"CONNECT cut off":           `40{"token":"x`,
	"CONNECT nested deeply":     `40{"token":` + strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1001),
	"CONNECT to a long name":    "40/" + strings.Repeat("x", 1<<17) + ",",
	"CONNECT to no UTF-8":       "40/\xff,",
	"CONNECT_ERROR":             `44{"message":"x"}`,
	"CONNECT_ERROR alone":       "44",
	"DISCONNECT with data":      "41{}",
	"DISCONNECT from elsewhere": "41/admin,",
	"event elsewhere":           `42/admin,["x"]`,
	"event without data":        "42",
	"event of an object":        "42{}",
	"event of an empty array":   "42[]",
	"event of null":             "42null",
	"event of text":             `42"x"`,
	"event with a number":       "42[1]",
	"event with null":           "42[null]",
	"event with true":           "42[true]",
	"event with an array":       `42[["x"]]`,
	"event with an object":      `42[{"toString":"x"}]`, // CVE-2023-32695
	"event connect":             `42["connect"]`,
	"event connect_error":       `42["connect_error",{}]`,
	"event disconnect":          `42["disconnect"]`,
	"event disconnecting":       `42["disconnecting"]`,
	"event newListener":         `42["newListener"]`,
	"event removeListener":      `42["removeListener"]`,
	"event connect in escapes":  `42["\u0063onnect"]`,
	"array cut off":             `42["x",`,
	"array cut off in text":     `42["x`,
	"array cut off in escape":   `42["x\u00`,
	"array with a comma more":   `42["x",]`,
	"two arrays":                `42["x"]["y"]`,
	"text behind the array":     `42["x"]x`,
	"NaN":                       `42["x",NaN]`,
	"Infinity":                  `42["x",-Infinity]`,
	"number with a zero first":  `42["x",01]`,
	"number with a plus":        `42["x",+1]`,
	"hexadecimal":               `42["x",0x10]`,
	"single quotes":             `42['x']`,
	"a line break in text":      "42[\"a\nb\"]",
	"NUL in text":               "42[\"a\x00b\"]",
	"an unknown escape":         `42["a\x41"]`,
	"a comment":                 `42["x"/*y*/]`,
	"byte order mark":           "42\ufeff[\"x\"]",
	"nested deeply":             nested(65),
	"nested very deeply":        nested(100_000),
	"opened very deeply":        "42" + strings.Repeat("[", 100_000),
	"objects without end":       `42["x",` + strings.Repeat(`{"a":`, 50_000),
	"letters as an ack id":      `42abc["x"]`,
	"negative ack id":           `42-1["x"]`,
	"ack id 2^53":               `429007199254740992["x"]`,
	"ack id 2^63":               `429223372036854775808["x"]`,
	"ack id 2^64":               `4218446744073709551616["x"]`,
	"ack id of 100 digits":      "42" + strings.Repeat("9", 100) + `["x"]`,
	"ack id of 100,000 digits":  "42" + strings.Repeat("9", 100_000) + `["x"]`,
	"ack id with a fraction":    `421.5["x"]`,
	"ack id with an exponent":   `421e3["x"]`,
	"ack without an id":         "43[]",
	"ack of nothing":            "431",
	"ack with an object":        "431{}",
	"ack beyond 2^53":           "439007199254740992[]",
	"ack elsewhere":             "43/admin,1[]",
	"binary without a count":    `45-["x"]`,
	"binary without a dash":     `451["x"]`,
	"binary with 0":             `450-["x"]`,                    // CVE-2026-69185
	"binary with 11":            `4511-["x"]`,                   // CVE-2026-33151
	"binary with 4 billion":     `454294967295-["x"]`,           // CVE-2026-33151
	"binary with 2^64":          `4518446744073709551617-["x"]`, // CVE-2026-33151
	"binary with 599,999,999":   `45599999999-["x"]`,            // CVE-2026-33151
	"binary with -1":            `45-1-["x"]`,
	"binary with 1.5":           `451.5-["x"]`,
	"binary ack with 0":         "460-1[]",
	"binary ack without an id":  `461-[{"_placeholder":true,"num":0}]`,
	"placeholder of text":       `451-["x",{"_placeholder":true,"num":"splice"}]`, // CVE-2022-2421
	"placeholder of null":       `451-["x",{"_placeholder":true,"num":null}]`,
	"placeholder -1":            `451-["x",{"_placeholder":true,"num":-1}]`,
	"placeholder 1.5":           `451-["x",{"_placeholder":true,"num":1.5}]`,
	"placeholder 1e0":           `451-["x",{"_placeholder":true,"num":1e0}]`,
	"placeholder 7 of 1":        `451-["x",{"_placeholder":true,"num":7}]`,
	"placeholder 1 of 1":        `451-["x",{"_placeholder":true,"num":1}]`,
	"placeholder 2^64":          `451-["x",{"_placeholder":true,"num":18446744073709551616}]`,
	"placeholder missing":       `451-["x"]`,
	"placeholder without num":   `451-["x",{"_placeholder":true}]`,
	"placeholder twice":         `451-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`,
	"second one missing":        `452-["x",{"_placeholder":true,"num":0}]`,
	"placeholder in the name":   `451-[{"_placeholder":true,"num":0},"x"]`,
}

func TestBrokenPackets(t *testing.T) {
	a := newArena(t)
	for name, packet := range brokenPackets {
		for version, path := range map[string]string{"version 3": eio3, "version 4": eio4} {
			end := endsProtocol
			if strings.Contains(packet, "\xff") {
				end = endsText
			}
			t.Run(version+"/"+name, func(t *testing.T) { a.strike(t, path, true, attack{send: text(packet), end: end}) })
		}
	}
}

// What depends on the state of the socket.
func TestPacketsOutOfTurn(t *testing.T) {
	a := newArena(t)
	message := func(list ...string) (all []byte) {
		for _, s := range list {
			all = append(all, text(s)...)
		}
		return all
	}
	const placeholder = `{"_placeholder":true,"num":%d}`
	one := `451-7["x",` + fmt.Sprintf(placeholder, 0) + "]"
	two := `452-["x",` + fmt.Sprintf(placeholder+","+placeholder, 1, 0) + "]"
	ten := `4510-8["x"`
	for i := range 10 {
		ten += "," + fmt.Sprintf(placeholder, i)
	}
	ten += "]"
	data, data3 := masked(finBit|opBinary, []byte("x")), masked(finBit|opBinary, []byte("\x04x"))
	big := masked(finBit|opBinary, make([]byte, DefaultMaxPayload*2/3))
	for _, c := range []struct {
		name   string
		path   string
		joined bool
		k      attack
	}{
		{"event before CONNECT", eio4, false, attack{send: message(`42["x"]`), end: endsProtocol}},
		{"ack before CONNECT", eio4, false, attack{send: message(`431[]`), end: endsProtocol}},
		{"DISCONNECT before CONNECT", eio4, false, attack{send: message("41"), end: endsProtocol}},
		{"binary before CONNECT", eio4, false, attack{send: message(`451-["x",{"_placeholder":true,"num":0}]`), end: endsProtocol}},
		{"CONNECT twice", eio4, true, attack{send: message("40"), end: endsProtocol}},
		{"CONNECT twice at once", eio4, false, attack{send: message("40", "40"), end: endsProtocol}},
		{"CONNECT with its name twice", eio4, true, attack{send: message("40/,"), end: endsProtocol}},
		// The client may not know yet that it has been connected.
		{"CONNECT", eio3, true, attack{send: message("40", "40"), replies: nil}},
		{"DISCONNECT", eio3, true, attack{send: message("41")}},
		{"DISCONNECT", eio4, true, attack{send: message("41")}},
		{"DISCONNECT twice", eio3, true, attack{send: message("41", "41"), end: endsProtocol}},
		{"DISCONNECT twice", eio4, true, attack{send: message("41", "41"), end: endsProtocol}},
		{"event behind DISCONNECT", eio3, true, attack{send: message("41", `421["x"]`), end: endsProtocol}},
		{"event behind DISCONNECT", eio4, true, attack{send: message("41", `421["x"]`), end: endsProtocol}},
		{"CONNECT behind DISCONNECT", eio3, true, attack{send: message("41", "40"), replies: []string{"40"}}},
		{"another namespace", eio4, true, attack{send: message("40/admin,"), replies: []string{`44/admin,{"message":"Invalid namespace"}`}}},
		{"another namespace without a comma", eio4, true, attack{send: message("40/admin"), replies: []string{`44/admin,{"message":"Invalid namespace"}`}}},
		{"another namespace with a token", eio4, true, attack{send: message(`40/admin,{"token":"x"}`), replies: []string{`44/admin,{"message":"Invalid namespace"}`}}},
		{"another namespace", eio3, true, attack{send: message("40/admin?token=x"), replies: []string{`44/admin,"Invalid namespace"`}}},
		{"a namespace in another alphabet", eio4, true, attack{send: message("40/ämter,"), replies: []string{`44/ämter,{"message":"Invalid namespace"}`}}},
		{"a question mark is part of the name", eio4, true, attack{send: message("40/?x=1,"), replies: []string{`44/?x=1,{"message":"Invalid namespace"}`}}},
		{"the main namespace with a query", eio3, true, attack{send: message("40/?x=1")}},
		{"many namespaces", eio4, true, attack{
			send: bytes.Repeat(text("40/admin,"), inboundFramesBurst+100), end: endsRate,
		}},
		{"ack of what nobody asked", eio3, true, attack{send: message("431[]", "430[]", `439007199254740991["x"]`)}},
		{"ack of what nobody asked", eio4, true, attack{send: message("431[]", "430[]", `439007199254740991["x"]`)}},
		{"the largest ack id", eio4, true, attack{send: message(`429007199254740991["x"]`), replies: []string{"439007199254740991[]"}}},
		{"nested as deeply as may be", eio4, true, attack{send: message(nested(64))}},
		{"binary frame of nothing", eio4, true, attack{send: masked(finBit|opBinary, []byte("x")), end: endsBinary}},
		{"empty binary frame of nothing", eio4, true, attack{send: masked(finBit|opBinary, nil), end: endsBinary}},
		{"text in a binary frame", eio4, true, attack{send: masked(finBit|opBinary, []byte(`42["x"]`)), end: endsBinary}},
		{"binary frame of nothing", eio3, true, attack{send: masked(finBit|opBinary, []byte("\x04x")), end: endsBinary}},
		{"binary frame without a type", eio3, true, attack{send: masked(finBit|opBinary, []byte("x")), end: endsProtocol}},
		{"empty binary frame", eio3, true, attack{send: masked(finBit|opBinary, nil), end: endsProtocol}},
		{"attachment in its place", eio4, true, attack{send: join(text(one), text("6"), data), replies: []string{"437[]"}}},
		{"attachment in its place", eio3, true, attack{send: join(text(one), text("2"), data3), replies: []string{"3", "437[]"}}},
		{"empty attachment", eio4, true, attack{send: join(text(one), masked(finBit|opBinary, nil)), replies: []string{"437[]"}}},
		{"attachment in fragments", eio4, true, attack{send: join(text(one), masked(opBinary, []byte("x")), masked(0, nil), masked(finBit, nil)), replies: []string{"437[]"}}},
		{"attachment without its type", eio3, true, attack{send: join(text(one), data), end: endsProtocol}},
		{"attachment more than announced", eio4, true, attack{send: join(text(one), data, data), end: endsBinary}},
		{"attachment before its event", eio4, true, attack{send: join(data, text(one)), end: endsBinary}},
		{"event before the attachment", eio4, true, attack{send: join(text(one), text(`42["x"]`), data), end: endsProtocol}},
		{"DISCONNECT before the attachment", eio4, true, attack{send: join(text(one), text("41"), data), end: endsProtocol}},
		{"another binary event before the attachment", eio4, true, attack{send: join(text(one), text(one)), end: endsProtocol}},
		{"close before the attachment", eio4, true, attack{send: join(text(one), text("1")), end: endsClient}},
		{"attachments over maxPayload together", eio4, true, attack{send: join(text(two), big, big), end: endsTooBig}},
		{"as many attachments as may be", eio4, true, attack{send: join(text(ten), bytes.Repeat(data, 10)), replies: []string{"438[]"}}},
		{"binary ack of what nobody asked", eio4, true, attack{send: join(text(`461-7[{"_placeholder":true,"num":0}]`), data)}},
		{"binary frame", wsPush, true, attack{send: masked(finBit|opBinary, []byte("x")), end: endsBinary}},
		{"text", wsPush, true, attack{send: message(`42["x"]`, "40", "1", "{", "")}},
		{"text that is not UTF-8", wsPush, true, attack{send: message("\xff"), end: endsText}},
	} {
		version := map[string]string{eio3: "version 3", eio4: "version 4", wsPush: "text"}[c.path]
		t.Run(version+"/"+c.name, func(t *testing.T) { a.strike(t, c.path, c.joined, c.k) })
	}
}

// Names and arguments that would mean something to a library in JavaScript are
// text here: the hook gets them as they came.
func TestEventsVerbatim(t *testing.T) {
	var mu sync.Mutex
	var got []Event
	a := newArena(t, func(o *Options) {
		o.OnEvent = func(e Event) (json.RawMessage, [][]byte) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e)
			return nil, nil
		}
	})
	for _, c := range []struct{ packet, name, args string }{
		{`42["__proto__",{"__proto__":{"admin":true}}]`, "__proto__", `[{"__proto__":{"admin":true}}]`},
		{`42["constructor"]`, "constructor", "[]"},
		{`42["hasOwnProperty",1]`, "hasOwnProperty", "[1]"},
		{`42["message",{"_placeholder":true,"num":0}]`, "message", `[{"_placeholder":true,"num":0}]`},
		{`42["a\u0000b"]`, "a\x00b", "[]"},
		{`42["",""]`, "", `[""]`},
		{`42["dup",{"a":1,"a":2}]`, "dup", `[{"a":1,"a":2}]`},
		{`42["half","\ud800"]`, "half", `["\ud800"]`},
		{`42["\ud83d\ude00"]`, "😀", "[]"},
		{`42["big",1e400,123456789012345678901234567890]`, "big", "[1e400,123456789012345678901234567890]"},
		{"42[ \"space\" ,\t{ \"a\" : 1 }\r\n]\n", "space", "[\t{ \"a\" : 1 }\r\n]"},
		{`42["<script>alert(1)</script>","` + "\u2028" + `"]`, "<script>alert(1)</script>", `["` + "\u2028" + `"]`},
		{`42/,["main"]`, "main", "[]"},
	} {
		t.Run(c.packet, func(t *testing.T) {
			mu.Lock()
			got = nil
			mu.Unlock()
			a.strike(t, eio4, true, attack{send: text(c.packet)})
			mu.Lock()
			defer mu.Unlock()
			if len(got) != 1 || got[0].Name != c.name || string(got[0].Args) != c.args {
				t.Errorf("the hook got %+v, want %q %s", got, c.name, c.args)
			}
		})
	}
}
