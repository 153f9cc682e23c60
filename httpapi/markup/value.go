package markup

import (
	"fmt"
	"reflect"
	"text/template/parse"
)

// pipe is the value of a pipeline, which it gives to the variables that it declares.
func (r *run) pipe(p *parse.PipeNode, dot reflect.Value) (v reflect.Value, err error) {
	if p == nil {
		return v, nil
	}
	for i, c := range p.Cmds {
		var last []reflect.Value
		if i > 0 {
			last = []reflect.Value{v}
		}
		if v, err = r.command(c, dot, last); err != nil {
			return v, err
		}
	}
	for _, d := range p.Decl {
		if p.IsAssign {
			return v, fmt.Errorf("%s: %w", p, errKind)
		}
		r.variables = append(r.variables, variable{d.Ident[0], v})
	}
	return v, nil
}

func (r *run) command(c *parse.CommandNode, dot reflect.Value, last []reflect.Value) (reflect.Value, error) {
	args := func() (list []reflect.Value, err error) {
		for _, n := range c.Args[1:] {
			v, err := r.operand(n, dot)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return append(list, last...), nil
	}
	switch n := c.Args[0].(type) {
	case *parse.IdentifierNode:
		if n.Ident == "and" || n.Ident == "or" {
			return r.logic(n.Ident == "and", c.Args[1:], dot, last)
		}
		list, err := args()
		if err != nil {
			return reflect.Value{}, err
		}
		return invoke(n.Ident, r.functions[n.Ident], list)
	case *parse.FieldNode:
		list, err := args()
		if err != nil {
			return reflect.Value{}, err
		}
		return r.fields(dot, n.Ident, list)
	case *parse.VariableNode:
		list, err := args()
		if err != nil {
			return reflect.Value{}, err
		}
		v, err := r.variable(n.Ident[0])
		if err != nil {
			return v, err
		}
		return r.fields(v, n.Ident[1:], list)
	}
	if len(c.Args) > 1 || len(last) > 0 {
		return reflect.Value{}, fmt.Errorf("%s takes no arguments", c.Args[0])
	}
	return r.operand(c.Args[0], dot)
}

// logic is and, or or: what follows the value that decides is not looked at.
func (r *run) logic(and bool, nodes []parse.Node, dot reflect.Value, last []reflect.Value) (v reflect.Value, err error) {
	for _, n := range nodes {
		if v, err = r.operand(n, dot); err != nil || truth(v) != and {
			return v, err
		}
	}
	if len(last) > 0 {
		v = last[0]
	}
	return v, nil
}

func (r *run) operand(n parse.Node, dot reflect.Value) (reflect.Value, error) {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.FieldNode:
		return r.fields(dot, n.Ident, nil)
	case *parse.VariableNode:
		v, err := r.variable(n.Ident[0])
		if err != nil {
			return v, err
		}
		return r.fields(v, n.Ident[1:], nil)
	case *parse.PipeNode:
		return r.pipe(n, dot)
	case *parse.StringNode:
		return reflect.ValueOf(n.Text), nil
	case *parse.BoolNode:
		return reflect.ValueOf(n.True), nil
	case *parse.NumberNode:
		if n.IsInt {
			return reflect.ValueOf(int(n.Int64)), nil
		}
	case *parse.IdentifierNode:
		return invoke(n.Ident, r.functions[n.Ident], nil)
	}
	return reflect.Value{}, fmt.Errorf("%s: %w", n, errKind)
}

func (r *run) variable(name string) (reflect.Value, error) {
	for i := len(r.variables) - 1; i >= 0; i-- {
		if r.variables[i].name == name {
			return r.variables[i].value, nil
		}
	}
	return reflect.Value{}, fmt.Errorf("there is no variable %s", name)
}

