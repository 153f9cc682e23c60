// Package doveadm registers users with Dovecot for notifications of new mails,
// through the HTTP API of doveadm.
package doveadm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// metadataKey is where Dovecot's ox driver looks whether it is to notify.
const metadataKey = "/private/vendor/vendor.dovecot/http-notify"

const (
	// MaxBatch is how many commands one request carries: the answer comes when the
	// last is done, at some 3 ms each, on a busy machine at 12.
	MaxBatch = 100
	// requestTimeout bounds a request. What was sent is carried out all the same.
	requestTimeout = 30 * time.Second
	// downFor is how long an endpoint that failed is passed over.
	downFor = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: each command's has some 100.
	maxAnswer = 1 << 20
	// MaxLogin bounds a login, in bytes.
	MaxLogin = 320
)

// The errors of a single command.
var (
	// ErrNoUser: Dovecot knows no such user. Trying again does not help.
	ErrNoUser = errors.New("no such user in Dovecot")
	// ErrLater: the user's mail store cannot be reached at the moment.
	ErrLater = errors.New("for now Dovecot cannot reach the user's mail store: try again")
	// ErrUncertain: it may have been done or not. It may be done again.
	ErrUncertain = errors.New("no DoveAdm endpoint has answered")
	// ErrSetup: Dovecot is not set up for it, so that no user can be registered.
	ErrSetup = errors.New("this Dovecot is not set up for it")
)

// Op is what is done with a registration.
type Op string

// The operations.
const (
	Set   Op = "mailboxMetadataSet"
	Unset Op = "mailboxMetadataUnset"
	Get   Op = "mailboxMetadataGet"
)

// Command is one for a user, who is named as Dovecot does. Value is that of Set.
type Command struct{ Login, Value string }

// Result is that of a command; Value is that of Get, "" where nothing is there.
type Result struct {
	Value string
	Err   error
}

// Client speaks to one of several endpoints, URLs such as
// http://dovecot:8080/doveadm/v1, which all lead to the same mail stores. It may be
// used from many goroutines.
type Client struct {
	key  string
	http *http.Client

	mu        sync.Mutex
	endpoints []*endpoint
	next      int
}

type endpoint struct {
	url     string
	down    time.Time // passed over until then
	checked bool      // its commands are known to fit
	err     error     // of the last request; nil: it was answered, or none was sent
	since   time.Time // when err began
	asked   time.Time // zero: not yet
}

// The values of Endpoint.Status.
const (
	StatusOK      = "ok"
	StatusFailing = "failing"
	StatusUnasked = "unasked" // nobody had to be registered yet
)

