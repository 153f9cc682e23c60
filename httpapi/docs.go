package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// The pages of the admin listener for people who write programs against it: no
// script, and nothing of anybody else.
var (
	//go:embed docs.html
	docsHTML string
	//go:embed docs.css
	docsCSS string
)

// docsPolicy lets a page load nothing but its own style.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// contractPage is the contract as the page shows it.
type contractPage struct {
	Title, Description string
	Style              template.CSS
	Tags               []tagOfPage
	Schemas            []schemaOfPage
}

type tagOfPage struct {
	Name       string
	Operations []operationOfPage
}

type operationOfPage struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []parameterOfPage
	Request                                *bodyOfPage
	Responses                              []responseOfPage
}

type parameterOfPage struct {
	Name, In, Description string
	Required              bool
}

type bodyOfPage struct{ Schema, Example string }

type responseOfPage struct {
	Status, Description string
	Body                bodyOfPage
}

type schemaOfPage struct{ Name, Text string }

// openAPIDocument is the contract as far as the page needs it.
type openAPIDocument struct {
	Info struct {
		Title, Description string
	}
	Tags  []struct{ Name string }
	Paths map[string]map[string]yaml.Node
	// Components by kind and name.
	Components map[string]map[string]yaml.Node
}

type operationDocument struct {
	OperationID string `yaml:"operationId"`
	Tags        []string
	Summary     string
	Description string
	Parameters  []parameterDocument
	RequestBody struct{ Content map[string]mediaDocument } `yaml:"requestBody"`
	Responses   map[string]responseDocument
}

type parameterDocument struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Description string
	Required    bool
}

type responseDocument struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     map[string]mediaDocument
}

type mediaDocument struct {
	Schema  yaml.Node
	Example yaml.Node
}

// contractOfPage reads the contract once.
var contractOfPage = sync.OnceValues(func() ([]byte, error) {
	var doc openAPIDocument
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		return nil, err
	}
	page := contractPage{Title: doc.Info.Title, Description: doc.Info.Description, Style: template.CSS(docsCSS)}
	at := map[string]int{}
	for _, t := range doc.Tags {
		at[t.Name] = len(page.Tags)
		page.Tags = append(page.Tags, tagOfPage{Name: t.Name})
	}
	for path, item := range doc.Paths {
		var shared []parameterDocument
		if n, has := item["parameters"]; has {
			if err := n.Decode(&shared); err != nil {
				return nil, err
			}
		}
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			var op operationDocument
			if err := node.Decode(&op); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			shown, err := doc.operation(strings.ToUpper(method), path, &op, shared)
			if err != nil {
				return nil, err
			}
			for _, t := range op.Tags {
				i, known := at[t]
				if !known {
					return nil, fmt.Errorf("%s %s: the tag %q is not declared", method, path, t)
				}
				page.Tags[i].Operations = append(page.Tags[i].Operations, shown)
			}
		}
	}
	for i := range page.Tags {
		slices.SortFunc(page.Tags[i].Operations, func(a, b operationOfPage) int {
			return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
		})
	}
	for name, node := range doc.Components["schemas"] {
		text, err := yaml.Marshal(&node)
		if err != nil {
			return nil, err
		}
		page.Schemas = append(page.Schemas, schemaOfPage{name, string(text)})
	}
	slices.SortFunc(page.Schemas, func(a, b schemaOfPage) int { return strings.Compare(a.Name, b.Name) })
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, page)
	return out.Bytes(), err
})

func (d *openAPIDocument) operation(method, path string, op *operationDocument, shared []parameterDocument) (operationOfPage, error) {
	shown := operationOfPage{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description}
	for _, p := range append(slices.Clone(shared), op.Parameters...) {
		if p.Ref != "" {
			if err := d.resolve(p.Ref, &p); err != nil {
				return shown, err
			}
		}
		shown.Parameters = append(shown.Parameters, parameterOfPage{p.Name, p.In, p.Description, p.Required})
	}
	for _, m := range op.RequestBody.Content {
		body, err := m.shown()
		if err != nil {
			return shown, err
		}
		if shown.Request == nil || body.Example != "" {
			shown.Request = &body
		}
	}
	for status, r := range op.Responses {
		if r.Ref != "" {
			if err := d.resolve(r.Ref, &r); err != nil {
				return shown, err
			}
		}
		res := responseOfPage{Status: status, Description: r.Description}
		if m, has := r.Content["application/json"]; has {
			body, err := m.shown()
			if err != nil {
				return shown, err
			}
			res.Body = body
		}
		shown.Responses = append(shown.Responses, res)
	}
	slices.SortFunc(shown.Responses, func(a, b responseOfPage) int { return strings.Compare(a.Status, b.Status) })
	return shown, nil
}

// resolve decodes what a reference names.
func (d *openAPIDocument) resolve(ref string, into any) error {
	kind, name, ok := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
	node, known := d.Components[kind][name]
	if !ok || !known {
		return fmt.Errorf("%s names nothing", ref)
	}
	return node.Decode(into)
}

// shown is the name of the schema, or its text where it has none, and the
// example.
func (m *mediaDocument) shown() (b bodyOfPage, err error) {
	var ref struct {
		Ref string `yaml:"$ref"`
	}
	if err := m.Schema.Decode(&ref); err != nil {
		return b, err
	}
	if b.Schema = strings.TrimPrefix(ref.Ref, "#/components/schemas/"); m.Example.Kind == 0 {
		return b, nil
	}
	var v any
	if err := m.Example.Decode(&v); err != nil {
		return b, err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	b.Example = string(text)
	return b, err
}

// docsPage serves the contract as a readable page.
func (s *Server) docsPage(w http.ResponseWriter, _ *http.Request) error {
	page, err := contractOfPage()
	if err != nil {
		return err
	}
	writePage(w, page)
	return nil
}

// indexPage is what somebody sees who opens the address of the listener.
var indexPage = []byte(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sluice</title><meta name="viewport" content="width=device-width">
<style>` + docsCSS + `</style>
<main><h1>Sluice</h1>
<ul>
<li><a href="/console/">Console</a>: look up users, switch, see why</li>
<li><a href="/docs">API</a>: every operation, with examples</li>
<li><a href="/openapi.yaml">openapi.yaml</a>: the same as a contract for programs (needs a token)</li>
<li><a href="/metrics">Metrics</a> (needs a token, unless sluice.metrics.public is true)</li>
<li><a href="/readyz">Ready?</a> <a href="/livez">Alive?</a></li>
</ul></main></html>
`)

func writePage(w http.ResponseWriter, page []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	secure(h)
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(page) // a client that has left gets none
}

// isDocs reports whether somebody asks for a page that tells nothing of this
// server, and so needs no token.
func isDocs(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && slices.Contains([]string{"/", "/docs", "/docs/"}, r.URL.Path)
}

// docs serves these pages.
func (s *Server) docs(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		writePage(w, indexPage)
		return
	}
	s.handle(s.docsPage)(w, r)
}

// openAPI is the contract of the admin listener, which the tests hold every
// answer against.
//
//go:embed openapi.yaml
var openAPI []byte

var openAPITag = func() string {
	sum := sha256.Sum256(openAPI)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

func (s *Server) contract(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("ETag", openAPITag)
	if g, ok := w.(*getWriter); ok && g.unchanged(openAPI) {
		secure(h)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/yaml")
	h.Set("Content-Length", strconv.Itoa(len(openAPI)))
	secure(h)
	_, _ = w.Write(openAPI) // a client that has left gets none
	return nil
}
