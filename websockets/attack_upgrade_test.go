package websockets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// refused is what an answer of the handshake must be. Without a code the
// request is none that reaches the handshake: net/http answers it.
type refused struct {
	status int
	code   string
}

var (
	notFound      = refused{404, "not_found"}
	noUpgrade     = refused{426, "upgrade_required"}
	badHandshake  = refused{400, "bad_handshake"}
	noSession     = refused{400, "missing_parameter"}
	badOrigin     = refused{403, "origin"}
	forbiddenHere = refused{403, "forbidden"}
	switchedOff   = refused{400, "disabled"}
	noRequest     = refused{400, ""}
)

// upgrade is the text of a request to the server, as a browser sends it. Lines
// replace the header lines of their name; "Name:" alone removes them.
func (w *world) upgrade(requestLine string, s *Session, lines ...string) string {
	headers := []string{
		"Host: " + w.http.Listener.Addr().String(), "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "User-Agent: " + testAgent,
	}
	if s != nil {
		headers = append(headers, "Cookie: "+s.CookieName()+"="+s.Secret)
	}
	name := func(line string) string { n, _, _ := strings.Cut(line, ":"); return strings.ToLower(n) }
	var kept []string
	for _, h := range headers {
		replaced := false
		for _, l := range lines {
			replaced = replaced || name(l) == name(h)
		}
		if !replaced {
			kept = append(kept, h)
		}
	}
	for _, l := range lines {
		if !strings.HasSuffix(l, ":") {
			kept = append(kept, l)
		}
	}
	return requestLine + "\r\n" + strings.Join(kept, "\r\n") + "\r\n\r\n"
}

// ask sends a request on a connection of its own and reads the answer.
func (w *world) ask(t *testing.T, request string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	// The server may refuse before it has read all.
	if _, err := io.WriteString(conn, request); err != nil {
		t.Logf("write: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %.80q: %v", request, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	return resp, body
}

// answered counts the answers of the handshake by their code.
func answered(st Stats) map[string]int64 {
	all := make(map[string]int64)
	for h, n := range st.Handshakes {
		all[h.Result] += n
	}
	return all
}

// expectRefused holds the answer to a request to its status and code, and the
// server to having counted that and nothing else.
func (a *arena) expectRefused(t *testing.T, request string, want refused, secrets ...string) {
	t.Helper()
	before := answered(a.server.Stats())
	resp, body := a.ask(t, request)
	if resp.StatusCode != want.status {
		t.Errorf("status %d (%.100q), want %d", resp.StatusCode, body, want.status)
	}
	if want.code != "" {
		before[want.code]++
		var answer struct{ Error, Message string }
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&answer); err != nil || answer.Error != want.code || answer.Message == "" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s body %.200q (%v), want JSON with the code %s and a message", resp.Header.Get("Content-Type"), body, err, want.code)
		}
	}
	for _, secret := range secrets {
		if bytes.Contains(body, []byte(secret)) {
			t.Errorf("the answer gives away what must not be in it: %.200q", body)
		}
	}
	if got := answered(a.server.Stats()); !maps.Equal(got, before) {
		t.Errorf("answers counted: %v, want %v", got, before)
	}
	a.untouched(t)
	a.onlyWitness(t)
}