// Endpoint tells how an endpoint has answered.
type Endpoint struct {
	URL    string     `json:"url"` // without a password
	Status string     `json:"status"`
	Error  string     `json:"error,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // the first failure in a row
	Asked  *time.Time `json:"asked,omitempty"` // the last request
}

// New makes a client; key is doveadm_api_key.
func New(endpoints []string, key string) *Client {
	c := &Client{key: key, http: &http.Client{Timeout: requestTimeout}}
	for _, e := range endpoints {
		c.endpoints = append(c.endpoints, &endpoint{url: e})
	}
	return c
}

// Close lets go of connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health tells of each endpoint how it has answered.
func (c *Client) Health() []Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Endpoint, len(c.endpoints))
	for i, e := range c.endpoints {
		x := Endpoint{URL: redacted(e.url), Status: StatusUnasked}
		if !e.asked.IsZero() {
			at := e.asked.UTC()
			x.Status, x.Asked = StatusOK, &at
		}
		if e.err != nil {
			since := e.since.UTC()
			x.Status, x.Error, x.Since = StatusFailing, e.err.Error(), &since
		}
		list[i] = x
	}
	return list
}

// redacted is a URL that may be shown.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}

// ValidLogin reports whether a login may be sent: Dovecot closes the connection on
// some that it cannot read.
func ValidLogin(login string) bool {
	return login != "" && len(login) <= MaxLogin && !strings.ContainsFunc(login, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// Do carries out the same operation for at most MaxBatch users, and returns the
// results in their order. An endpoint that fails has another one asked, since each
// operation may be done twice.
func (c *Client) Do(ctx context.Context, op Op, commands []Command) []Result {
	results := make([]Result, len(commands))
	var batch []int // the ones to be sent
	for i, cmd := range commands {
		if ValidLogin(cmd.Login) {
			batch = append(batch, i)
		} else {
			results[i].Err = fmt.Errorf("%w: %.40q is no login", ErrNoUser, cmd.Login)
		}
	}
	if len(batch) == 0 {
		return results
	}
	last := fmt.Errorf("%w: none is configured", ErrUncertain)
	for _, e := range c.order() {
		err := c.try(ctx, e, op, commands, batch, results)
		if ctx.Err() == nil || err == nil { // a caller who went away says nothing of it
			c.note(e, err)
		}
		if err == nil {
			return results
		}
		last = fmt.Errorf("%w: %s: %w", ErrUncertain, redacted(e.url), err)
		if ctx.Err() != nil {
			break
		}
	}
	for _, i := range batch {
		results[i] = Result{Err: last}
	}
	return results
}

// order is that in which the endpoints are asked: one after the other in turn, and
// those that failed lately last.
func (c *Client) order() []*endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.endpoints) == 0 {
		return nil
	}
	c.next = (c.next + 1) % len(c.endpoints)
	list := append(slices.Clone(c.endpoints[c.next:]), c.endpoints[:c.next]...)
	now := time.Now()
	slices.SortStableFunc(list, func(a, b *endpoint) int {
		switch x, y := now.Before(a.down), now.Before(b.down); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return list
}

func (c *Client) note(e *endpoint, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if err != nil && e.err == nil {
		e.since = now
	}
	e.err, e.asked, e.down = err, now, time.Time{}
	if err != nil {
		e.down = now.Add(downFor)
	}
}

// try asks one endpoint. An error is one of the endpoint, after which another may be
// asked.
func (c *Client) try(ctx context.Context, e *endpoint, op Op, commands []Command, batch []int, results []Result) error {
	if err := c.check(ctx, e); err != nil {
		return err
	}
	var body []any
	for _, i := range batch {
		params := map[string]any{"user": commands[i].Login, "mailbox": "", "allowEmptyMailboxName": true, "key": metadataKey}
		if op == Set {
			params["value"] = commands[i].Value
		}
		body = append(body, []any{op, params, strconv.Itoa(i)})
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, http.MethodPost, e.url, text)
	if err != nil {
		return err
	}
	return readAnswer(answer, batch, results)
}

// readAnswer puts the results of a batch into their places.
func readAnswer(answer []byte, batch []int, results []Result) error {
	var list [][3]json.RawMessage
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("its answer is not JSON: %w", err)
	}
	answered := map[int]bool{}
	for _, entry := range list {
		var kind, tag string
		if json.Unmarshal(entry[0], &kind) != nil || json.Unmarshal(entry[2], &tag) != nil {
			return errors.New("the answer is not DoveAdm's: check the address of its HTTP listener")
		}
		i, err := strconv.Atoi(tag)
		if err != nil || !slices.Contains(batch, i) {
			return fmt.Errorf("its answer has a tag that nobody sent: %.20q", tag)
		}
		results[i], answered[i] = readResult(kind, entry[1]), true
	}
	if len(answered) != len(batch) {
		return fmt.Errorf("it answered %d of %d commands", len(answered), len(batch))
	}
	return nil
}

// The exit codes of sysexits.h that Dovecot uses.
const (
	exitUsage    = 64
	exitDataErr  = 65
	exitNoUser   = 67
	exitTempFail = 75
)

func readResult(kind string, body json.RawMessage) Result {
	if kind != "error" {
		var values []struct{ Value string }
		if json.Unmarshal(body, &values) != nil || len(values) == 0 {
			return Result{} // of Set and Unset
		}
		return Result{Value: values[0].Value}
	}
	var e struct {
		Type     string
		ExitCode int
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return Result{Err: fmt.Errorf("%w: %w", ErrUncertain, err)}
	}
	switch {
	case e.Type != "exitCode":
		return Result{Err: fmt.Errorf("%w: %s", ErrSetup, e.Type)}
	case e.ExitCode == exitNoUser:
		return Result{Err: ErrNoUser}
	case e.ExitCode == exitTempFail:
		return Result{Err: ErrLater}
	case e.ExitCode == exitDataErr:
		return Result{Err: fmt.Errorf("%w: set mail_attribute_dict", ErrSetup)}
	case e.ExitCode == exitUsage:
		return Result{Err: fmt.Errorf("%w: it refuses the command", ErrSetup)}
	}
	return Result{Err: fmt.Errorf("%w: exit code %d", ErrLater, e.ExitCode)}
}

// check asks an endpoint once what it can do: a command that it lacks spoils the
// answers to all others.
func (c *Client) check(ctx context.Context, e *endpoint) error {
	c.mu.Lock()
	checked := e.checked
	c.mu.Unlock()
	if checked {
		return nil
	}
	answer, err := c.ask(ctx, http.MethodGet, e.url, nil)
	if err != nil {
		return err
	}
	var commands []struct {
		Command    string
		Parameters []struct{ Name string }
	}
	if err := json.Unmarshal(answer, &commands); err != nil {
		return fmt.Errorf("it lists no commands, is it DoveAdm's? %w", err)
	}
	has := map[string]bool{}
	for _, x := range commands {
		for _, p := range x.Parameters {
			has[x.Command+" "+p.Name] = true
		}
	}
	for _, op := range []Op{Set, Unset, Get} {
		for _, p := range []string{"user", "mailbox", "allowEmptyMailboxName", "key"} {
			if !has[string(op)+" "+p] {
				return fmt.Errorf("its %s does not take %s: this version of Dovecot is not supported", op, p)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.checked = true
	return nil
}

// ask sends a request. Dovecot closes the connection after each.
func (c *Client) ask(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "X-Dovecot-API "+base64.StdEncoding.EncodeToString([]byte(c.key)))
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("it refuses the key: compare doveadm_api_key")
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %s: %.200s", res.Status, bytes.TrimSpace(text))
	}
	return text, err
}
