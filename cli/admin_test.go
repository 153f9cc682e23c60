package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/testkit"
)

// tokenFile writes a file of tokens and returns its path and the token of each
// name: NAME ROLE.
func tokenFile(t *testing.T, lines ...string) (path string, tokens map[string]string) {
	t.Helper()
	tokens = map[string]string{}
	var b strings.Builder
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		tokens[name] = auth.NewTokenText()
		b.WriteString(line + " " + tokens[name] + "\n")
	}
	path = filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, tokens
}

// TestAdminAddress asks for a token on an address that others reach, whether
// there is one or not.
func TestAdminAddress(t *testing.T) {
	file, tokens := tokenFile(t, "ops editor")
	tree := newTree(t)
	put(t, tree, "own.properties", httpapi.PropTokenFile+"="+file+"\n")
	p := launch(t, tree, t.TempDir(), "--admin", "0.0.0.0:0")
	if !strings.Contains(p.log(), httpapi.PropAdminCert) {
		t.Errorf("that tokens are sent as they are is not told: %s", p.log())
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(p.tcp, "http://[::]"), ":")
	p.admin = "http://127.0.0.1:" + port
	if code := p.request("GET", "/admin/v1/config", "", nil); code != 401 {
		t.Errorf("without a token: %d", code)
	}
	if code := p.request("GET", "/readyz", "", nil); code != 200 {
		t.Errorf("probe: %d", code)
	}
	t.Setenv("SLUICE_TOKEN", tokens["ops"])
	if code, _, errs := run("members", "--server", p.admin); code != 0 {
		t.Errorf("with the token: %d %s", code, errs)
	}
	// The last token is taken away: nothing opens.
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.poll("the token is good for nothing", func() bool {
		code, _, _ := run("members", "--server", p.admin)
		return code == 1
	})
	if code := p.request("GET", "/admin/v1/config", "", nil); code != 401 {
		t.Errorf("without any token: %d", code)
	}
	if strings.Contains(p.log(), tokens["ops"]) {
		t.Error("a token is in the log")
	}
}

// TestTokenFileAtStart refuses to start with a file that cannot be used, and
// tells what to do; a line of it that is wrong is told, and the others count.
func TestTokenFileAtStart(t *testing.T) {
	file, _ := tokenFile(t, "ops editor")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "chmod o=", file + ".missing": "no such file"} {
		tree := newTree(t)
		put(t, tree, "own.properties", httpapi.PropTokenFile+"="+path+"\n")
		p := start(t, tree, t.TempDir())
		if code := p.wait(); code != 1 || !strings.Contains(p.log(), want) || !strings.Contains(p.log(), httpapi.PropTokenFile) {
			t.Errorf("%s: exit code %d\n%s", path, code, p.log())
		}
	}
	file, tokens := tokenFile(t, "wrong root", "ops editor")
	tree := newTree(t)
	put(t, tree, "own.properties", httpapi.PropTokenFile+"="+file+"\n")
	p := launch(t, tree, t.TempDir())
	if !strings.Contains(p.log(), file+":1:7: error: the role is none of") {
		t.Errorf("log: %s", p.log())
	}
	t.Setenv("SLUICE_TOKEN", tokens["ops"])
	if code, _, errs := run("reload", "--server", p.tcp); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
}

// TestAdminTLS asks over https, with the certificate as the only one that is
// trusted, and follows a change of it.
func TestAdminTLS(t *testing.T) {
	cert, key, pool := testkit.Certificate(t)
	file, tokens := tokenFile(t, "ops editor")
	tree := newTree(t)
	put(t, tree, "own.properties", httpapi.PropAdminCert+"="+cert+"\n"+httpapi.PropAdminKey+"="+key+"\n"+httpapi.PropTokenFile+"="+file+"\n")
	p := launch(t, tree, t.TempDir())
	t.Setenv("SLUICE_TOKEN", tokens["ops"])
	addr := strings.TrimPrefix(p.tcp, "http://")
	ask := func(args ...string) (int, string) {
		code, _, errs := run(append([]string{"members"}, args...)...)
		return code, errs
	}
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	b, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Dir(trusted), "ca.pem", string(b))
	if code, errs := ask("--server", "https://"+addr, "--ca-file", trusted); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	if code, errs := ask("--server", "https://"+addr); code != 3 || !strings.Contains(errs, "--ca-file") {
		t.Errorf("without its certificate: %d %s", code, errs)
	}
	if code, _ := ask("--server", p.tcp); code == 0 {
		t.Error("the listener serves without TLS, too")
	}
	for _, file := range []string{trusted + ".missing", key} {
		if code, errs := ask("--server", "https://"+addr, "--ca-file", file); code != 2 || !strings.Contains(errs, "--ca-file") {
			t.Errorf("%s: %d %s", file, code, errs)
		}
	}
	t.Setenv("SLUICE_CA_FILE", trusted)
	if code, errs := ask("--server", "https://"+addr); code != 0 {
		t.Errorf("SLUICE_CA_FILE: %d %s", code, errs)
	}
	next, nextKey, _ := testkit.Certificate(t)
	b, err = os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(b)
	first := serial(t, addr, pool)
	for from, to := range map[string]string{nextKey: key, next: cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	p.poll("the new certificate is served", func() bool { return serial(t, addr, pool) != first })

	half := newTree(t)
	put(t, half, "own.properties", httpapi.PropAdminCert+"="+cert+"\n")
	p = start(t, half, t.TempDir())
	if code := p.wait(); code != 1 || !strings.Contains(p.log(), "belong together") || !strings.Contains(p.log(), httpapi.PropAdminKey) {
		t.Errorf("one of the two: exit code %d\n%s", code, p.log())
	}
}
