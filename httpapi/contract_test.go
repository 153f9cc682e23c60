package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// contract is openapi.yaml as the tests hold real answers against it.
type contract struct {
	operations map[string]map[string]operation // by "METHOD path" and status
	compiler   *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	seen    map[string]bool // "METHOD path status"
	wrong   map[string]bool
}

// operation is what one status of an operation may answer: the place of the
// schema by media type; "" for one without.
type operation map[string]string

const contractFile = "openapi.yaml"

var theContract = sync.OnceValue(func() *contract {
	var doc any
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		panic(err)
	}
	// The validator wants the types of JSON.
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	c := &contract{
		operations: map[string]map[string]operation{}, compiler: jsonschema.NewCompiler(),
		schemas: map[string]*jsonschema.Schema{}, seen: map[string]bool{}, wrong: map[string]bool{},
	}
	if err := c.compiler.AddResource(contractFile, value); err != nil {
		panic(err)
	}
	root := value.(map[string]any)
	for path, item := range root["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			statuses := map[string]operation{}
			for status, answer := range op.(map[string]any)["responses"].(map[string]any) {
				statuses[status] = c.answer(root, answer.(map[string]any), pointer("paths", path, method, "responses", status))
			}
			c.operations[strings.ToUpper(method)+" "+path] = statuses
		}
	}
	return c
})

// answer reads a response, which may be a reference.
func (c *contract) answer(root, answer map[string]any, at string) operation {
	if ref, ok := answer["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/responses/")
		return c.answer(root, root["components"].(map[string]any)["responses"].(map[string]any)[name].(map[string]any), pointer("components", "responses", name))
	}
	out := operation{}
	content, _ := answer["content"].(map[string]any)
	for media, m := range content {
		out[media] = ""
		if _, has := m.(map[string]any)["schema"]; has {
			out[media] = at + pointer("content", media, "schema")
		}
	}
	return out
}

// pointer is a JSON pointer (RFC 6901).
func pointer(parts ...string) (s string) {
	for _, p := range parts {
		s += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p)
	}
	return s
}

// schema compiles the schema at a place.
func (c *contract) schema(at string) (*jsonschema.Schema, error) {
	if s := c.schemas[at]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(contractFile + "#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(at))
	if err == nil {
		c.schemas[at] = s
	}
	return s, err
}

// check holds an answer of the admin listener against the document.
func (c *contract) check(route string, status int, header http.Header, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	statuses, known := c.operations[route]
	if !known {
		return fmt.Errorf("%s is not in %s: describe it there", route, contractFile)
	}
	answers, known := statuses[strconv.Itoa(status)]
	if !known {
		return fmt.Errorf("%s answers %d, which %s does not have: %.300s", route, status, contractFile, body)
	}
	c.seen[route+" "+strconv.Itoa(status)] = true
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if len(answers) == 0 {
		return nil
	}
	at, known := answers[media]
	if err != nil || !known {
		return fmt.Errorf("%s %d is %q, which %s does not have", route, status, header.Get("Content-Type"), contractFile)
	}
	if !strings.HasSuffix(media, "json") || at == "" || len(body) == 0 { // or of HEAD
		return nil
	}
	s, err := c.schema(at)
	if err != nil {
		return err
	}
	lines := [][]byte{body}
	if media == ndjson {
		lines = bytes.Split(bytes.TrimSpace(body), []byte{'\n'})
	}
	for _, line := range lines {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			return fmt.Errorf("%s %d is not what %s says: %w\n%.1000s", route, status, contractFile, err, line)
		}
	}
	return nil
}

// recorder is the transport of the tests' clients.
type recorder struct {
	w    *world
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	public := publicOperation(req)
	if err != nil || public == "" && !strings.HasPrefix(req.URL.String(), r.w.admin.URL) {
		return res, err
	}
	r.check(req, res, nil)
	if res.Header.Get("Content-Type") != "text/event-stream" {
		res.Body = &recorded{ReadCloser: res.Body, whole: func(body []byte) { r.check(req, res, body) }}
	}
	return res, nil
}

// recorded is a body that is checked when it was read to its end.
type recorded struct {
	io.ReadCloser
	body  bytes.Buffer
	whole func([]byte)
}

func (b *recorded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.body.Write(p[:n])
	if errors.Is(err, io.EOF) && b.whole != nil {
		b.whole(b.body.Bytes())
		b.whole = nil
	}
	return n, err
}

// publicOperations are those of the public listener, by the end of their paths.
var publicOperations = map[string]string{notifyPath: "PUT " + notifyPath, webhookPath: "POST " + webhookPath}

// publicOperation is that of a request, or "". Whatever its method, it is asked of
// the one that there is.
func publicOperation(req *http.Request) string {
	for path, op := range publicOperations {
		if strings.HasSuffix(req.URL.Path, path) && !strings.HasPrefix(req.URL.Path, "/socket.io/") {
			return op
		}
	}
	return ""
}

// check holds an answer against the document; nil is a body that is yet to come.
func (r recorder) check(req *http.Request, res *http.Response, body []byte) {
	path := req.URL.EscapedPath()
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if op := publicOperation(req); op != "" {
		if err := theContract().check(op, res.StatusCode, res.Header, body); err != nil {
			r.w.t.Errorf("%s %s: %v", req.Method, path, err)
		}
		return
	}
	pattern := r.w.routes.Find(chi.NewRouteContext(), method, path)
	if pattern == "" {
		return // no operation
	}
	if p, cut := strings.CutSuffix(pattern, "/"); cut {
		pattern = p + "/{property}" // chi takes no empty parameter at the end
	}
	route := method + " " + pattern
	if _, listed := r.w.server.roles[route]; !listed && !strings.HasPrefix(pattern, servicePaths) {
		return // of nothing that is there
	}
	if err := theContract().check(route, res.StatusCode, res.Header, body); err != nil {
		r.w.t.Errorf("%s %s: %v", req.Method, path, err)
	}
}

// Each operation of the document is a route, and each route is in the document.
func TestContractRoutes(t *testing.T) {
	routes := map[string]bool{}
	must(t, chi.Walk(newWorld(t, tree).routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !strings.HasSuffix(route, "/") {
			routes[method+" "+route] = true
		}
		return nil
	}))
	for _, op := range publicOperations {
		routes[op] = true
	}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		if theContract().operations[route] == nil {
			t.Errorf("%s is not in %s: describe it there", route, contractFile)
		}
	}
	for _, op := range slices.Sorted(maps.Keys(theContract().operations)) {
		if !routes[op] {
			t.Errorf("%s is in %s and no route", op, contractFile)
		}
	}
}

// unanswered lists the pairs of operation and status that no test has seen.
func (c *contract) unanswered() (list []string) {
	for op, statuses := range c.operations {
		for status := range statuses {
			if pair := op + " " + status; !c.seen[pair] {
				list = append(list, pair)
			}
		}
	}
	slices.Sort(list)
	return list
}

// covered fails a whole run in which a pair stays unanswered.
type covered struct{ m *testing.M }

// Run implements goleak.TestingM.
func (c covered) Run() int {
	code := c.m.Run()
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		if flag.Lookup(name).Value.String() != "" {
			return code
		}
	}
	if list := theContract().unanswered(); code == 0 && len(list) > 0 {
		fmt.Printf("%d pairs of %s were never answered:\n%s\n", len(list), contractFile, strings.Join(list, "\n"))
		return 1
	}
	return code
}
