package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// good are packets to begin from, beside the bad ones.
var good = []string{
	"0", `0{"a":1}`, "0/x,", "0/custom", "1", "1/custom,", `2["a"]`, `2/x,12["a",{}]`, "312[]", `4"no"`, one, two, `61-7[{"num":0,"_placeholder":true}]`,
	`2["\ud800"]`, `2["a",1e999]`, `2["a" , 1 ]`, "2[\n\"a\"\n]", `51-["a",{"\u005fplaceholder":true,"n\u0075m":0}]`,
}

// What is decoded encodes to itself, and holds what Decode promises.
func FuzzDecode(f *testing.F) {
	for _, seed := range append(good, bad...) {
		if len(seed) < 10_000 {
			f.Add([]byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		p, err := Decode(message)
		if err != nil {
			if !errors.Is(err, ErrPacket) {
				t.Fatalf("error %v is not ErrPacket", err)
			}
			return
		}
		if p.Data != nil && (!json.Valid(p.Data) || !utf8.Valid(p.Data) || deep(p.Data)) {
			t.Fatalf("%q: data %q is no JSON in UTF-8", message, p.Data)
		}
		if p.Attachments > MaxAttachments || (p.Attachments > 0) != p.binary() || p.ID > MaxAckID ||
			!strings.HasPrefix(p.Namespace, "/") || len(p.Namespace) > MaxNamespace {
			t.Fatalf("%q: out of bounds: %+v", message, p)
		}
		if p.binary() {
			wantPlaceholders(t, p.Data, p.Attachments)
		}
		again, err := Decode(p.Append(nil))
		if err != nil || again.Type != p.Type || again.Namespace != p.Namespace || again.HasID != p.HasID ||
			again.ID != p.ID || again.Attachments != p.Attachments || !bytes.Equal(again.Data, p.Data) {
			t.Fatalf("%q: %+v becomes %+v (%v)", message, p, again, err)
		}
		if p.Type != Event && p.Type != BinaryEvent {
			return
		}
		name, args, ok := split(p.Data)
		var first string
		var list []json.RawMessage
		if err := json.Unmarshal(p.Data, &list); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(list[0], &first); err != nil || !ok || first != name || !json.Valid(args) || args[0] != '[' || Reserved(name) {
			t.Fatalf("%q: name %q, args %q", message, name, args)
		}
		p.Data = appendArray(nil, name, args)
		event, err := Decode(p.Append(nil))
		if err != nil {
			t.Fatalf("%q: event %q: %v", message, p.Append(nil), err)
		}
		if name2, args2, _ := split(event.Data); name2 != name || !bytes.Equal(compact(t, args2), compact(t, args)) {
			t.Fatalf("%q: %q %q becomes %q %q", message, name, args, name2, args2)
		}
	})
}

func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b.Bytes()
}

// wantPlaceholders looks for a place for each of n attachments, once each, as
// a client would: in the decoded value.
func wantPlaceholders(t *testing.T, data []byte, n int) {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if v["_placeholder"] == true {
				num, _ := v["num"].(json.Number)
				found = append(found, string(num))
				return
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	slices.Sort(found)
	want := strings.Split("0 1 2 3 4 5 6 7 8 9", " ")[:n]
	// Equal keys may hide one from a client, never add one.
	if found = slices.Compact(found); len(found) > n || len(found) == n && !slices.Equal(found, want) {
		t.Fatalf("%s: places %q for %d attachments", data, found, n)
	}
}

// The scanner takes what encoding/json takes, within MaxDepth.
func FuzzValidJSON(f *testing.F) {
	for _, seed := range texts {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsLibrary(t, data) })
}

