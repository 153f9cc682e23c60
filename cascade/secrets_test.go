package cascade

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestSecretsNowhere puts secrets in every place of a tree, right and wrong, and
// looks for them in everything that the engine tells.
func TestSecretsNowhere(t *testing.T) {
	t.Parallel()
	const needle = "4711needle"
	dir, next := t.TempDir(), t.TempDir()
	for i, d := range []string{dir, next} {
		n := needle + fmt.Sprint(i)
		write(t, d, "a.properties", strings.ReplaceAll(`sluice.secrets.patterns=*.licence, com.openexchange.websockets.mode
com.openexchange.db.password=N
com.openexchange.cookie.hash.salt=N
com.openexchange.push.vapid.privateKey=N
com.openexchange.redis.hosts=redis://u:N@h
com.openexchange.writeProperty.1=password=N
com.openexchange.jdbc.url=jdbc:mysql://h/d?password=N
com.example.licence=N
com.openexchange.websockets.mode=N
com.openexchange.passwordchange.minLength=8
com.openexchange.passwordchange.script=N
`, "N", n))
		write(t, d, "contextSets/c.yml", "c:\n  withTags: \"7\"\n  com.openexchange.db.password: "+n+"\n  com.example.licence: 0x4711"+fmt.Sprint(i)+"\n  a.secret: ["+n+"]\n  com.example.licence.two: x\n")
		write(t, d, "meta/m.yml", "a.token: {value: "+n+"}\n")
		write(t, d, "settings/s.yml", "a/secret: "+n+"\n")
	}
	e := openEngine(t, Options{Roots: []string{dir}})
	e.Schema().SetDigestKey([]byte("key"))
	other := openEngine(t, Options{Roots: []string{next}})
	var told []any
	for _, su := range []Subject{{}, {Context: 7}, {Context: 7, User: 1}} {
		for _, name := range e.Snapshot().AllNames() {
			told = append(told, e.Snapshot().Explain(su, name, ExplainOptions{Verbose: true}))
		}
	}
	told = append(told, e.Status(), e.Snapshot().Findings(), changes(e.Snapshot(), other.Snapshot()), Diff(e.Snapshot(), other.Snapshot(), false), e.Snapshot().Lint())
	b, err := json.Marshal(told)
	must(t, err)
	for _, bad := range []string{needle, "18193", "0x4711"} { // 0x4711 and its number
		if i := strings.Index(string(b), bad); i >= 0 {
			t.Errorf("told: …%s…", b[max(0, i-200):min(len(b), i+100)])
		}
	}
	for _, want := range []string{`"redis://u:***@h"`, `"password=***"`, `"jdbc:mysql://h/d?password=***"`, `"8"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not told", want)
		}
	}
	// A plan does not tell whether a guess is right.
	if err := Compare(t.Context(), e.Snapshot(), other.Snapshot(), nil, func(d Difference) { t.Errorf("a plan tells of %+v", d) }); err != nil {
		t.Error(err)
	}
	// Digests tell nothing to who has no key.
	if e.Snapshot().Digest() == e.Snapshot().tree.digest || e.Status().Files[0].Digest == e.set.Sorted()[0].Digest.String() {
		t.Error("a digest is not keyed")
	}
	e.Schema().SetDigestKey([]byte("key"))
	if a, b := e.Snapshot().Digest(), e.Snapshot().Identity().Files; a != b {
		t.Errorf("%s, %s", a, b)
	}
}
