package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
)

const (
	clientTimeout = 30 * time.Second // a reload of a large tree is well below
	maxAnswer     = 64 << 20         // bytes of one answer
	listPageSize  = 1000             // the most that a server answers at once
	defaultListed = 1000             // as much as somebody may want to look at
)

// client asks a running server.
type client struct {
	where string // as an error names the server
	base  string
	token string // only over the network: on a socket the kernel says who asks
	http  http.Client
}

func (a *app) client() (*client, error) {
	c := &client{where: strings.TrimSuffix(a.server, "/"), http: http.Client{Timeout: cmp.Or(a.responseTimeout, clientTimeout)}}
	if path, ok := strings.CutPrefix(a.server, unixScheme); ok || a.server == "" {
		paths := []socketPlace{{path: path}}
		switch {
		case a.server == "":
			paths = usualSockets()
		case path == "":
			return nil, usage("--server %s: write unix:PATH", a.server)
		}
		if a.tokenFile != "" {
			return nil, usage("--token-file belongs to --server http://HOST:PORT: on the Unix socket of this machine the kernel says who asks")
		}
		c.where, c.base = unixScheme+joinPlaces(paths), socketBase
		c.http.Transport = socketTransport(paths)
		return c, nil
	}
	u, err := url.Parse(a.server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--server %s: write unix:PATH, http://HOST:PORT or https://HOST:PORT", a.server)
	}
	c.base, c.token = c.where, strings.TrimSpace(os.Getenv("SLUICE_TOKEN"))
	if a.tokenFile != "" {
		b, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, usage("--token-file: %w", err)
		}
		c.token = strings.TrimSpace(string(b))
	}
	if u.Scheme == "https" && a.caFile != "" {
		if c.http.Transport, err = trusting(a.caFile); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// trusting is a transport that trusts the certificates of a file and no other.
func trusting(file string) (http.RoundTripper, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("--ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, usage("--ca-file %s has no certificate: name a file in PEM", file)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool}
	return t, nil
}

// problem is application/problem+json: what a server answered instead of doing
// what it was asked.
type problem struct {
	Title  string `json:"title"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error is what the server says, with a flag in the place of its parameter.
func (p *problem) Error() string { return strings.ReplaceAll(p.Detail, "?force=true", "--force") }

// refused reports whether a server answered with one of these codes.
func refused(err error, codes ...string) bool {
	var p *problem
	return errors.As(err, &p) && slices.Contains(codes, p.Code)
}

// call asks for one path and decodes the answer into out, unless that is nil. A
// status in accept is an answer too.
func (c *client) call(a *app, method, path string, body, out any, accept ...int) (int, error) {
	return c.callIf(a, method, path, nil, body, out, accept...)
}

// callIf is call with headers.
func (c *client) callIf(a *app, method, path string, header http.Header, body, out any, accept ...int) (int, error) {
	var in io.Reader
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if body != nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // what somebody wrote goes out as it is
		if err := enc.Encode(body); err != nil {
			return 0, err
		}
		in = &b
	}
	if method != http.MethodGet {
		header.Set("Content-Type", "application/json")
	}
	res, err := c.open(a.ctx, method, path, in, header, accept...)
	if err != nil {
		status := 0
		if res != nil {
			status = res.StatusCode
		}
		return status, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, exit(exitUnreachable, err)
	}
	if out == nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, c.understand(b, out)
}

// open asks for one path. The answer, whose body the caller closes, is a success
// or has a status in accept; of any other the error tells, and its body is gone.
func (c *client) open(ctx context.Context, method, path string, body io.Reader, header http.Header, accept ...int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, exit(exitUnreachable, fmt.Errorf("the certificate of %s is not trusted (%w): name that of its issuer with --ca-file", c.where, err))
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, exit(exitUnreachable, fmt.Errorf("the socket of a server is not for this user (%w): ask as root, as the user of the service or as a member of the group of %s, or use a token and --server http://HOST:PORT", err, httpapi.PropSocketGroup))
		}
		return nil, exit(exitUnreachable, fmt.Errorf("no server answers at %s (%w): start `sluice serve`, name it with --server, or work on files with --etc", c.where, err))
	}
	if res.StatusCode < 300 || slices.Contains(accept, res.StatusCode) {
		return res, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, exit(exitUnreachable, err)
	}
	var p problem
	if json.Unmarshal(b, &p) != nil || p.Detail == "" {
		p.Detail = "the server answered " + res.Status
	}
	return res, exit(exitFindings, &p)
}

func (c *client) understand(b []byte, out any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return exit(exitFindings, fmt.Errorf("the answer of %s is not what this version understands: %w", c.where, err))
	}
	return nil
}

// show calls and prints: with -o json the answer as it came, which a newer
// server may have more in, else with text.
func (c *client) show(a *app, method, path string, body, out any, text func(), accept ...int) (int, error) {
	var raw json.RawMessage
	status, err := c.call(a, method, path, body, &raw, accept...)
	if err != nil {
		return status, err
	}
	if err := c.understand(raw, out); err != nil {
		return status, err
	}
	if a.json() {
		return status, a.printJSON(raw)
	}
	text()
	return status, nil
}

// onlyServer makes the client of a command that has no other way.
func (a *app) onlyServer(command string) (*client, error) {
	if len(a.etc) > 0 {
		return nil, usage("%s asks a running server: name it with --server", command)
	}
	if err := a.onlyFiles(); err != nil {
		return nil, err
	}
	return a.client()
}

// subjectPath is the path of a subject's properties.
func subjectPath(su cascade.Subject) string {
	p := "/admin/v1"
	if su.Context != 0 {
		p += "/contexts/" + strconv.FormatUint(uint64(su.Context), 10)
	}
	if su.User != 0 {
		p += "/users/" + strconv.FormatUint(uint64(su.User), 10)
	}
	return p + "/properties"
}

func (c *client) explain(a *app, su cascade.Subject, name string, w cascade.WhatIf, verbose bool) (cascade.Explanation, error) {
	q := url.Values{"name": {name}}
	if len(w.Tags) > 0 {
		q.Set("tags", strings.Join(w.Tags, ","))
	}
	if len(w.Permissions) > 0 {
		q.Set("permissions", strings.Join(w.Permissions, ","))
	}
	if verbose {
		q.Set("verbose", "true")
	}
	var x cascade.Explanation
	_, err := c.call(a, http.MethodGet, subjectPath(su)+"?"+q.Encode(), nil, &x)
	return x, err
}

// list asks for all properties below a prefix, page by page.
func (c *client) list(a *app, su cascade.Subject, prefix string) ([]cascade.Explanation, error) {
	var all []cascade.Explanation
	for cursor := ""; ; {
		q := url.Values{"prefix": {prefix}, "limit": {"1000"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page struct {
			Properties []cascade.Explanation `json:"properties"`
			Next       string                `json:"next"`
		}
		if _, err := c.call(a, http.MethodGet, subjectPath(su)+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Properties...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// pages asks for what a list has, up to limit (0: all), page by page. What is in
// the answer is called items; next is not empty where there is more.
func (c *client) pages(a *app, path, items string, q url.Values, limit int) (all []json.RawMessage, next string, err error) {
	all = []json.RawMessage{}
	for {
		size := listPageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		q.Set("limit", strconv.Itoa(size))
		var page map[string]json.RawMessage
		if _, err := c.call(a, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, "", err
		}
		var list []json.RawMessage
		before := next
		if err := errors.Join(c.understand(page[items], &list), c.understand(page["next"], &next)); err != nil {
			return nil, "", err
		}
		all = append(all, list...)
		// A place that does not move would be asked for without end.
		if next == "" || next == before || limit > 0 && len(all) >= limit {
			return all, next, nil
		}
		q.Set("cursor", next)
	}
}
