package cli_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
)

// canary is in each secret that is planted, and in nothing else.
const canary = "Kanari"

// planted are secrets in every form, and the files and requests that hold them.
type planted struct {
	n       int
	names   []string // of properties that have one
	secrets []string
	service string // the password of the peers that read /preliminary
}

// service is the login of those peers.
const service = "peer"

// secret makes the next one.
func (p *planted) secret() string {
	p.n++
	s := fmt.Sprintf("%s%03d", canary, p.n)
	p.secrets = append(p.secrets, s)
	return s
}

// value is a secret as the value of a property.
func (p *planted) value(name, format string) string {
	p.names = append(p.names, name)
	return fmt.Sprintf(format, p.secret())
}

// maskedParts are the parts of names that say secret, one of each kind in the list
// of the documentation, as people write them.
var maskedParts = []string{
	"password", "passwd", "pwd", "passphrase", "passcode", "secret", "salt", "token", "credential", "credentials", "apiKey", "api-key",
	"api_key", "cryptKey", "encryptionKey", "privateKey", "privKey", "signingKey", "signKey", "masterKey", "accessKey", "sharedKey",
	"authKey", "hmacKey", "hashKey", "cipherKey", "vapid", "dbPassword", "clientSecretKey", "PASSWORD", "password.1", "smtp.pass",
	"passwordchange.policy", "vapid.subject",
}

// inURLs are values that hold a password without a name that says so.
var inURLs = map[string]string{
	"redis":    "redis://u:%s@h:6379/0",
	"mysql":    "jdbc:mysql://h/db?user=u&password=%s",
	"mysqlurl": "jdbc:mysql://u:%s@h/db",
	"oracle":   "jdbc:oracle:thin:u/%s@h:1521",
	"sql":      "jdbc:sqlserver://h;databaseName=d;password=%s;encrypt=true",
	"http":     "https://u:%s@proxy.example.com/x, http://other",
}

