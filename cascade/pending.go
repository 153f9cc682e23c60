package cascade

import (
	"fmt"
	"reflect"
	"strings"
)

// Pending is a property whose value in the files is not in force until the
// process starts again.
type Pending struct {
	Property string  `json:"property"`
	InForce  any     `json:"inForce"` // as it was read at the start; null: not defined
	Next     any     `json:"next"`    // what the next start reads
	Origin   *Origin `json:"origin"`  // where that stands; null: nowhere, so that the default counts
}

// String tells of it in a sentence.
func (p Pending) String() string {
	where := "no file sets it any more"
	if p.Origin != nil {
		where = p.Origin.String()
	}
	return fmt.Sprintf("%s: in force is %s, which was read at the start; %s, the value after a restart, is not in force (%s)",
		p.Property, shownAny(p.InForce), shownAny(p.Next), where)
}

// maxShort bounds a value in Short, in bytes.
const maxShort = 80

// Short is the property with both values in a few words.
func (p Pending) Short() string {
	short := func(v any) string {
		s := shownAny(v)
		if len(s) > maxShort {
			s = strings.ToValidUTF8(s[:maxShort], "") + "..."
		}
		return s
	}
	return fmt.Sprintf("%s %s -> %s", p.Property, short(p.InForce), short(p.Next))
}

func shownAny(v any) string {
	switch v {
	case nil:
		return "nothing"
	case "":
		return `"" (empty)`
	}
	return fmt.Sprint(v)
}

// startValues are the values that are read at the start only.
func (sn *Snapshot) startValues() map[string]any {
	out := map[string]any{}
	for i := range sn.schema.decls {
		if d := &sn.schema.decls[i]; d.Restart {
			out[d.Name] = sn.serverValue(d.Name)
		}
	}
	return out
}

// Pending lists the properties whose values in the files are not in force until
// a restart, in the order of their declarations. Secrets are masked.
func (sn *Snapshot) Pending() []Pending {
	list := []Pending{}
	if sn.started == nil {
		return list
	}
	for i := range sn.schema.decls {
		if p := sn.pending(&sn.schema.decls[i]); p != nil {
			list = append(list, *p)
		}
	}
	return list
}

// pending is nil where the file says what is in force.
func (sn *Snapshot) pending(d *Declaration) *Pending {
	if !d.Restart || sn.started == nil {
		return nil
	}
	if _, ok := sn.flags[d.Name]; ok {
		return nil // a restart has the flag too
	}
	was, next := sn.started[d.Name], sn.serverValue(d.Name)
	if reflect.DeepEqual(was, next) {
		return nil
	}
	p := &Pending{Property: d.Name, InForce: effectiveJSON(was), Next: effectiveJSON(next)}
	if sn.schema.Secret(d.Name) {
		p.InForce, p.Next = Mask, Mask
	}
	id := uint32(sn.schema.byName[d.Name])
	if h, ok := (serverScope{}).find(sn, Subject{}, id); ok {
		p.Origin = serverScope{}.origin(sn, id, h)
	}
	return p
}
