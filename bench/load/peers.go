package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed47708276/sluice/bench/internal/sluice"
	"github.com/seed47708276/sluice/bench/internal/sockets"
)

const (
	labelSluice   = "sluice"
	labelSocketIO = "socket.io"
	labelUsual    = "coder/websocket"
	labelBefore   = "before" // another build of Sluice

	labelCentrifugo = "centrifugo"
)

// peer knows how to start a server for so many users.
type peer struct {
	label string
	start func(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error)
}

var peers = []peer{
	{labelSluice, startSluice},
	{labelSocketIO, startSocketIO},
	{labelUsual, startUsual},
	{labelCentrifugo, startCentrifugo},
}

func startSluice(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	return r.startBuild(ctx, r.sluice, users, ping)
}

func startBefore(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	return r.startBuild(ctx, r.before, users, ping)
}

// startBuild runs a build of the product as it is: sessions, gate and metrics on.
func (r *rig) startBuild(ctx context.Context, binary string, users int, ping time.Duration) (*server, error) {
	properties := map[string]string{
		"etc/websockets.properties": fmt.Sprintf("com.openexchange.websockets.enabled = true\nsluice.websockets.pingInterval = %dms\n", ping.Milliseconds()),
	}
	if r.secure {
		if err := certify(properties); err != nil {
			return nil, err
		}
		properties["etc/tls.properties"] = "sluice.public.tls.cert = DIR/cert.pem\nsluice.public.tls.key = DIR/key.pem\n"
	}
	files, err := sluice.TokenFiles(properties)
	if err != nil {
		return nil, err
	}
	s, err := r.launch(ctx, []string{binary, "serve", "--etc", "DIR/etc", "--state", "DIR/state", "--public", "127.0.0.1:PORT0", "--admin", "127.0.0.1:PORT1"}, files)
	if err != nil {
		return nil, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d", s.Ports[1])
	if err := s.Up(ctx, admin+"/readyz"); err != nil {
		return nil, err
	}
	s.users, s.dialect = users, sockets.SocketIO
	logins, err := sluice.Logins(ctx, s.HTTP, admin, 1, users)
	if err != nil {
		s.Stop()
		return nil, err
	}
	s.request = func(i int) []byte { return logins[s.userOf(i)-1].Request(s.port, i) }
	s.publish = func(batch []message) (*http.Request, error) {
		var b bytes.Buffer
		for _, m := range batch {
			to := `"all":true`
			if m.user != everybody {
				to = fmt.Sprintf(`"context":%d,"user":%d`, sluice.ContextOf(m.user), m.user)
			}
			fmt.Fprintf(&b, `{%s,"name":%q,"args":[%q]}`+"\n", to, sockets.Event, m.text)
		}
		req, err := http.NewRequest(http.MethodPost, admin+"/admin/v1/messages", &b)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		return req, sluice.Authorize(req)
	}
	s.answer = func(body []byte, batch int) error {
		if n := bytes.Count(body, []byte(`"local":`)); n != batch {
			return fmt.Errorf("%d of %d messages were accepted: %.300s", n, batch, body)
		}
		return nil
	}
	return s, nil
}

func startSocketIO(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	return r.startPlain(ctx, []string{"node", filepath.Join(r.folder, "socketio", "server.js"), "PORT0", "PORT1", strconv.FormatInt(ping.Milliseconds(), 10)},
		nil, sockets.SocketIO, "/socket.io/?EIO=4&transport=websocket&user=", users)
}

func startUsual(ctx context.Context, r *rig, users int, ping time.Duration) (*server, error) {
	args, files := []string{r.usual, "127.0.0.1:PORT0", "127.0.0.1:PORT1", ping.String()}, map[string]string{}
	if r.secure {
		if err := certify(files); err != nil {
			return nil, err
		}
		args = append(args, "DIR/cert.pem", "DIR/key.pem")
	}
	return r.startPlain(ctx, args, files, sockets.Dialect{}, "/?user=", users)
}

// startPlain runs a peer without sessions, which takes publications as lines
// of {"user","data"}.
func (r *rig) startPlain(ctx context.Context, args []string, files map[string]string, d sockets.Dialect, target string, users int) (*server, error) {
	s, err := r.launch(ctx, args, files)
	if err != nil {
		return nil, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d/", s.Ports[1])
	if err := s.Up(ctx, admin); err != nil {
		return nil, err
	}
	s.users, s.dialect = users, d
	s.request = func(i int) []byte { return sockets.Upgrade(s.port, target+strconv.Itoa(s.userOf(i)), "") }
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
