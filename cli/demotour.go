package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/node"
	"github.com/seed47708276/sluice/websockets"
)

// demoStep bounds each step: the slowest, a save until it takes effect, needs
// a quarter of a second.
const demoStep = 10 * time.Second

// tour is what the demo shows. Every line it prints reports what happened.
type tour struct {
	*app
	server *node.Node
	tree   string
	client *client
	cookie string
	url    string
	// mailServer is a real Dovecot; nil: there is none.
	mailServer *mailServer
}

func (t *tour) say(format string, args ...any) { t.printf("\n== "+format+"\n", args...) }

func (t *tour) run(ctx context.Context) (err error) {
	if t.client, err = t.app.client(); err != nil {
		return err
	}
	t.printf("Sluice serves the shipped tree in %s\n  clients        http://%s\n  administrators %s%s\n", t.tree, t.server.PublicAddr(), unixScheme, t.server.SocketPath())

	t.say("Who is served? Two users of context %d, one property:", demoContext)
	for _, user := range []uint32{demoOn, demoOff} {
		if err := t.explain(user); err != nil {
			return err
		}
	}

	t.say("User %d connects, as the web client does (Socket.IO over a Web Socket):", demoOn)
	if err := t.login(); err != nil {
		return err
	}
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	t.printf("connected, socket id %s\n", c.sid)

	t.say("A new mail arrives: POST /admin/v1/messages")
	if err := t.push(ctx, c, "first"); err != nil {
		return err
	}

	t.say("... or PUT /preliminary/http-notify/v1/notify, as Dovecot tells of new mails:")
	if err := t.notified(ctx, c); err != nil {
		return err
	}
	if t.mailServer != nil {
		if err := t.mail(ctx, c); err != nil {
			return err
		}
	}

	t.say("A slip in the editor: %s=ture", websockets.PropEnabled)
	if err := t.slip(ctx, c); err != nil {
		return err
	}

	t.say("The administrator saves %s=false. It would close more sockets than %s allows (0 in this demo), so it is held:", websockets.PropEnabled, httpapi.PropMaxClose)
	if _, err := t.save("false"); err != nil {
		return err
	}
	hold, err := t.held(ctx)
	if err != nil {
		return err
	}
	t.showHold(hold)
	if err := t.explain(demoOn); err != nil {
		return err
	}
	if err := t.push(ctx, c, "while it is held"); err != nil {
		return err
	}

	t.say("It is meant: sluice reload --confirm %s", hold.Digest)
	saved := time.Now()
	if err := t.confirmHeld(hold.Digest, false); err != nil {
		return err
	}
	if err := t.dropped(ctx, c, saved); err != nil {
		return err
	}
	if err := t.explain(demoOn); err != nil {
		return err
	}

	t.say("... and true again, which closes nothing and counts at once:")
	if saved, err = t.save("true"); err != nil {
		return err
	}
	back, err := t.reconnect(ctx)
	if err != nil {
		return err
	}
	defer back.close()
	t.printf("connected again %d ms after the save, socket id %s\n", time.Since(saved).Milliseconds(), back.sid)
	return t.push(ctx, back, "second")
}

func (t *tour) explain(user uint32) error {
	x, err := t.client.explain(t.app, cascade.Subject{Context: demoContext, User: user}, websockets.PropEnabled, cascade.WhatIf{}, false)
	if err == nil {
		t.printf("%s\n", x.Summary)
	}
	return err
}

func (t *tour) login() error {
	var s struct {
		Session string
		Cookie  struct{ Name, Value string }
	}
	_, err := t.client.call(t.app, http.MethodPost, "/admin/v1/sessions",
		map[string]any{"context": demoContext, "user": demoOn, "client": "open-xchange-appsuite"}, &s)
	t.cookie = s.Cookie.Name + "=" + s.Cookie.Value
	t.url = fmt.Sprintf("ws://%s/socket.io/appsuite/?session=%s&EIO=4&transport=websocket", t.server.PublicAddr(), s.Session)
	return err
}

func (t *tour) connect(ctx context.Context) (*socketClient, error) {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	return dialSocket(ctx, t.url, t.cookie)
}

// push sends a message over HTTP and waits for it on the socket.
func (t *tour) push(ctx context.Context, c *socketClient, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	start := time.Now()
	var sent struct{ Local int }
	_, err := t.client.call(t.app, http.MethodPost, "/admin/v1/messages", map[string]any{
		"context": demoContext, "user": demoOn, "name": "ox:mail:new", "pathFilter": "/socket.io/appsuite/*",
		"args": []any{map[string]any{"folder": "default0/INBOX", "id": "7", "subject": subject}},
	}, &sent)
	if err != nil {
		return err
	}
	got, err := c.event(ctx)
	if err != nil {
		return err
	}
	t.printf("queued for %d socket, which received %s after %d ms\n", sent.Local, got, time.Since(start).Milliseconds())
	return nil
}

