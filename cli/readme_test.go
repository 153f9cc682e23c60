package cli_test

import (
	"os"
	"strings"
	"testing"
)

// The explanation that the README shows is what the command says.
func TestReadmeExplains(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tree, dir := newTree(t), t.TempDir()
	put(t, tree, "contextSets/acme.yml", "acme-off:\n  withTags: acme\n  com.openexchange.websockets.enabled: false\n")
	put(t, dir, "directory.yml", `contexts:
  - id: 1337
    name: acme
    users:
      - {id: 17, login: anna, mail: anna@example.com, permissions: [WebMail]}
`)
	code, out, errs := run("explain", "com.openexchange.websockets.enabled", "--user", "anna@example.com", "--etc", tree, "--directory", dir+"/directory.yml")
	if code != 0 || !strings.Contains(string(readme), "--user anna@example.com\n"+out+"```") {
		t.Errorf("%d %s\nthe README does not show\n%s", code, errs, out)
	}
}
