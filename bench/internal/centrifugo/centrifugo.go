// Package centrifugo has what the drivers ask of Centrifugo, a messaging server
// in Go whose sockets and Redis engine are compared with Sluice's.
package centrifugo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// apiKey is that of the servers that a driver starts.
const apiKey = "bench"

// All is the channel of everybody.
const All = "all"

// Channel is that of a user.
func Channel(user int) string { return fmt.Sprintf("u%d", user) }

// Args is the command line of a server on PORT0 whose configuration is in the
// file config.json of its folder.
func Args(binary string) []string {
	return []string{"env", "CENTRIFUGO_HTTP_SERVER_PORT=PORT0", binary, "--config", "DIR/config.json"}
}

// Config is the configuration of a server; redis is the address of its
// engine, empty for one alone. What is not set has its default.
func Config(pingMillis int64, redis string) (string, error) {
	config := map[string]any{
		"http_server":   map[string]any{"address": "127.0.0.1"},
		"http_api":      map[string]any{"key": apiKey},
		"health":        map[string]any{"enabled": true},
		"log":           map[string]any{"level": "error"},
		"uni_websocket": map[string]any{"enabled": true},
		"client": map[string]any{
			"insecure": true, "allowed_origins": []string{"*"}, "ping_interval": fmt.Sprintf("%dms", pingMillis),
			// It must be below the interval; by default it is a third.
			"pong_timeout": fmt.Sprintf("%dms", pingMillis/3),
		},
		"channel": map[string]any{"without_namespace": map[string]any{
			"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
		}},
	}
	if redis != "" {
		config["engine"] = map[string]any{"type": "redis", "redis": map[string]any{"address": redis}}
	}
	b, err := json.Marshal(config)
	return string(b), err
}

// Request is the handshake of a socket that is subscribed to its user's channel
// and that of everybody.
func Request(port, user int) []byte {
	subs := fmt.Sprintf(`{"subs":{%q:{},%q:{}}}`, Channel(user), All)
	return sockets.Upgrade(port, "/connection/uni_websocket?cf_connect="+url.QueryEscape(subs), "")
}

// Batch is the body of a request with many publications.
type Batch struct {
	buf bytes.Buffer
	n   int
}

// Len is how many publications were added.
func (b *Batch) Len() int { return b.n }

// Add adds a publication, whose text needs no escapes.
func (b *Batch) Add(channel, text string) {
	if b.n++; b.n > 1 {
		b.buf.WriteByte(',')
	}
	fmt.Fprintf(&b.buf, `{"publish":{"channel":%q,"data":%q}}`, channel, text)
}

// Post is the request. The server takes the publications one after the other.
func (b *Batch) Post(port int) (*http.Request, error) {
	body := append([]byte(`{"commands":[`), b.buf.Bytes()...)
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/api/batch", port), bytes.NewReader(append(body, "]}"...)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-API-Key", apiKey)
	return req, nil
}

// Accepted returns an error unless all publications of a batch were taken.
func Accepted(answer []byte, n int) error {
	if got := bytes.Count(answer, []byte(`"publish":`)); got != n || bytes.Contains(answer, []byte(`"error"`)) {
		return fmt.Errorf("%d of %d messages were accepted: %.300s", got, n, answer)
	}
	return nil
}