// save edits the file as `sluice set` does.
func (t *tour) save(value string) (time.Time, error) {
	ed, err := t.server.Engine().PlanSet(websockets.PropEnabled, value, "")
	if err != nil {
		return time.Time{}, err
	}
	if err := ed.Write(); err != nil {
		return time.Time{}, err
	}
	saved := time.Now()
	t.showEdit(ed, hunks(lines(ed.Before), lines(ed.After)), false, false)
	return saved, nil
}

// slip saves a value that is neither true nor false, shows that nothing happens
// to the socket and what is said of it, and puts it right.
func (t *tour) slip(ctx context.Context, c *socketClient) error {
	path := filepath.Join(t.tree, "websockets.properties")
	good, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const was = websockets.PropEnabled + "=true"
	if !bytes.Contains(good, []byte(was)) {
		return fmt.Errorf("%s has no line %s", path, was)
	}
	if err := os.WriteFile(path, bytes.Replace(good, []byte(was), []byte(websockets.PropEnabled+"=ture"), 1), 0o644); err != nil {
		return err
	}
	if err := t.until(ctx, "degraded", func(s *serverStatus) bool { return s.Status == "degraded" }); err != nil {
		return err
	}
	if err := t.explain(demoOn); err != nil {
		return err
	}
	if err := t.push(ctx, c, "nobody was sent away"); err != nil {
		return err
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		return err
	}
	t.printf("... put right\n")
	return t.until(ctx, "ok", func(s *serverStatus) bool { return s.Status == "ok" })
}

// held waits for the change that is held.
func (t *tour) held(ctx context.Context) (hold *cascade.Hold, err error) {
	err = t.until(ctx, "held", func(s *serverStatus) bool {
		hold = s.Held
		return hold != nil
	})
	return hold, err
}

// until asks the server for its configuration until that is as wanted.
func (t *tour) until(ctx context.Context, want string, ok func(*serverStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		var s serverStatus
		if _, err := t.client.call(t.app, http.MethodGet, "/admin/v1/config", nil, &s); err != nil || ok(&s) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the configuration is %s, not %s: %w", s.Status, want, ctx.Err())
		case <-tick.C:
		}
	}
}

// dropped waits for the notice and the close, and tries to come back.
func (t *tour) dropped(ctx context.Context, c *socketClient, saved time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	notice, err := c.event(ctx)
	if err != nil {
		return err
	}
	code, err := c.closed(ctx)
	if err != nil {
		return err
	}
	t.printf("the socket received %s and was closed with %d, %d ms later\n", notice, code, time.Since(saved).Milliseconds())
	var refused *refusedError
	if _, err := dialSocket(ctx, t.url, t.cookie); !errors.As(err, &refused) {
		return fmt.Errorf("a user who is switched off was let in again: %w", err)
	}
	t.printf("a new handshake is answered with %s\n", refused)
	t.printf("the web client tries again after 1, 3, 7, ... s, and gives up after 2.8 hours; with %s=%s the socket would have stayed, muted\n", websockets.PropWhenDisabled, websockets.WhenDisabledHold)
	return nil
}

// retryEvery is the back-off of the demo's client.
const retryEvery = 25 * time.Millisecond

// reconnect tries again until it is let in, as the real clients do.
func (t *tour) reconnect(ctx context.Context) (*socketClient, error) {
	ctx, cancel := context.WithTimeout(ctx, demoStep)
	defer cancel()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		c, err := dialSocket(ctx, t.url, t.cookie)
		var refused *refusedError
		if err == nil || !errors.As(err, &refused) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("still refused: %w", err)
		case <-tick.C:
		}
	}
}

func (t *tour) next(directory, dir string) {
	t.say("It stays up until Ctrl-C. Try:")
	t.printf(`  edit %[1]s/websockets.properties, or %[2]s
  go run . explain %[3]s --context %[4]d --user %[5]d --server unix:%[6]s
  go run . explain %[3]s --context %[4]d --user %[5]d --etc %[1]s --directory %[2]s --verbose
  go run . check --etc %[1]s
  curl -s --unix-socket %[6]s http://sluice/admin/v1/config
  curl -s --unix-socket %[6]s -H 'Content-Type: application/json' -d '{"context":%[4]d,"user":%[5]d,"name":"ox:mail:new","args":[{"folder":"default0/INBOX"}]}' http://sluice/admin/v1/messages
  curl -s -X PUT -u %[8]s:%[9]s -d '{"user":"%[11]d@%[4]d","event":"messageNew","folder":"INBOX","imap-uid":0,"from":"Zoe <zoe@example.org>","subject":"Hello"}' http://%[10]s/preliminary/http-notify/v1/notify
  the server's log is %[7]s/log
`, t.tree, directory, websockets.PropEnabled, demoContext, demoOff, t.server.SocketPath(), dir, demoLogin, demoPassword, t.server.PublicAddr(), demoOn)
}
