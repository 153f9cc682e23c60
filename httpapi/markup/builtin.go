package markup

import (
	"fmt"
	"reflect"
)

// builtins are functions that all templates have, as those of text/template; and
// and or are commands.
var builtins = map[string]any{
	"and": func() bool { return false }, "or": func() bool { return false },
	"not": func(v any) bool { return !truth(reflect.ValueOf(v)) },
	"len": func(v any) (int, error) {
		item := indirect(reflect.ValueOf(v))
		switch item.Kind() {
		case reflect.Slice, reflect.Array, reflect.Map, reflect.String:
			return item.Len(), nil
		}
		return 0, fmt.Errorf("%T has no length", v)
	},
	"eq": equal, "print": fmt.Sprint,
	"ne": func(a, b any) (bool, error) {
		same, err := equal(a, b)
		return !same, err
	},
	"gt": func(a, b any) (bool, error) {
		x, y := indirect(reflect.ValueOf(a)), indirect(reflect.ValueOf(b))
		if !x.CanInt() || !y.CanInt() {
			return false, fmt.Errorf("%T and %T are not compared", a, b)
		}
		return x.Int() > y.Int(), nil
	},
}

// equal compares texts, whole numbers and truths.
func equal(a, b any) (bool, error) {
	x, y := indirect(reflect.ValueOf(a)), indirect(reflect.ValueOf(b))
	switch {
	case x.Kind() == reflect.String && y.Kind() == reflect.String:
		return x.String() == y.String(), nil
	case x.CanInt() && y.CanInt():
		return x.Int() == y.Int(), nil
	case x.CanUint() && y.CanUint():
		return x.Uint() == y.Uint(), nil
	case x.CanUint() && y.CanInt():
		return y.Int() >= 0 && x.Uint() == uint64(y.Int()), nil
	case x.Kind() == reflect.Bool && y.Kind() == reflect.Bool:
		return x.Bool() == y.Bool(), nil
	}
	return false, fmt.Errorf("%T and %T are not compared", a, b)
}

// truth tells what counts for true: what is not empty.
func truth(v reflect.Value) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return false
	case reflect.Slice, reflect.Array, reflect.Map, reflect.String:
		return v.Len() > 0
	case reflect.Struct:
		return true
	}
	return !v.IsZero()
}

// text is a value as a page shows it; nothing is "".
func text(v reflect.Value) string {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		if _, own := v.Interface().(fmt.Stringer); !own {
			v = v.Elem()
		}
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}