// fields follows names from a value; the last gets the arguments.
func (r *run) fields(v reflect.Value, names []string, args []reflect.Value) (reflect.Value, error) {
	if len(names) == 0 && len(args) > 0 {
		return v, fmt.Errorf("%s takes no arguments", v.Type())
	}
	for i, name := range names {
		var mine []reflect.Value
		if i == len(names)-1 {
			mine = args
		}
		var err error
		if v, err = r.field(v, name, mine); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (r *run) field(v reflect.Value, name string, args []reflect.Value) (reflect.Value, error) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return v, fmt.Errorf(".%s of nothing", name)
	}
	if f, receiver, ok := r.method(v, name); ok {
		return invoke(name, f, append([]reflect.Value{receiver}, args...))
	}
	of := v.Type()
	if v = indirect(v); !v.IsValid() {
		return v, fmt.Errorf(".%s of a nil %s", name, of)
	}
	if len(args) > 0 {
		return v, fmt.Errorf("%s has no method %s among those of the templates", of, name)
	}
	switch v.Kind() {
	case reflect.Struct:
		if f, ok := v.Type().FieldByName(name); ok && f.IsExported() {
			return v.FieldByIndexErr(f.Index)
		}
	case reflect.Map:
		if key := reflect.ValueOf(name); key.Type().AssignableTo(v.Type().Key()) {
			return v.MapIndex(key), nil // none where it has none
		}
	}
	return reflect.Value{}, fmt.Errorf("%s has no field and no method %s among those of the templates", of, name)
}

// method finds one of the table, of the value or of what it embeds.
func (r *run) method(v reflect.Value, name string) (f, receiver reflect.Value, ok bool) {
	if f, ok = r.methods[method{v.Type(), name}]; ok {
		return f, v, true
	}
	if v.CanAddr() {
		if f, ok = r.methods[method{reflect.PointerTo(v.Type()), name}]; ok {
			return f, v.Addr(), true
		}
	}
	if v = indirect(v); v.Kind() != reflect.Struct {
		if v.IsValid() {
			f, ok = r.methods[method{v.Type(), name}]
		}
		return f, v, ok
	}
	if f, ok = r.methods[method{v.Type(), name}]; ok {
		return f, v, true
	}
	for i := range v.NumField() {
		if t := v.Type().Field(i); t.Anonymous && indirect(v.Field(i)).IsValid() && (t.IsExported() || t.Type.Kind() == reflect.Pointer || v.CanAddr()) {
			if f, receiver, ok = r.method(exported(v.Field(i)), name); ok {
				return f, receiver, true
			}
		}
	}
	return f, receiver, false
}

// exported makes an embedded value of a type without a capital usable.
func exported(v reflect.Value) reflect.Value {
	if v.CanInterface() || !v.CanAddr() && v.Kind() != reflect.Pointer {
		return v
	}
	if v.Kind() == reflect.Pointer {
		return reflect.NewAt(v.Type().Elem(), v.UnsafePointer())
	}
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// indirect is what pointers and interfaces lead to; not valid: nowhere.
func indirect(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// invoke calls a function.
func invoke(name string, f reflect.Value, args []reflect.Value) (reflect.Value, error) {
	t := f.Type()
	if fixed := t.NumIn(); len(args) != fixed && (!t.IsVariadic() || len(args) < fixed-1) {
		return reflect.Value{}, fmt.Errorf("%s takes %d arguments, not %d", name, fixed, len(args))
	}
	for i, a := range args {
		want := t.In(min(i, t.NumIn()-1))
		if t.IsVariadic() && i >= t.NumIn()-1 {
			want = want.Elem()
		}
		if a.Kind() == reflect.Interface && want.Kind() != reflect.Interface {
			a = a.Elem()
		}
		if a.IsValid() && !a.Type().AssignableTo(want) && a.Kind() == reflect.Pointer {
			a = a.Elem()
		}
		switch {
		case !a.IsValid():
			a = reflect.Zero(want)
		case a.Type().AssignableTo(want):
		case a.CanInt() && reflect.Zero(want).CanInt():
			a = a.Convert(want)
		default:
			return reflect.Value{}, fmt.Errorf("%s: argument %d is %s, not %s", name, i+1, a.Type(), want)
		}
		args[i] = a
	}
	out := f.Call(args)
	if len(out) == 2 && !out[1].IsNil() {
		return reflect.Value{}, fmt.Errorf("%s: %w", name, out[1].Interface().(error))
	}
	return out[0], nil
}
