package console

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sources are the files of the console by name: those of Go without its tests.
func sources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []fs.FS{files, goFiles} {
		err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := fs.ReadFile(dir, path)
			out[path] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d files are found", len(out))
	}
	return out
}

// twoWords is what a sentence has, and a name of the code has not.
var (
	twoWords  = regexp.MustCompile(`(?i)[a-zäöü]{2,}[,:;]? [a-z]{2,}`)
	action    = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	tagOf     = regexp.MustCompile(`(?s)<[^>]*>`)
	attribute = regexp.MustCompile(`(?:title|placeholder|aria-label|alt|value)="([^"]*)"`)
	letters   = regexp.MustCompile(`\pL{2,}`)
	jsComment = regexp.MustCompile(`(?m)(^|\s)//.*$`)
	jsText    = regexp.MustCompile("\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`")
)

// strayText lists what a file says to people by itself.
func strayText(name, text string) (stray []string) {
	switch {
	case strings.HasSuffix(name, ".html"):
		text = action.ReplaceAllString(text, "")
		for _, m := range attribute.FindAllStringSubmatch(text, -1) {
			if letters.MatchString(m[1]) {
				stray = append(stray, m[0])
			}
		}
		stray = append(stray, letters.FindAllString(tagOf.ReplaceAllString(text, " "), -1)...)
	case strings.HasSuffix(name, ".js"):
		for _, s := range jsText.FindAllString(jsComment.ReplaceAllString(text, ""), -1) {
			if twoWords.MatchString(s) {
				stray = append(stray, s)
			}
		}
	case strings.HasSuffix(name, ".go"):
		f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			return []string{err.Error()}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.ValueSpec); ok && (c.Names[0].Name == "policy" || c.Names[0].Name == "html" || c.Names[0].Name == "aside") {
				return false // headers, and words that people type
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && twoWords.MatchString(tagOf.ReplaceAllString(s, "")) {
					stray = append(stray, s)
				}
			}
			return true
		})
	}
	return stray
}

// own are the words of pages that no language changes: the program's name, those
// of the cascade as files have them, a command, and examples of what to type.
var own = map[string]bool{
	"Sluice": true, "html": true, "doctype": true, "default": true, "sluice": true, "reload": true, "confirm": true,
	`placeholder="webmail,de"`: true, `placeholder="WebMail"`: true, `placeholder="true"`: true,
	`value="off"`: true, `value="on"`: true, `value="remove"`: true, `value=" selected"`: true,
}

// TestTexts holds that what the console says stands in one file, and that all of
// the file is said.
func TestTexts(t *testing.T) {
	all := ""
	for name, text := range sources(t) {
		all += text
		for _, s := range strayText(name, text) {
			if !own[s] {
				t.Errorf("%s has the text %q: move it to texts/en.json", name, s)
			}
		}
	}
	for _, c := range []struct{ name, text string }{
		{"a.html", `<p>Not here</p>`}, {"a.html", `<a title="Not here">{{.X}}</a>`}, {"a.js", `x = "not here";`}, {"a.go", "package a\nvar a = \"not here\""},
	} {
		if len(strayText(c.name, c.text)) == 0 {
			t.Errorf("%s is not found in %s", c.text, c.name)
		}
	}
	if strings.Contains(all, "textsFile") && strings.Count(string(textsFile), "\": ") < len(texts) {
		t.Error("the texts have not been read")
	}
	dec := json.NewDecoder(strings.NewReader(string(textsFile)))
	seen := map[string]bool{}
	for depth := 0; ; {
		tok, err := dec.Token()
		if err != nil {
			break
		}
		switch v := tok.(type) {
		case json.Delim:
			depth += map[json.Delim]int{'{': 1, '}': -1}[v]
		case string:
			if depth == 1 {
				if seen[v] {
					t.Errorf("the key %s stands twice", v)
				}
				seen[v] = true
				if !dec.More() {
					t.Errorf("%s has no text", v)
				}
				var skip json.RawMessage
				if err := dec.Decode(&skip); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for key := range texts {
		kind, _, _ := strings.Cut(key, ".")
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			kind = key[:i]
		}
		used := strings.Contains(all, `"`+key+`"`)
		for _, form := range []string{`"` + kind + `."`, `word "` + kind + `"`, `word("` + kind + `"`, `options "` + kind + `"`, `"` + strings.Split(key, ".")[0] + `."`} {
			used = used || strings.Contains(all, form)
		}
		if !used {
			t.Errorf("nothing says %s", key)
		}
	}
	for _, m := range regexp.MustCompile(`(?:\bt|plain|text|v\.refuse)[ (](?:http\.\w+, )?"([a-z][\w.-]*[\w])"`).FindAllStringSubmatch(all, -1) {
		if _, known := texts[m[1]]; !known {
			t.Errorf("there is no text %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\btable ((?:(?:"[\w-]*"|\$\w+) ?)+)`).FindAllStringSubmatch(all, -1) {
		for _, name := range strings.Fields(strings.ReplaceAll(m[1], `"`, "")) {
			if strings.HasPrefix(name, "$") {
				continue // one that a role decides
			}
			if _, known := texts["col."+strings.TrimPrefix(name, "-")]; !known {
				t.Errorf("there is no text col.%s", name)
			}
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{string(text("done", "<b>{1}\"")), "Saved as revision &lt;b&gt;{1}&#34;."},
		{plain("count.user", 1), "1 user"},
		{plain("count.user", 0), "0 users"},
		{plain("no such key"), "no such key"},
		{word("state", "not_known"), "not known"},
		{string(text("find.context", text("undo"))), "in Undo"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
