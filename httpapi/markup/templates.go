// Package markup draws HTML pages from templates in the syntax of text/template.
// What a page shows is escaped for the place where it stands, as html/template does.
//
// Methods are called through a table, and not by their names: a program in which
// any method may be called by name keeps all methods of all its types, which makes
// it a third larger. Actions may stand in text and in quoted values of attributes,
// nowhere else.
package markup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"text/template/parse"
)

// maxDepth bounds templates that call each other.
const maxDepth = 50

// Templates are a set of templates that call each other. They are safe for
// concurrent use.
type Templates struct {
	trees     map[string]*parse.Tree
	functions map[string]reflect.Value
	methods   map[method]reflect.Value
	places    map[*parse.ActionNode]place
}

type method struct {
	of   reflect.Type
	name string
}

// Options are what templates may call.
type Options struct {
	// Functions by their names. They return a value, and perhaps an error.
	Functions map[string]any
	// Methods are method expressions, such as time.Time.UTC, by their names. Types
	// that embed their receivers have them too.
	Methods map[string][]any
}

// Parse reads templates by the names of their texts, which may define others.
func Parse(o Options, texts map[string]string) (*Templates, error) {
	t := &Templates{
		trees: make(map[string]*parse.Tree), functions: make(map[string]reflect.Value), methods: make(map[method]reflect.Value),
		places: make(map[*parse.ActionNode]place),
	}
	known := maps.Clone(builtins)
	maps.Copy(known, o.Functions)
	for name, f := range known {
		t.functions[name] = reflect.ValueOf(f)
	}
	for name, list := range o.Methods {
		for _, f := range list {
			v := reflect.ValueOf(f)
			t.methods[method{v.Type().In(0), name}] = v
		}
	}
	for name, text := range texts {
		trees, err := parse.Parse(name, text, "", "", known)
		if err != nil {
			return nil, err
		}
		for name, tree := range trees {
			if old := t.trees[name]; old != nil && !parse.IsEmptyTree(old.Root) {
				if !parse.IsEmptyTree(tree.Root) {
					return nil, fmt.Errorf("the template %q is defined twice", name)
				}
				continue
			}
			t.trees[name] = tree
		}
	}
	for name, tree := range t.trees {
		if err := t.findPlaces(name, tree); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// MustParseFS reads the templates of embedded files. It panics where one cannot be
// read: a test that draws any has it fail.
func MustParseFS(o Options, files fs.FS, pattern string) *Templates {
	names, err := fs.Glob(files, pattern)
	texts := map[string]string{}
	for _, name := range names {
		b, rerr := fs.ReadFile(files, name)
		texts[name], err = string(b), errors.Join(err, rerr)
	}
	t, perr := Parse(o, texts)
	if err := errors.Join(err, perr); err != nil {
		panic(err)
	}
	return t
}

// Execute draws a template.
func (t *Templates) Execute(w io.Writer, name string, data any) error {
	var out bytes.Buffer
	if err := t.call(&out, name, reflect.ValueOf(data), 0); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

// run is the execution of one template.
type run struct {
	*Templates
	out       *bytes.Buffer
	depth     int
	variables []variable
}

type variable struct {
	name  string
	value reflect.Value
}

func (t *Templates) call(out *bytes.Buffer, name string, data reflect.Value, depth int) (err error) {
	tree := t.trees[name]
	if tree == nil {
		return fmt.Errorf("there is no template %q", name)
	}
	if depth == maxDepth {
		return fmt.Errorf("the template %q is in itself", name)
	}
	r := &run{Templates: t, out: out, depth: depth, variables: []variable{{"$", data}}}
	if err = r.list(tree.Root, data); err != nil {
		err = fmt.Errorf("template %s: %w", name, err)
	}
	return err
}

func (r *run) list(l *parse.ListNode, dot reflect.Value) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := r.node(n, dot); err != nil {
			return err
		}
	}
	return nil
}

// errKind is returned for what the syntax has and this package has not.
var errKind = errors.New("this is not used here")

func (r *run) node(n parse.Node, dot reflect.Value) error {
	switch n := n.(type) {
	case *parse.TextNode:
		r.out.Write(n.Text)
		return nil
	case *parse.ActionNode:
		v, err := r.pipe(n.Pipe, dot)
		if err == nil && len(n.Pipe.Decl) == 0 {
			r.out.WriteString(r.places[n].show(v))
		}
		return err
	case *parse.TemplateNode:
		v, err := r.pipe(n.Pipe, dot)
		if err != nil {
			return err
		}
		return r.call(r.out, n.Name, v, r.depth+1)
	case *parse.IfNode:
		return r.branch(&n.BranchNode, dot, false)
	case *parse.WithNode:
		return r.branch(&n.BranchNode, dot, true)
	case *parse.RangeNode:
		return r.each(&n.BranchNode, dot)
	}
	return fmt.Errorf("%s: %w", n, errKind)
}

func (r *run) branch(n *parse.BranchNode, dot reflect.Value, with bool) error {
	mark := len(r.variables)
	defer func() { r.variables = r.variables[:mark] }()
	v, err := r.pipe(n.Pipe, dot)
	if err != nil {
		return err
	}
	if !truth(v) {
		return r.list(n.ElseList, dot)
	}
	if with {
		dot = v
	}
	return r.list(n.List, dot)
}

func (r *run) each(n *parse.BranchNode, dot reflect.Value) error {
	mark := len(r.variables)
	defer func() { r.variables = r.variables[:mark] }()
	decl := n.Pipe.Decl
	bare := *n.Pipe
	bare.Decl = nil
	v, err := r.pipe(&bare, dot)
	if err != nil {
		return err
	}
	v = indirect(v)
	if !truth(v) {
		return r.list(n.ElseList, dot)
	}
	if k := v.Kind(); k != reflect.Slice && k != reflect.Array {
		return fmt.Errorf("range over %s", v.Type())
	}
	for i := range v.Len() {
		item := v.Index(i)
		r.variables = r.variables[:mark]
		switch len(decl) {
		case 1:
			r.variables = append(r.variables, variable{decl[0].Ident[0], item})
		case 2:
			r.variables = append(r.variables, variable{decl[0].Ident[0], reflect.ValueOf(i)}, variable{decl[1].Ident[0], item})
		}
		if err := r.list(n.List, item); err != nil {
			return err
		}
	}
	return nil
}
