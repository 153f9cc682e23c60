// Package sluice has what the drivers ask of Sluice itself.
package sluice

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/seed47708276/sluice/bench/internal/sockets"
)

// Login is a session and what goes with it.
type Login struct {
	Session string
	Cookie  struct{ Name, Value string }
}

// ContextOf spreads the users over contexts of a hundred.
func ContextOf(user int) int { return 1 + user/100 }

// Logins makes a session for each user from first on.
func Logins(ctx context.Context, client *http.Client, admin string, first, n int) ([]Login, error) {
	list := make([]Login, n)
	for i := range list {
		var err error
		if list[i], err = login(ctx, client, admin, first+i); err != nil {
			return nil, fmt.Errorf("session of user %d: %w", first+i, err)
		}
	}
	return list, nil
}

func login(ctx context.Context, client *http.Client, admin string, user int) (l Login, err error) {
	body := fmt.Sprintf(`{"context":%d,"user":%d,"client":"open-xchange-appsuite"}`, ContextOf(user), user)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, admin+"/admin/v1/sessions", strings.NewReader(body))
	if err != nil {
		return l, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := Authorize(req); err != nil {
		return l, err
	}
	r, err := client.Do(req)
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

// Request is the handshake of a login's socket, by a connection id that no
// other socket has.
func (l Login) Request(port, connection int) []byte {
	return sockets.Upgrade(port, fmt.Sprintf("/socket.io/appsuite/?session=%s&connection=17953470%d&EIO=4&transport=websocket", l.Session, connection),
		fmt.Sprintf("Cookie: %s=%s\r\n", l.Cookie.Name, l.Cookie.Value))
}