// Whatever a client sends, and when, a session ends only in the ways that it
// says, keeps its bounds, hands out an event with exactly the binary messages
// that followed its packet, and can send such an event itself. Each line of
// script is a message: of text, or after a "b" binary, or after a "t" the time
// passes by as many seconds as the line is long.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"0\n2[\"a\"]\n1\n0",
		"0\n" + one + "\nbx\n2[\"b\"]",
		"0\n" + two + "\nbx\nb\n" + one + "\n" + one,
		"0\n" + two + "\nbx\ntxxxxxxxxxx\nby",
		"0/custom,{\"a\":1}\n51-/custom,[\"a\",{\"_placeholder\":true,\"num\":0}]\nbabc\n1/custom\nb",
		"0\n31[]\n61-1[{\"_placeholder\":true,\"num\":0}]\nbanswer\n31[]\n30[1]",
		"0\n0\nb\n",
		"2[\"early\"]",
		"0/__proto__,\n2/__proto__,[\"__proto__\",{\"__proto__\":1}]",
		"ttttttttttttttttttttttttttttttttttttttttttttttttt\n0",
		"0/?a=b,\n0/custom?x,\n2/custom?x,[\"a\"]",
	} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	for _, seed := range bad {
		if len(seed) < 10_000 {
			f.Add(true, []byte("0\n"+seed))
		}
	}
	f.Fuzz(func(t *testing.T, five bool, script []byte) {
		protocol := Protocol4
		if five {
			protocol = Protocol5
		}
		settings := testSettings(t)
		s := NewSession(protocol, settings, start)
		s.Start()
		now := start
		var header []byte   // the packet whose attachments are awaited
		var binary [][]byte // those that are there
		for line := range bytes.SplitSeq(script, []byte("\n")) {
			if s.Joined() && len(line)%7 == 0 {
				// Sometimes the server asks for an ack, and loses patience.
				if _, _, err := s.Request(Main, "q", nil, nil); err != nil && !errors.Is(err, ErrPending) {
					t.Fatal(err)
				}
			}
			var in *Incoming
			var reply []byte
			var err error
			switch {
			case bytes.HasPrefix(line, []byte("t")):
				now = now.Add(time.Duration(len(line)) * time.Second)
				due := s.Deadline()
				err := s.Tick(now)
				if (err != nil) != (!due.IsZero() && !now.Before(due)) {
					t.Fatalf("at %v, due %v: %v", now, due, err)
				}
				if err != nil {
					return
				}
				continue
			case bytes.HasPrefix(line, []byte("b")):
				in, err = s.ReceiveBinary(line[1:])
				if err == nil {
					binary = append(binary, line[1:])
				}
			default:
				header, binary = line, nil
				reply, in, err = s.Receive(line, now)
			}
			switch {
			case errors.Is(err, ErrPacket), errors.Is(err, ErrState), errors.Is(err, ErrBinary), errors.Is(err, ErrAttachments), errors.Is(err, ErrTooBig):
				return
			case err != nil:
				t.Fatalf("%q: %v", line, err)
			}
			if reply != nil {
				if _, err := Decode(reply); err != nil {
					t.Fatalf("%q is answered with %q", line, reply)
				}
			}
			if d := s.Deadline(); !d.IsZero() && d.Sub(now) > settings.ConnectTimeout {
				t.Fatalf("%q: deadline %v away", line, d.Sub(now))
			}
			if r := s.rare; r != nil && (len(r.pending) > maxPending || len(r.others) > 2 || r.assembly != nil && r.assembly.size > settings.MaxBytes) {
				t.Fatalf("%q: out of bounds: %+v", line, r)
			}
			if in != nil {
				checkIncoming(t, &s, in, header, binary)
			}
		}
	})
}

// checkIncoming holds what has come in to the messages it came in, and to what
// the other side would make of the same event.
func checkIncoming(t *testing.T, s *Session, in *Incoming, header []byte, binary [][]byte) {
	t.Helper()
	p, err := Decode(header)
	if err != nil || len(binary) != p.Attachments || len(in.Attachments) != p.Attachments {
		t.Fatalf("%q: %d attachments, %d sent (%v)", header, len(in.Attachments), len(binary), err)
	}
	for i, data := range in.Attachments {
		if !bytes.Equal(data, binary[i]) {
			t.Fatalf("%q: attachment %d is %q, not %q", header, i, data, binary[i])
		}
	}
	if in.Type != Event {
		return
	}
	packet, err := s.Emit(in.Namespace, in.Name, in.Args, in.Attachments)
	if err != nil {
		t.Fatalf("%q: %v", header, err)
	}
	other := NewSession(Protocol5, s.settings, start)
	other.settings.MaxBytes = 1 << 20 // escapes may have made the name longer
	if _, _, err := other.Receive(Packet{Type: Connect, Namespace: in.Namespace}.Append(nil), start); err != nil {
		t.Fatal(err)
	}
	_, back, err := other.Receive(packet, start)
	for _, data := range in.Attachments {
		if err != nil || back != nil {
			t.Fatalf("%q: complete without its attachments (%v)", packet, err)
		}
		back, err = other.ReceiveBinary(data)
	}
	if err != nil || back == nil || back.Name != in.Name || !bytes.Equal(compact(t, back.Args), compact(t, in.Args)) || !slices.EqualFunc(back.Attachments, in.Attachments, bytes.Equal) {
		t.Fatalf("%q: %+v becomes %+v (%v)", packet, in, back, err)
	}
}