// Requests for a socket that are no such requests, or come from where no
// socket goes to, or without a session that is good here
// (docs/reference/attacks.md#upgrade-requests, U1 to U14).
func TestBrokenUpgrades(t *testing.T) {
	a := newArena(t, func(o *Options) {
		o.IPCheck = func(s *Session, from netip.Addr) bool {
			return s.User != 7 || from == netip.MustParseAddr("203.0.113.9")
		}
	})
	good, off, other, far := a.login(1, 2), a.login(1, 3), a.login(1, 4), a.login(1, 7)
	a.gate.refuse(1, 3, SwitchedOff)
	gone := map[Reason]*Session{}
	for i, reason := range []Reason{ContextDisabled, ContextUnknown, UserDisabled, UserUnknown} {
		gone[reason] = a.login(1, uint32(20+i))
		a.gate.refuse(1, uint32(20+i), reason)
	}
	expired := NewSession(1, 5, testClient, testAgent, time.Nanosecond, a.config.Cookie)
	halfway := NewSession(1, 6, testClient, testAgent, 0, a.config.Cookie)
	halfway.Restricted = true
	for _, s := range []*Session{expired, halfway} {
		if err := a.sessions.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	host := a.http.Listener.Addr().String()
	_, port, _ := strings.Cut(host, ":")
	ws, sio := "/ws/x?session="+good.ID, eio4+"&session="+good.ID
	long := strings.Repeat("x", 10<<10)
	cookie := good.CookieName() + "=" + good.Secret

	for _, c := range []struct {
		name    string
		request string
		want    refused
	}{
		// U1: from where no socket may come.
		{"origin evil", a.upgrade(get(ws), good, "Origin: https://evil.example"), badOrigin},
		{"origin null", a.upgrade(get(ws), good, "Origin: null"), badOrigin},
		{"origin empty", a.upgrade(get(ws), good, "Origin: "), badOrigin},
		{"origin with the host as a prefix", a.upgrade(get(ws), good, "Origin: http://127.0.0.1.evil:"+port), badOrigin},
		{"origin with the host as a user", a.upgrade(get(ws), good, "Origin: http://"+host+"@evil.example"), badOrigin},
		{"origin with a user", a.upgrade(get(ws), good, "Origin: http://evil@"+host), badOrigin},
		{"origin with the host as a fragment", a.upgrade(get(ws), good, "Origin: http://evil.example#"+host), badOrigin},
		{"origin with a path", a.upgrade(get(ws), good, "Origin: http://"+host+"/x"), badOrigin},
		{"origin of another port", a.upgrade(get(ws), good, "Origin: http://127.0.0.1:1"), badOrigin},
		{"origin without the port", a.upgrade(get(ws), good, "Origin: http://127.0.0.1"), badOrigin},
		{"origin of another scheme", a.upgrade(get(ws), good, "Origin: ftp://"+host), badOrigin},
		{"origin of a file", a.upgrade(get(ws), good, "Origin: file://"), badOrigin},
		{"origin twice", a.upgrade(get(ws), good, "Origin: http://"+host, "Origin: http://"+host), badOrigin},
		{"origins in one line", a.upgrade(get(ws), good, "Origin: http://"+host+", http://evil.example"), badOrigin},
		{"origin with NUL", a.upgrade(get(ws), good, "Origin: http://"+host+"\x00"), noRequest},
		{"origin of 10 kB", a.upgrade(get(ws), good, "Origin: http://"+long), badOrigin},
		{"host of the attacker's choice", a.upgrade(get(ws), good, "Host: evil.example", "Origin: http://"+host), badOrigin},

		// U3: sessions.
		{"no session", a.upgrade(get("/ws/x"), good), noSession},
		{"session in another letter case", a.upgrade(get("/ws/x?Session="+good.ID), good), noSession},
		{"session behind a semicolon", a.upgrade(get("/ws/x?a=1;session="+good.ID), good), noSession},
		{"session in a fragment", a.upgrade(get("/ws/x#session="+good.ID), good), noSession},
		{"session in a header", a.upgrade(get("/ws/x"), good, "Session: "+good.ID), noSession},
		{"session empty", a.upgrade(get("/ws/x?session="), good), forbiddenHere},
		{"session unknown", a.upgrade(get("/ws/x?session=00000000000000000000000000000000"), good), forbiddenHere},
		{"session of 10 kB", a.upgrade(get("/ws/x?session="+long), good), badHandshake},
		{"session with a NUL", a.upgrade(get("/ws/x?session="+good.ID+"%00"), good), forbiddenHere},
		{"session with a line break", a.upgrade(get("/ws/x?session="+good.ID+"%0d%0aX:y"), good), forbiddenHere},
		{"session in capitals", a.upgrade(get("/ws/x?session="+strings.ToUpper(good.ID)), good), forbiddenHere},
		{"session second to another", a.upgrade(get("/ws/x?session=x&session="+good.ID), good), forbiddenHere},
		{"session of another user", a.upgrade(get("/ws/x?session="+other.ID), good), forbiddenHere},
		{"session that has expired", a.upgrade(get("/ws/x?session="+expired.ID), expired), forbiddenHere},
		{"session that waits for its second factor", a.upgrade(get("/ws/x?session="+halfway.ID), halfway), forbiddenHere},
		{"query of 500 kB", a.upgrade(get("/ws/x?session=x&"+strings.Repeat("a=b&", 125_000)), good), badHandshake},
		{"20,000 parameters", a.upgrade(get("/ws/x?"+strings.Repeat("a&", 20_000)+"session="+good.ID), good), badHandshake},

		// U4: cookies.
		{"no cookie", a.upgrade(get(ws), nil), forbiddenHere},
		{"another user's cookie", a.upgrade(get(ws), other), forbiddenHere},
		{"both cookies, the wrong secret", a.upgrade(get(ws), nil, "Cookie: "+good.CookieName()+"="+other.Secret+"; "+other.CookieName()+"="+other.Secret), forbiddenHere},
		{"the secret cut off", a.upgrade(get(ws), nil, "Cookie: "+cookie[:len(cookie)-1]), forbiddenHere},
		{"the secret and more", a.upgrade(get(ws), nil, "Cookie: "+cookie+"x"), forbiddenHere},
		{"no secret", a.upgrade(get(ws), nil, "Cookie: "+good.CookieName()+"="), forbiddenHere},
		{"only the cookie's name", a.upgrade(get(ws), nil, "Cookie: "+good.CookieName()), forbiddenHere},
		{"the cookie's name in capitals", a.upgrade(get(ws), nil, "Cookie: "+strings.ToUpper(good.CookieName())+"="+good.Secret), forbiddenHere},
		{"the secret second", a.upgrade(get(ws), nil, "Cookie: "+good.CookieName()+"=x; "+cookie), forbiddenHere},
		{"a cookie of 10 kB", a.upgrade(get(ws), nil, "Cookie: "+good.CookieName()+"="+long), forbiddenHere},
		{"300 cookies", a.upgrade(get(ws), nil, "Cookie: "+strings.Repeat("a=b; ", 300)), forbiddenHere},
		{"10,000 cookies before the right one", a.upgrade(get(ws), nil, "Cookie: "+strings.Repeat("a=b; ", 10_000)+cookie), forbiddenHere},
		{"another agent", a.upgrade(get(ws), good, "User-Agent: curl/8"), forbiddenHere},
		{"an agent of 10 kB", a.upgrade(get(ws), good, "User-Agent: "+long), forbiddenHere},

		// U5: the client's own name for its socket.
		{"connection empty", a.upgrade(get(ws+"&connection="), good), badHandshake},
		{"connection of 65 characters", a.upgrade(get(ws+"&connection="+long[:65]), good), badHandshake},
		{"connection of 10 kB", a.upgrade(get(ws+"&connection="+long), good), badHandshake},
		{"connection with a line break", a.upgrade(get(ws+"&connection=a%0d%0ab"), good), badHandshake},
		{"connection with a NUL", a.upgrade(get(ws+"&connection=%00"), good), badHandshake},
		{"connection with a space", a.upgrade(get(ws+"&connection=a%20b"), good), badHandshake},
		{"connection with an umlaut", a.upgrade(get(ws+"&connection=%C3%A4"), good), badHandshake},
		{"connection with ESC", a.upgrade(get(ws+"&connection=%1b[2J"), good), badHandshake},

		// U6: no upgrade, or not one to this.
		{"no upgrade", a.upgrade(get(sio), good, "Upgrade:"), noUpgrade},
		{"upgrade to h2c", a.upgrade(get(sio), good, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"), noUpgrade},
		{"upgrade to websockets", a.upgrade(get(sio), good, "Upgrade: websockets"), noUpgrade},
		{"upgrade to websocket/13", a.upgrade(get(sio), good, "Upgrade: websocket/13"), noUpgrade},
		{"no connection", a.upgrade(get(sio), good, "Connection:"), badHandshake},
		{"connection keep-alive", a.upgrade(get(sio), good, "Connection: keep-alive"), badHandshake},
		{"no key", a.upgrade(get(sio), good, "Sec-WebSocket-Key:"), badHandshake},
		{"a key of 15 bytes", a.upgrade(get(sio), good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"), badHandshake},
		{"a key of 17 bytes", a.upgrade(get(sio), good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="), badHandshake},
		{"a key of 10 kB", a.upgrade(get(sio), good, "Sec-WebSocket-Key: "+long), badHandshake},
		{"a key without padding", a.upgrade(get(sio), good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), badHandshake},
		{"two keys", a.upgrade(get(sio), good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), badHandshake},
		{"no version", a.upgrade(get(sio), good, "Sec-WebSocket-Version:"), badHandshake},
		{"version 8", a.upgrade(get(sio), good, "Sec-WebSocket-Version: 8"), badHandshake},
		{"version 12", a.upgrade(get(sio), good, "Sec-WebSocket-Version: 12"), badHandshake},
		{"version 14", a.upgrade(get(sio), good, "Sec-WebSocket-Version: 14"), badHandshake},
		{"version 013", a.upgrade(get(sio), good, "Sec-WebSocket-Version: 013"), badHandshake},
		{"version twice", a.upgrade(get(sio), good, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"), badHandshake},
		{"POST", a.upgrade("POST "+sio+" HTTP/1.1", good), badHandshake},
		{"PUT", a.upgrade("PUT "+sio+" HTTP/1.1", good), badHandshake},
		{"CONNECT", a.upgrade("CONNECT "+sio+" HTTP/1.1", good), badHandshake},
		{"get", a.upgrade("get "+sio+" HTTP/1.1", good), badHandshake},
		{"HTTP/1.0", a.upgrade("GET "+sio+" HTTP/1.0", good), badHandshake},
		{"HTTP/0.9", "GET " + sio + "\r\n\r\n", noRequest},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", notFound},
		{"a body", a.upgrade(get(sio), good, "Content-Length: 4") + "body", badHandshake},
		{"a body that does not come", a.upgrade(get(sio), good, "Content-Length: 4"), badHandshake},
		{"a body in chunks", a.upgrade(get(sio), good, "Transfer-Encoding: chunked") + "0\r\n\r\n", badHandshake},
		{"a body of two lengths", a.upgrade(get(sio), good, "Content-Length: 4", "Content-Length: 5") + "body", noRequest},
		{"a body of no length", a.upgrade(get(sio), good, "Content-Length: -1"), noRequest},
		{"chunks of another coding", a.upgrade(get(sio), good, "Transfer-Encoding: xchunked"), refused{501, ""}},
		{"no host", a.upgrade(get(sio), good, "Host:"), noRequest},
		{"two hosts", a.upgrade(get(sio), good, "Host: a", "Host: b"), noRequest},
		{"a space before the colon", a.upgrade(get(sio), good, "X-A : b"), noRequest},
		{"a header without a name", a.upgrade(get(sio), good, ": b"), noRequest},
		{"a NUL in a header", a.upgrade(get(sio), good, "X-A: \x00"), noRequest},

		// U9: other transports, and sessions of Engine.IO that are none.
		{"no transport", a.upgrade(get("/socket.io/?EIO=4&session="+good.ID), good), badHandshake},
		{"polling", a.upgrade(get("/socket.io/?EIO=4&transport=polling&session="+good.ID), good), badHandshake},
		{"polling before websocket", a.upgrade(get("/socket.io/?EIO=4&transport=polling&transport=websocket&session="+good.ID), good), badHandshake},
		{"transport in capitals", a.upgrade(get("/socket.io/?EIO=4&transport=WebSocket&session="+good.ID), good), badHandshake},
		{"webtransport", a.upgrade(get("/socket.io/?EIO=4&transport=webtransport&session="+good.ID), good), badHandshake},
		{"a sid", a.upgrade(get(sio+"&sid=00000000000000000000000000000000"), good), badHandshake},
		{"an empty sid", a.upgrade(get(sio+"&sid="), good), badHandshake},

		// U10: paths.
		{"no such path", a.upgrade(get("/socket.iox/"), good), notFound},
		{"a path doubled", a.upgrade(get("//socket.io/?transport=websocket&session="+good.ID), good), notFound},
		{"a path in escapes", a.upgrade(get("/%73ocket.io/?transport=websocket&session="+good.ID), good), notFound},
		{"a path with an escaped slash", a.upgrade(get("/ws%2fx?session="+good.ID), good), notFound},
		{"a path in capitals", a.upgrade(get("/WS/x?session="+good.ID), good), notFound},
		{"a path of 10 kB", a.upgrade(get("/ws/"+long+"?session="+good.ID), good), badHandshake},
		{"an asterisk", a.upgrade("GET * HTTP/1.1", good), notFound},

		// U13, U14: addresses and users.
		{"another address", a.upgrade(get("/ws/x?session="+far.ID), far), forbiddenHere},
		{"the right address further left", a.upgrade(get("/ws/x?session="+far.ID), far, "X-Forwarded-For: 203.0.113.9, 198.51.100.1"), forbiddenHere},
		{"an address that is none", a.upgrade(get("/ws/x?session="+far.ID), far, "X-Forwarded-For: 203.0.113.9, <script>"), forbiddenHere},
		{"the right address in another header", a.upgrade(get("/ws/x?session="+far.ID), far, "Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9"), forbiddenHere},
		{"switched off", a.upgrade(get("/ws/x?session="+off.ID), off), switchedOff},
		{"switched off, without the cookie", a.upgrade(get("/ws/x?session="+off.ID), nil), forbiddenHere},
		{"context disabled", a.upgrade(get("/ws/x?session="+gone[ContextDisabled].ID), gone[ContextDisabled]), forbiddenHere},
		{"context unknown", a.upgrade(get("/ws/x?session="+gone[ContextUnknown].ID), gone[ContextUnknown]), forbiddenHere},
		{"user disabled", a.upgrade(get("/ws/x?session="+gone[UserDisabled].ID), gone[UserDisabled]), forbiddenHere},
		{"user unknown", a.upgrade(get("/ws/x?session="+gone[UserUnknown].ID), gone[UserUnknown]), forbiddenHere},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.expectRefused(t, c.request, c.want, good.ID, good.Secret, off.ID, off.Secret)
		})
	}
}

// What forbids a session gives no hint which check it was.
func TestForbiddenTellsNothing(t *testing.T) {
	a := newArena(t)
	s, other := a.login(1, 2), a.login(1, 3)
	gone := a.login(1, 4)
	a.gate.refuse(1, 4, UserUnknown)
	_, want := a.ask(t, a.upgrade(get("/ws/x?session=unknown"), nil))
	for name, request := range map[string]string{
		"no cookie":    a.upgrade(get("/ws/x?session="+s.ID), nil),
		"wrong cookie": a.upgrade(get("/ws/x?session="+s.ID), other),
		"wrong secret": a.upgrade(get("/ws/x?session="+s.ID), nil, "Cookie: "+s.CookieName()+"=x"),
		"unknown user": a.upgrade(get("/ws/x?session="+gone.ID), gone),
	} {
		resp, body := a.ask(t, request)
		if resp.StatusCode != 403 || !bytes.Equal(body, want) {
			t.Errorf("%s: status %d, body %q, want 403 and %q", name, resp.StatusCode, body, want)
		}
	}
}

// A refusal leaves the connection as it was: the next request on it counts.
func TestUpgradeBehindRefusals(t *testing.T) {
	a := newArena(t)
	s := a.login(1, 2)
	requests := strings.Repeat(a.upgrade(get("/ws/x?session=unknown"), s), 20) +
		a.upgrade(get("/ws/x?session="+s.ID), s, "Upgrade:") +
		a.upgrade(get("/ws/x?session="+s.ID), s)
	conn, err := net.Dial("tcp", a.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, requests); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var got []int
	for range 22 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		if got = append(got, resp.StatusCode); resp.StatusCode != http.StatusSwitchingProtocols {
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := append(slices.Repeat([]int{403}, 20), 426, 101); !slices.Equal(got, want) {
		t.Fatalf("answered with %v, want %v", got, want)
	}
	(&peer{t, conn.(*net.TCPConn), r}).leave()
	a.onlyWitness(t)
}

// A request over HTTP/2 gets its answer and no socket; it is no fault of the
// server that an operator has to look after.
func TestUpgradeOverHTTP2(t *testing.T) {
	a := newArena(t)
	secure := httptest.NewUnstartedServer(a.server)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	s := a.login(1, 2)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+eio4+"&session="+s.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header(s)
	resp, err := secure.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusUpgradeRequired || !bytes.Contains(body, []byte(`"upgrade_required"`)) {
		t.Errorf("%s %d %s, want HTTP/2.0 426 with the code upgrade_required", resp.Proto, resp.StatusCode, body)
	}
	for _, name := range []string{"Connection", "Upgrade"} { // RFC 9113, 8.2.2
		if v := resp.Header.Get(name); v != "" {
			t.Errorf("%s: %s over HTTP/2", name, v)
		}
	}
	a.onlyWitness(t)
}

// What comes with the request, before the 101, is taken in its order.
func TestEarlyAttacks(t *testing.T) {
	a := newArena(t)
	for _, k := range []attack{
		{"unmasked", unmasked(finBit|opText, "40"), endsProtocol, nil},
		{"another request", []byte(a.upgrade(get("/ws/x"), nil)), endsProtocol, nil},
		{"zeros", make([]byte, 4000), endsProtocol, nil},
		{"packets", join(text("40"), text("9")), endsProtocol, nil},
		{"a close", closeWithCode(1001, ""), endsClient, []string{"\x03\xE9"}},
		{"a flood", bytes.Repeat(text("6"), 3*inboundFramesBurst), endsRate, nil},
	} {
		t.Run(k.name, func(t *testing.T) {
			before := a.server.Stats()
			s := a.login(2, nextUser.Add(1))
			conn, resp, r := a.rawDial(get(eio4+"&session="+s.ID), s, "X-Last: 1\r\n\r\n"+string(k.send)+"\x8a\x80\x00\x00\x00\x00") // a pong takes up the line break
			if resp.StatusCode != 101 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			p := &peer{t, conn, r}
			frames, err := p.ending()
			if err != nil {
				t.Error(err)
			}
			if n := len(frames); n == 0 || frames[n-1].opcode != opClose || k.end != endsClient && frames[n-1].code() != int(k.end.Code) {
				t.Errorf("%d frames came, the last %+v", n, frames)
			}
			_ = conn.Close() // may be reset
			expectClosed(t, a.server, before, map[Closing]int64{k.end: 1})
			a.untouched(t)
			a.onlyWitness(t)
		})
	}
}
