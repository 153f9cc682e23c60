package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	labelSluice   = "sluice"
	labelSocketIO = "socket.io"
	labelUsual    = "coder/websocket"
)

// peer knows how to start a server for so many users.
type peer struct {
	label string
	start func(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error)
}

func (p peer) name() string { return p.label }

var peers = []peer{
	{labelSluice, startSluice},
	{labelSocketIO, startSocketIO},
	{labelUsual, startUsual},
}

// event is the name of the messages. With a text that needs no escapes,
// Sluice and Socket.IO send the same bytes.
const event = "m"

var socketIO = dialect{true, `42["` + event + `","`, `"]`}

// startSluice runs the product as it is built: sessions, gate and metrics on.
func startSluice(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	s, err := r.launch(ctx, []string{r.sluice, "serve", "--etc", "DIR/etc", "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1"},
		map[string]string{"etc/websockets.properties": fmt.Sprintf("com.openexchange.websockets.enabled = true\nsluice.websockets.pingInterval = %dms\n", ping.Milliseconds())}, 2)
	if err != nil {
		return nil, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d", s.ports[1])
	if err := s.up(ctx, admin+"/readyz"); err != nil {
		return nil, err
	}
	s.users, s.dialect = users, socketIO
	logins := make([]login, users)
	for u := range logins {
		if logins[u], err = s.login(ctx, admin, u+1); err != nil {
			s.stop()
			return nil, fmt.Errorf("session of user %d: %w", u+1, err)
		}
	}
	s.request = func(i int) []byte {
		l := logins[s.userOf(i)-1]
		return upgrade(s.port, fmt.Sprintf("/socket.io/appsuite/?session=%s&connection=17953470%d&EIO=4&transport=websocket", l.Session, i),
			fmt.Sprintf("Cookie: %s=%s\r\n", l.Cookie.Name, l.Cookie.Value))
	}
	s.publish = func(batch []message) (*http.Request, error) {
		var b bytes.Buffer
		for _, m := range batch {
			to := `"all":true`
			if m.user != everybody {
				to = fmt.Sprintf(`"context":%d,"user":%d`, contextOf(m.user), m.user)
			}
			fmt.Fprintf(&b, `{%s,"name":%q,"args":[%q]}`+"\n", to, event, m.text)
		}
		req, err := http.NewRequest(http.MethodPost, admin+"/admin/v1/messages", &b)
		if err == nil {
			req.Header.Set("Content-Type", "application/x-ndjson")
		}
		return req, err
	}
	s.answer = func(body []byte, batch int) error {
		if n := bytes.Count(body, []byte(`"local":`)); n != batch {
			return fmt.Errorf("%d of %d messages were accepted: %.300s", n, batch, body)
		}
		return nil
	}
	return s, nil
}

// contextOf spreads the users over contexts of a hundred.
func contextOf(user int) int { return 1 + user/100 }

type login struct {
	Session string
	Cookie  struct{ Name, Value string }
}

func (s *server) login(ctx context.Context, admin string, user int) (l login, err error) {
	body := fmt.Sprintf(`{"context":%d,"user":%d,"client":"open-xchange-appsuite"}`, contextOf(user), user)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, admin+"/admin/v1/sessions", strings.NewReader(body))
	if err != nil {
		return l, err
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := s.http.Do(req)
	if err != nil {
		return l, err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return l, err
	}
	if r.StatusCode != http.StatusCreated {
		return l, fmt.Errorf("%s %.300s", r.Status, answer)
	}
	return l, json.Unmarshal(answer, &l)
}

func startSocketIO(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	return r.startPlain(ctx, []string{"node", filepath.Join(r.folder, "socketio", "server.js"), "PORT0", "PORT1", strconv.FormatInt(ping.Milliseconds(), 10)},
		socketIO, "/socket.io/?EIO=4&transport=websocket&user=", users)
}

func startUsual(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	return r.startPlain(ctx, []string{r.usual, "127.0.0.1:PORT0", "127.0.0.1:PORT1", ping.String()}, dialect{}, "/?user=", users)
}

// startPlain runs a peer without sessions, which takes publications as lines
// of {"user","data"}.
func (r *rig) startPlain(ctx context.Context, args []string, d dialect, target string, users int) (*server, error) {
	s, err := r.launch(ctx, args, nil, 2)
	if err != nil {
		return nil, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d/", s.ports[1])
	if err := s.up(ctx, admin); err != nil {
		return nil, err
	}
	s.users, s.dialect = users, d
	s.request = func(i int) []byte { return upgrade(s.port, target+strconv.Itoa(s.userOf(i)), "") }
	s.publish = func(batch []message) (*http.Request, error) {
		var b bytes.Buffer
		for _, m := range batch {
			fmt.Fprintf(&b, `{"user":%d,"data":%q}`+"\n", m.user, m.text)
		}
		return http.NewRequest(http.MethodPost, admin, &b)
	}
	s.answer = func(body []byte, _ int) error {
		if len(body) > 0 {
			return fmt.Errorf("unexpected answer %.300s", body)
		}
		return nil
	}
	return s, nil
}
