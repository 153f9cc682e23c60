package cascade

import (
	"fmt"

	"github.com/seed47708276/sluice/cascade/tables"
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
	d := e.opt.Schema.Lookup(name)
	if d == nil || d.Kind != Bool {
		panic(fmt.Sprintf("property %s is not declared as a boolean", name))
	}
	return BoolHandle{e, uint32(e.opt.Schema.byName[name]), tables.BoolBits(d.Default) == tables.BitTrue}
}

// For resolves the property for a subject. It allocates nothing.
func (h BoolHandle) For(su Subject) bool { return h.e.cur.Load().boolean(su, h.p, h.def) }

// In resolves the property in a snapshot of the same engine.
func (h BoolHandle) In(sn *Snapshot, su Subject) bool { return sn.boolean(su, h.p, h.def) }

// ValueOf is the effective value of a property for a subject; the zero value where
// it has none or one of another type. Values that belong together are read from
// one snapshot.
func ValueOf[T any](sn *Snapshot, su Subject, name string) T {
	v, _ := sn.Get(su, name)
	t, _ := v.Effective.(T)
	return t
}

// ServerValue is ValueOf without a subject: what the server itself goes by.
func ServerValue[T any](sn *Snapshot, name string) T { return ValueOf[T](sn, Subject{}, name) }
