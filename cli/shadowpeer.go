package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// maxPeerAnswer bounds one answer of the other side: its whole tree for one user
// has less than a megabyte.
const maxPeerAnswer = 8 << 20

// peer is the existing middleware, asked through the paths that it has for
// reading (spec cascade.md 9.5). It is only ever asked with GET.
type peer struct {
	base            string
	login, password string
	http            http.Client

	mu     sync.Mutex
	server map[string]map[string]string // by path: what its server view has
}

// errPeerUnknown: the path has no answer, because nothing is defined, or there is
// no such user.
var errPeerUnknown = errors.New("it answers 404")

// peerRefused ends everything: the other side does not let the caller in.
type peerRefused struct{ status int }

func (e *peerRefused) Error() string {
	return fmt.Sprintf("the other side refuses the login (%d): give that of its service account, as com.openexchange.rest.services.basic-auth.login there, with --login and --password-file", e.status)
}

func newPeer(a *app, address, login, passwordFile string, timeout time.Duration) (*peer, error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return nil, usage("--against %s: write http://HOST:PORT or https://HOST:PORT", address)
	}
	if u.User != nil {
		return nil, usage("--against holds a password, which everybody on this machine can see: use --login and --password-file")
	}
	p := &peer{base: u.String(), login: login, password: os.Getenv("SLUICE_SHADOW_PASSWORD"), server: map[string]map[string]string{}}
	p.http.Timeout = timeout
	// A redirect would take the password elsewhere.
	p.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if passwordFile != "" {
		b, err := os.ReadFile(passwordFile)
		if err != nil {
			return nil, usage("--password-file: %w", err)
		}
		p.password = strings.TrimRight(string(b), "\r\n")
	}
	if u.Scheme == "https" && a.caFile != "" {
		if p.http.Transport, err = trusting(a.caFile); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// what is a property, or all below a prefix.
type what struct {
	name   string
	prefix bool
}

// path is where the other side has it for a subject, or for nobody.
func (w what) path(su cascade.Subject) string {
	p := "/preliminary/configuration/v1/property/"
	if w.prefix {
		p = "/preliminary/configuration/v1/withPrefix/"
	}
	p += url.PathEscape(w.name)
	if su.Context != 0 {
		p += "/" + strconv.FormatUint(uint64(su.Context), 10) + "/" + strconv.FormatUint(uint64(su.User), 10)
	}
	return p
}

// values asks for what the other side has for a subject.
func (p *peer) values(ctx context.Context, w what, su cascade.Subject) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+w.path(su), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if p.login != "" || p.password != "" {
		req.SetBasicAuth(p.login, p.password)
	}
	res, err := p.http.Do(req)
	if err != nil {
		var ue *url.Error
		switch {
		case errors.As(err, &ue) && ue.Timeout():
			return nil, fmt.Errorf("no answer within %v", p.http.Timeout)
		case errors.As(err, &ue):
			err = ue.Err
		}
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, &peerRefused{res.StatusCode}
	case http.StatusNotFound:
		return nil, errPeerUnknown
	default:
		return nil, fmt.Errorf("it answers %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxPeerAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer was cut off: %w", err)
	case len(b) > maxPeerAnswer:
		return nil, fmt.Errorf("its answer has more than %d bytes: ask with a longer --prefix", maxPeerAnswer)
	}
	return peerValues(b)
}

// peerValues reads an object of names and values. What is no text counts as it
// is written.
func peerValues(b []byte) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil || raw == nil {
		return nil, errors.New("its answer is no JSON object of names and values: does --against lead to the middleware?")
	}
	values := make(map[string]string, len(raw))
	for name, v := range raw {
		var text *string
		switch err := json.Unmarshal(v, &text); {
		case err != nil:
			values[name] = string(v)
		case text != nil: // null is undefined
			values[name] = *text
		}
	}
	return values, nil
}

// ofServer is what its server view has, asked once.
func (p *peer) ofServer(ctx context.Context, w what) (map[string]string, error) {
	path := w.path(cascade.Subject{})
	p.mu.Lock()
	have, ok := p.server[path]
	p.mu.Unlock()
	if ok {
		return have, nil
	}
	values, err := p.values(ctx, w, cascade.Subject{})
	if errors.Is(err, errPeerUnknown) {
		values, err = map[string]string{}, nil
	}
	if err == nil {
		p.mu.Lock()
		p.server[path] = values
		p.mu.Unlock()
	}
	return values, err
}
