package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/testkit"
)

func save(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o600))
}

// served is the name of the certificate that a listener shows.
func served(t *testing.T, addr string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	w := newWorld(t, tree)
	dir := t.TempDir()
	mount := filepath.Join(dir, "mount")
	version := func(name string, cert, key []byte) {
		must(t, os.MkdirAll(filepath.Join(mount, name), 0o755))
		save(t, filepath.Join(mount, name, "tls.crt"), cert)
		save(t, filepath.Join(mount, name, "tls.key"), key)
		must(t, os.Symlink(name, filepath.Join(mount, "..new")))
		must(t, os.Rename(filepath.Join(mount, "..new"), filepath.Join(mount, "..data")))
	}
	cert, key := testkit.Issue(t, "first")
	version("..v1", cert, key)
	for _, f := range []string{"tls.crt", "tls.key"} {
		must(t, os.Symlink(filepath.Join("..data", f), filepath.Join(mount, f)))
	}
	var logs testkit.Log
	c, err := LoadCertificate(filepath.Join(mount, "tls.crt"), filepath.Join(mount, "tls.key"), slog.New(slog.NewTextHandler(&logs, nil)))
	must(t, err)
	w.server.Certificate = c
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := w.server.Listener(w.server.Public())
	running.Go(func() { _ = srv.Serve(tls.NewListener(l, c.Config())) })
	t.Cleanup(func() {
		cancel()
		w.sockets.Close()
		_ = srv.Close()
		running.Wait()
	})
	addr := l.Addr().String()
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(); <-time.After(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not within %v: %s\n%s", patience, what, logs.String())
			}
		}
	}
	if got := served(t, addr); got != "first" {
		t.Fatalf("serves %q", got)
	}

	// A socket over TLS, which lives on when the certificate changes.
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	login := w.login(17)
	conn, _, err := websocket.Dial(t.Context(), "https://"+addr+"/socket.io/appsuite/?EIO=3&transport=websocket&session="+login.Session,
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: http.Header{"Cookie": {login.Cookie.Name + "=" + login.Cookie.Value}}})
	must(t, err)
	s := &socket{t, conn}
	s.want("0{")
	s.want("40")
	// HTTP/2 cannot be had, because Web Sockets cannot be had over it.
	res, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/readyz")
	must(t, err)
	res.Body.Close()
	if res.ProtoMajor != 1 {
		t.Errorf("HTTP/%d", res.ProtoMajor)
	}

	// Kubernetes replaces a link beside the files.
	cert2, key2 := testkit.Issue(t, "second")
	version("..v2", cert2, key2)
	until("the second certificate", func() bool { return served(t, addr) == "second" })

	// A key that does not fit, a torn file and one that is gone change nothing.
	_, otherKey := testkit.Issue(t, "other")
	version("..v3", cert2, otherKey)
	until("the metric says so", func() bool { return w.metric(`sluice_tls_certificate_reload_failed{listener="public"}`) == "1" })
	version("..v4", cert2[:len(cert2)/2], key2)
	must(t, os.Remove(filepath.Join(mount, "..v4", "tls.key")))
	if got := served(t, addr); got != "second" {
		t.Errorf("serves %q beside broken files", got)
	}
	if text := logs.String(); !strings.Contains(text, "the one before stays") || strings.Contains(text, "PRIVATE KEY") {
		t.Errorf("log: %s", text)
	}

	// And one that is right again, written in place.
	cert3, key3 := testkit.Issue(t, "third")
	must(t, os.Remove(filepath.Join(mount, "..data")))
	version("..v5", cert3, key3)
	until("the third certificate", func() bool { return served(t, addr) == "third" })
	until("the metric is quiet", func() bool { return w.metric(`sluice_tls_certificate_reload_failed{listener="public"}`) == "0" })

	w.ask("POST", "/admin/v1/messages", `{"context":7,"user":17,"name":"n"}`)
	s.want(`42["n"]`)
	_ = conn.CloseNow()
}

// What anybody can cause by not speaking TLS is counted, and no error.
func TestHandshakeErrors(t *testing.T) {
	w := newWorld(t, tree)
	dir := t.TempDir()
	cert, key := testkit.Issue(t, "a")
	save(t, filepath.Join(dir, "cert"), cert)
	save(t, filepath.Join(dir, "key"), key)
	c, err := LoadCertificate(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), slog.New(slog.DiscardHandler))
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := w.server.Listener(w.server.Public())
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(tls.NewListener(l, c.Config())) })
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	for name, config := range map[string]*tls.Config{
		"a name that nobody signed": {ServerName: "mail.example.com"},
		"TLS 1.1":                   {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11},
		"HTTP/2 alone":              {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		if conn, err := tls.Dial("tcp", l.Addr().String(), config); err == nil {
			_ = conn.Close()
			t.Errorf("%s is accepted", name)
		}
	}
	plain, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer plain.Close()
	_, err = io.WriteString(plain, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must(t, err)
	w.poll("all four are counted", func() bool { return w.metric("sluice_tls_handshake_errors_total") == "4" })
	if logs := w.logs.String(); strings.Contains(logs, "level=ERROR") || !strings.Contains(logs, "TLS handshake") {
		t.Errorf("log: %s", logs)
	}
}

func TestCertificateRefusals(t *testing.T) {
	dir := t.TempDir()
	cert, key := testkit.Issue(t, "a")
	_, other := testkit.Issue(t, "b")
	save(t, filepath.Join(dir, "cert"), cert)
	save(t, filepath.Join(dir, "key"), key)
	save(t, filepath.Join(dir, "other"), other)
	save(t, filepath.Join(dir, "empty"), nil)
	for _, c := range []struct{ cert, key, names string }{
		{"missing", "key", "missing"},
		{"cert", "missing", "missing"},
		{"cert", "other", "other"},
		{"key", "cert", "cert"},
		{"empty", "key", "empty"},
		{".", "key", "regular file"},
	} {
		_, err := LoadCertificate(filepath.Join(dir, c.cert), filepath.Join(dir, c.key), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s and %s: %v", c.cert, c.key, err)
		}
	}
}
