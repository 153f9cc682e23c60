package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed47708276/sluice/testkit"
)

// generatorDir has what the tests below generate with, pinned.
const generatorDir = "../testdata/contract"

// module is a file of the generators' npm modules.
func module(t *testing.T, path string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(generatorDir, "node_modules", path))
	must(t, err)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: `just setup` installs the npm modules of %s", err, generatorDir)
	}
	return file
}

// run runs a program in a folder and fails the test where that fails.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func copyTo(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600))
	}
}

// A linter that others use finds nothing to complain of.
func TestContractLint(t *testing.T) {
	t.Parallel()
	module(t, "@redocly/openapi-core")
	contract, err := filepath.Abs(contractFile)
	must(t, err)
	if out := run(t, generatorDir, testkit.Tool(t, "node", "nodejs"), "lint.mjs", contract); out != "" {
		t.Error(out)
	}
}

// Clients in Go are generated from the contract, and compile.
func TestGenerateGo(t *testing.T) {
	t.Parallel()
	dir, tool := t.TempDir(), testkit.Tool(t, "go", "golang-go")
	copyTo(t, dir, filepath.Join(generatorDir, "go.mod"), filepath.Join(generatorDir, "go.sum"), contractFile)
	must(t, os.Mkdir(filepath.Join(dir, "api"), 0o700))
	run(t, dir, tool, "tool", "oapi-codegen", "-generate", "types,client", "-package", "api", "-o", "api/api.go", contractFile)
	run(t, dir, tool, "build", "./api")
}

// So are types for TypeScript, and a program that uses them compiles.
func TestGenerateTypeScript(t *testing.T) {
	t.Parallel()
	dir, node := t.TempDir(), testkit.Tool(t, "node", "nodejs")
	copyTo(t, dir, filepath.Join(generatorDir, "use.ts"), contractFile)
	run(t, dir, node, module(t, "openapi-typescript/bin/cli.js"), contractFile, "-o", "openapi.d.ts")
	run(t, dir, node, module(t, "typescript/bin/tsc"), "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "use.ts")
}

// Every operation has a name of its own, a tag that is declared, and examples
// that are what it says.
func TestContractComplete(t *testing.T) {
	var doc struct {
		Tags  []struct{ Name, Description string }
		Paths map[string]map[string]yaml.Node
		Info  struct {
			License struct{ Name, Identifier string }
		}
		// Components by kind and name.
		Components map[string]map[string]yaml.Node
	}
	must(t, yaml.Unmarshal(openAPI, &doc))
	if doc.Info.License.Identifier != "Apache-2.0" {
		t.Errorf("the licence is %+v", doc.Info.License)
	}
	kindOf := map[string]string{}
	for kind, names := range doc.Components {
		for name := range names {
			if other := kindOf[name]; other != "" && kind != "headers" && other != "headers" {
				t.Errorf("%s is a name in %s and in %s", name, kind, other)
			}
			kindOf[name] = kind
		}
	}
	var tags []string
	for _, tag := range doc.Tags {
		if tags = append(tags, tag.Name); tag.Description == "" {
			t.Errorf("the tag %s has no description", tag.Name)
		}
	}
	ids := map[string]string{}
	for path, item := range doc.Paths {
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			op := strings.ToUpper(method) + " " + path
			var d operationDocument
			must(t, node.Decode(&d))
			if other := ids[d.OperationID]; d.OperationID == "" || other != "" {
				t.Errorf("%s has the operationId %q, as has %q", op, d.OperationID, other)
			}
			ids[d.OperationID] = op
			if len(d.Tags) != 1 || !slices.Contains(tags, d.Tags[0]) {
				t.Errorf("%s has the tags %q: want one of %q", op, d.Tags, tags)
			}
			for media, m := range d.RequestBody.Content {
				if media == jsonType {
					checkExample(t, op+" request", pointer("paths", path, method, "requestBody", "content", media, "schema"), &m, op == "POST /admin/v1/config/reload" || op == "POST /admin/v1/platform/refresh" || op == "POST /admin/v1/upgrade")
				}
			}
			for status, r := range d.Responses {
				if m, has := r.Content[jsonType]; has && status[0] == '2' {
					checkExample(t, op+" "+status, pointer("paths", path, method, "responses", status, "content", jsonType, "schema"), &m, false)
				}
			}
		}
	}
}

func checkExample(t *testing.T, what, schema string, m *mediaDocument, optional bool) {
	t.Helper()
	if m.Example.Kind == 0 {
		if !optional {
			t.Errorf("%s has no example", what)
		}
		return
	}
	var v any
	must(t, m.Example.Decode(&v))
	c := theContract()
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.schema(schema)
	if err == nil {
		err = s.Validate(plainJSON(t, v))
	}
	if err != nil {
		t.Errorf("the example of %s: %v", what, err)
	}
}

// plainJSON has the types that the validator wants.
func plainJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	must(t, err)
	return out
}

// The pages for people who write programs against the listener need no token,
// load nothing but their own style, and have every operation.
func TestDocsPages(t *testing.T) {
	w := newWorld(t, tree)
	pages := httptest.NewServer(w.server.AdminPages())
	defer pages.Close()
	get := func(path string) (string, *http.Response) {
		t.Helper()
		res, err := pages.Client().Get(pages.URL + path)
		must(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		must(t, err)
		return string(b), res
	}
	index, res := get("/")
	for _, link := range []string{"/console/", "/docs", "/openapi.yaml", "/metrics", "/readyz"} {
		if !strings.Contains(index, `href="`+link+`"`) || res.StatusCode != http.StatusOK {
			t.Errorf("%d without a link to %s: %s", res.StatusCode, link, index)
		}
	}
	docs, res := get("/docs")
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", res.StatusCode, docs)
	}
	for op := range theContract().operations {
		method, path, _ := strings.Cut(op, " ")
		if !strings.Contains(docs, "<code>"+method+" "+path+"</code>") {
			t.Errorf("%s is not on the page", op)
		}
	}
	for _, page := range []string{index, docs} {
		if strings.Contains(page, "<script") || strings.Contains(page, "http://") && strings.Contains(page, "src=") || strings.Contains(page, "ZgotmplZ") {
			t.Error("the page loads something, or was not filled in")
		}
		style, _, _ := strings.Cut(page[strings.Index(page, "<style>")+len("<style>"):], "</style>")
		sum := sha256.Sum256([]byte(style))
		if want := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(res.Header.Get("Content-Security-Policy"), "'sha256-"+want+"'") {
			t.Errorf("the style is not the one that %q allows", res.Header.Get("Content-Security-Policy"))
		}
	}
	if _, res := get("/docs/more"); res.StatusCode == http.StatusOK {
		t.Error("/docs/more is a page")
	}
}
