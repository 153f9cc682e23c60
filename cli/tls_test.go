package cli_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/testkit"
)

// serial is the number of the certificate that a listener shows.
func serial(t *testing.T, addr string, pool *x509.CertPool) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestTLS serves real clients over wss. Their sockets outlive a change of the
// certificate, and who comes after it gets the new one.
func TestTLS(t *testing.T) {
	cert, key, pool := testkit.Certificate(t)
	next, nextKey, _ := testkit.Certificate(t)
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	for _, file := range []string{cert, next} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(b)
		old, _ := os.ReadFile(trusted) // there is none at first
		put(t, filepath.Dir(trusted), "trusted.pem", string(old)+string(b))
	}
	tree := newTree(t)
	put(t, tree, "tls.properties", httpapi.PropPublicCert+"="+cert+"\n"+httpapi.PropPublicKey+"="+key+"\n")
	p := launch(t, tree, t.TempDir())
	addr := strings.TrimPrefix(p.public, "http://")
	base, trust, l := "https://"+addr, "NODE_EXTRA_CA_CERTS="+trusted, p.login(17)
	message := func() {
		t.Helper()
		if code := p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"ox:mail:new","args":[{}]}`, nil); code != http.StatusOK {
			t.Errorf("message: %d", code)
		}
	}
	before := []*node{p.nodeAt(base, "sio2", l, trust), p.nodeAt(base, "sio4", l, trust)}
	for _, c := range before {
		p.poll(c.name+" connects", func() bool { return c.seen("connect", 1) != nil })
	}

	first := serial(t, addr, pool)
	for from, to := range map[string]string{nextKey: key, next: cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	p.poll("the new certificate is served", func() bool { return serial(t, addr, pool) != first })
	after := p.nodeAt(base, "sio3", l, trust)
	p.poll("a client connects", func() bool { return after.seen("connect", 1) != nil })
	message()
	for _, c := range append(before, after) {
		p.poll(c.name+" gets the message", func() bool { return c.seen("ox:mail:new", 1) != nil })
		if c.seen("disconnect", 1) != nil {
			t.Errorf("%s was dropped", c.name)
		}
	}
	if p.ready() == http.StatusOK {
		t.Error("the listener serves without TLS, too")
	}
}

// TestHalfTLS refuses to start with one of the two files, or with none that can
// be used, rather than to serve without TLS.
func TestHalfTLS(t *testing.T) {
	cert, key, _ := testkit.Certificate(t)
	_, other, _ := testkit.Certificate(t)
	for _, c := range []struct{ cert, key, want string }{
		{cert, "", "belong together"},
		{"", key, "belong together"},
		{cert, other, "private key does not match"},
		{cert, key + ".missing", "no such file"},
	} {
		tree := newTree(t)
		put(t, tree, "tls.properties", httpapi.PropPublicCert+"="+c.cert+"\n"+httpapi.PropPublicKey+"="+c.key+"\n")
		p := start(t, tree, t.TempDir())
		if code := p.wait(); code != 1 || !strings.Contains(p.log(), c.want) || !strings.Contains(p.log(), httpapi.PropPublicCert) {
			t.Errorf("%q and %q: exit code %d, want %q\n%s", c.cert, c.key, code, c.want, p.log())
		}
	}
}
