package cascade

import (
	"fmt"
	"time"
)

// BoolHandle resolves one declared boolean: the cheapest way to a value.
type BoolHandle struct {
	e   *Engine
	p   uint32
	def bool
}

// Bool returns the handle of a declared boolean. It panics where the schema
// has no such declaration: that is a mistake in the code.
func (e *Engine) Bool(name string) BoolHandle {
	p, d := e.declared(name, Bool)
	return BoolHandle{e, p, boolBits(d.Default) == bitTrue}
}

// For resolves the property for a subject. It allocates nothing.
func (h BoolHandle) For(su Subject) bool { return h.e.cur.Load().boolean(su, h.p, h.def) }

// In resolves the property in a snapshot of the same engine.
func (h BoolHandle) In(sn *Snapshot, su Subject) bool { return sn.boolean(su, h.p, h.def) }

func (e *Engine) declared(name string, kinds ...Kind) (uint32, *Declaration) {
	d := e.opt.Schema.Lookup(name)
	if d == nil {
		panic(fmt.Sprintf("property %s is not declared", name))
	}
	for _, k := range kinds {
		if d.Kind == k {
			return uint32(e.opt.Schema.byName[name]), d
		}
	}
	panic(fmt.Sprintf("property %s is declared as %s", name, d.Kind))
}

// Handle resolves one declared property of another type.
type Handle[T any] struct {
	e    *Engine
	name string
}

// For returns the effective value for a subject; the zero value where the
// property is not defined and has no default.
func (h Handle[T]) For(su Subject) T { return ValueOf[T](h.e.Snapshot(), su, h.name) }

// Server returns the effective value of the server view.
func (h Handle[T]) Server() T { return h.For(Subject{}) }

// Int, TimeSpan, Text and List return handles of declared properties; they
// panic as Bool does.
func (e *Engine) Int(name string) Handle[int64] {
	e.declared(name, Int, Duration)
	return Handle[int64]{e, name}
}

// TimeSpan returns the handle of a time span.
func (e *Engine) TimeSpan(name string) Handle[time.Duration] {
	e.declared(name, TimeSpan)
	return Handle[time.Duration]{e, name}
}

// Text returns the handle of a text or an enum.
func (e *Engine) Text(name string) Handle[string] {
	e.declared(name, Text, Enum)
	return Handle[string]{e, name}
}

// List returns the handle of a list.
func (e *Engine) List(name string) Handle[[]string] {
	e.declared(name, List)
	return Handle[[]string]{e, name}
}

// ValueOf is the effective value of a property in a snapshot, for who needs several
// of the same state; the zero value where it has none or one of another type.
func ValueOf[T any](sn *Snapshot, su Subject, name string) T {
	v, _ := sn.Get(su, name)
	t, _ := v.Effective.(T)
	return t
}

// ServerValue is ValueOf in the server view.
func ServerValue[T any](sn *Snapshot, name string) T { return ValueOf[T](sn, Subject{}, name) }