// tree writes what is planted into a tree.
func (p *planted) tree(t *testing.T, dir string) {
	line := func(name, format string) string { return name + "=" + p.value(name, format) + "\n" }
	var server strings.Builder
	for _, part := range maskedParts {
		server.WriteString(line("com.example."+part, "%s"))
	}
	for name, format := range inURLs {
		server.WriteString(line("com.example.url."+name, format))
	}
	server.WriteString(line("com.example.licence", "%s") + "sluice.secrets.patterns=*.licence,*.geheim\n")
	server.WriteString("com.openexchange.rest.services.basic-auth.login=" + service + "\n" + line("com.openexchange.rest.services.basic-auth.password", "%s"))
	p.service = p.secrets[len(p.secrets)-1]
	server.WriteString(line("com.openexchange.share.cryptKey", "%s") + line("com.openexchange.cookie.hash.salt", "%s"))
	server.WriteString("com.example.looked.password={{ env SLUICE_TEST_CANARY }}\ncom.example.looked.geheim={{ file<looked.properties> it.geheim }}\n")
	p.names = append(p.names, "com.example.looked.password", "com.example.looked.geheim")
	put(t, dir, "zz-planted.properties", server.String())
	put(t, dir, "looked.properties", line("it.geheim", "%s"))
	put(t, dir, "configdb.properties", line("writeProperty.1", "password=%s")+line("readProperty.1", "password=%s")+
		line("writeUrl", "jdbc:mysql://u:%s@h/configdb")+"writeProperty.2=user=openexchange\n")
	for _, folder := range []string{"meta", "settings", "contextSets"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	entry := func(name, format string) string { return fmt.Sprintf("%s: %q\n", name, p.value(name, format)) }
	put(t, dir, "meta/planted.yml", "com.example.meta.secret:\n  "+"value: "+p.value("com.example.meta.secret", "%s")+"\n"+
		"com.example.meta.url:\n  value: \""+p.value("com.example.meta.url", inURLs["redis"])+"\"\n  final: nowhere\n")
	put(t, dir, "settings/planted.yml", entry("com.example.settings.password", "%s")+entry("com.example.settings.geheim", "%s"))
	put(t, dir, "contextSets/planted.yml", "planted:\n  withTags: planted\n  "+entry("com.example.set.password", "%s")+"  "+
		entry("com.example.set.url", inURLs["mysql"])+"  "+entry("com.example.set.geheim", "%s")+"  com.example.set.list.secret: ["+p.secret()+", b]\n")
	p.names = append(p.names, "com.example.set.list.secret")
}

// bad breaks files whose wrong lines hold secrets.
func (p *planted) bad(t *testing.T, dir string) {
	put(t, dir, "bad.properties", "com.example.bad.password="+p.secret()+"\\uZZZZ\n")
	put(t, dir, "meta/bad.yml", "com.example.bad.secret:\n\tvalue: "+p.secret()+"\n")
	put(t, dir, "contextSets/bad.yml", "bad:\n  withTags: a &&& b\n  com.example.bad.password: {x: "+p.secret()+"}\n  com.example.bad.secret: 0"+
		"17\n  com.example.bad.token: \""+p.secret()+"\n")
	// Values that fit no type, in a name that says nothing and in one that does.
	put(t, dir, "zz-wrong.properties", "com.openexchange.websockets.enabled="+p.value("com.openexchange.websockets.enabled", inURLs["redis"])+
		"\nsluice.websockets.pingInterval="+p.value("sluice.websockets.pingInterval", inURLs["mysql"])+"\n")
}

// seen looks for secrets, and for digests that somebody could try contents with,
// in what came out.
func (p *planted) seen(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.Index(text, canary); i >= 0 {
		t.Errorf("%s shows a secret: ...%q...", what, text[max(0, i-120):min(len(text), i+60)])
	}
	for digest, of := range p.digests() {
		if strings.Contains(text, digest) {
			t.Errorf("%s has the bare digest of %s", what, of)
		}
	}
}

// shownOfDigest is how many digits of a digest the shortest shown form has.
const shownOfDigest = 12

func (p *planted) digests() map[string]string {
	list := map[string]string{}
	for _, s := range p.secrets {
		sum := sha256.Sum256([]byte(s))
		list[hex.EncodeToString(sum[:])[:shownOfDigest]] = s
	}
	return list
}

// TestNothingShowsASecret plants secrets in every form and place, and reads
// everything that comes out, for a viewer, an editor and over the Unix socket.
func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	file, tokens := tokenFile(t, "eve viewer", "ed editor")
	tree, state := newTree(t), t.TempDir()
	put(t, tree, "own.properties", httpapi.PropTokenFile+"="+file+"\n")
	var x planted
	x.tree(t, tree)
	cmd := exec.Command(binary(t), serveArgs(tree, state)...)
	cmd.Env = append(os.Environ(), "SLUICE_TEST_CANARY="+x.secret())
	p := startCommand(t, cmd, tree, state)
	p.serving()
	s := &spy{p: p, x: &x, t: t, tokens: tokens, kept: map[string]string{}, statuses: map[int]int{}}

	events := make(chan string, 1)
	stop := s.events(events)
	s.writes()
	x.bad(t, tree)
	reload := s.ask("", "POST", "/admin/v1/config/reload", "", "")
	if !strings.Contains(reload, `"path":"meta/bad.yml"`) {
		t.Errorf("the bad files are no errors: %s", reload)
	}
	if !strings.Contains(s.ask("", "GET", "/admin/v1/properties/com.example.password", "", ""), cascade.Mask) {
		t.Error("nothing is masked")
	}
	s.routes()
	if s.statuses[200] < 9*len(x.names) {
		t.Errorf("most of what was asked for was not answered: %v", s.statuses)
	}
	s.refusals()
	s.console()
	s.support()
	s.commands()
	x.seen(t, "the log", p.log())
	stop()
	x.seen(t, "the events", <-events)
	x.addFiles(t, tree)
	for name, text := range s.kept {
		x.seen(t, name, text)
	}
}

// addFiles adds the digests of whole files to what is looked for.
func (p *planted) addFiles(t *testing.T, tree string) {
	t.Helper()
	err := filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		p.secrets = append(p.secrets, string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
