package httpapi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// TestImportOfWhatAnExportMasks takes an export back: what it shows as *** stays
// as it is, whole or within a URL, and nothing can be made of a mask.
func TestImportOfWhatAnExportMasks(t *testing.T) {
	w := newWorld(t, tree)
	stored := map[string]string{
		"com.example.password": "geheim", "com.example.url": "redis://u:geheim@h:6379/0", "com.example.jdbc": "jdbc:mysql://h/db?user=u&password=geheim&x=y",
		"com.example.plain": "visible",
	}
	for name, value := range stored {
		w.wantAt("PUT", "/admin/v1/contexts/7/properties/"+name, 201, fmt.Sprintf(`{"value":%q,"reason":"r"}`, value))
	}
	su := cascade.Subject{Context: 7}
	unchanged := func() {
		t.Helper()
		for name, want := range stored {
			if v, ok := w.engine.Snapshot().Get(su, name); !ok || v.Text != want {
				t.Errorf("%s is %+v", name, v)
			}
		}
	}
	lines := w.ask("GET", "/admin/v1/export", "").body
	if strings.Contains(lines, "geheim") || !strings.Contains(lines, `"redis://u:***@h:6379/0"`) || !strings.Contains(lines, `"jdbc:mysql://h/db?user=u&password=***&x=y"`) {
		t.Fatal(lines)
	}
	const path = "/admin/v1/import?reason=back"
	if a := w.wantAt("POST", path, 200, lines, "Content-Type: "+ndjson); !strings.Contains(a.body, `"changed":0,"unchanged":4`) {
		t.Error(a.body)
	}
	unchanged()
	line := func(name, value string, context int) string {
		return fmt.Sprintf(`{"override":{"context":%d,"property":%q,"value":%q}}`, context, name, value)
	}
	plain := line("com.example.plain", "other", 7) + "\n" // which is not written either: all or nothing
	for what, wrong := range map[string]string{
		"a masked value of another context": line("com.example.password", "***", 8),
		"a masked URL of another context":   line("com.example.url", "redis://u:***@h:6379/0", 8),
		"another host":                      line("com.example.url", "redis://u:***@other:6379/0", 7),
		"another user":                      line("com.example.jdbc", "jdbc:mysql://h/db?user=root&password=***&x=y", 7),
		"two masks for one":                 line("com.example.url", "redis://u:***@h:6379/0,redis://u:***@h:6379/0", 7),
	} {
		a := w.wantAt("POST", path, 422, plain+wrong, "Content-Type: "+ndjson)
		if !strings.Contains(a.body, `"code":"masked"`) || !strings.Contains(a.body, "entry 2: com.example.") || !strings.Contains(a.body, "write its value into the import, or leave the line out") {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	unchanged()
	// With its value, a secret is written, and a *** that masks nothing is a text.
	w.wantAt("POST", path, 200, line("com.example.url", "redis://u:neu@other:6379/0", 7)+"\n"+line("com.example.plain", "***", 7), "Content-Type: "+ndjson)
	stored["com.example.url"], stored["com.example.plain"] = "redis://u:neu@other:6379/0", "***"
	unchanged()
}

// TestFoldersAreNamed says over HTTP which folder keeps what it held: one that is
// a link to what is not mounted, and one that became empty.
func TestFoldersAreNamed(t *testing.T) {
	w := newWorld(t, tree)
	w.wantAt("PUT", "/admin/v1/contexts/7", 201, `{"tags":["premium"]}`)
	const value = "/admin/v1/contexts/7/properties/com.example.a"
	sets := filepath.Join(w.etc, "contextSets")
	must(t, os.RemoveAll(sets))
	must(t, os.Symlink(filepath.Join(w.etc, "not-mounted"), sets))
	w.reload()
	for _, path := range []string{"/admin/v1/config", "/readyz"} {
		if a := w.ask("GET", path, ""); !strings.Contains(a.body, "contextSets") || !strings.Contains(a.body, `"degraded"`) || !strings.Contains(a.body, "cannot be read") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if a := w.wantAt("POST", "/admin/v1/config/reload", 422, ""); !strings.Contains(a.body, `"path":"contextSets"`) {
		t.Error(a.body)
	}
	if a := w.ask("GET", value, ""); !strings.Contains(a.body, "from-the-set") {
		t.Errorf("the folder does not keep what it held: %s", a.body)
	}
	must(t, os.Remove(sets))
	w.file("contextSets/premium.yml", tree["contextSets/premium.yml"])
	w.reload()
	if a := w.ask("GET", "/readyz", ""); !strings.Contains(a.body, `"ready"`) {
		t.Error(a.body)
	}
}
