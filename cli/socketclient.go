package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// socketClient is a small Socket.IO client: Engine.IO 4 over a Web Socket.
type socketClient struct {
	ws  *websocket.Conn
	sid string
}

// refusedError is a handshake that was answered, but not with a socket.
type refusedError struct {
	status int
	code   string
}

func (e *refusedError) Error() string { return fmt.Sprintf("%d %s", e.status, e.code) }

const maxRefusal = 4096 // bytes of an error body that are read

func dialSocket(ctx context.Context, url, cookie string) (*socketClient, error) {
	ws, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {cookie}}})
	if err != nil {
		if res == nil || res.StatusCode == http.StatusSwitchingProtocols {
			return nil, err
		}
		b, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal)) // what is missing is missing from the message
		var body struct{ Error string }
		_ = json.Unmarshal(b, &body)
		return nil, &refusedError{res.StatusCode, body.Error}
	}
	c := &socketClient{ws: ws}
	if err := c.open(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *socketClient) open(ctx context.Context) error {
	first, err := c.packet(ctx)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(first, "0{") {
		return fmt.Errorf("not an Engine.IO open packet: %q", first)
	}
	if err := c.ws.Write(ctx, websocket.MessageText, []byte("40")); err != nil {
		return err
	}
	connected, err := c.packet(ctx)
	if err != nil {
		return err
	}
	var body struct{ Sid string }
	rest, ok := strings.CutPrefix(connected, "40")
	if !ok || json.Unmarshal([]byte(rest), &body) != nil {
		return fmt.Errorf("not a Socket.IO connect packet: %q", connected)
	}
	c.sid = body.Sid
	return nil
}

// packet returns the next packet; pings are answered on the way.
func (c *socketClient) packet(ctx context.Context) (string, error) {
	for {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			return "", err
		}
		if string(b) != "2" {
			return string(b), nil
		}
		if err := c.ws.Write(ctx, websocket.MessageText, []byte("3")); err != nil {
			return "", err
		}
	}
}

// event returns the JSON array of the next event.
func (c *socketClient) event(ctx context.Context) (string, error) {
	p, err := c.packet(ctx)
	if err != nil {
		return "", err
	}
	ev, ok := strings.CutPrefix(p, "42")
	if !ok {
		return "", fmt.Errorf("not an event: %q", p)
	}
	return ev, nil
}

// closed waits for the server's close and returns its code.
func (c *socketClient) closed(ctx context.Context) (int, error) {
	for {
		_, err := c.packet(ctx)
		var ce websocket.CloseError
		if errors.As(err, &ce) {
			return int(ce.Code), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (c *socketClient) close() { _ = c.ws.Close(websocket.StatusNormalClosure, "") }
