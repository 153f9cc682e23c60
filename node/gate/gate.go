// Package gate is what the cascade says to the sockets: whom they serve, and with
// which settings.
package gate

import (
	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

// Gate is the cascade's answer to whom the sockets serve: the account first,
// then the property.
type Gate struct {
	engine   *cascade.Engine
	enabled  cascade.BoolHandle
	closings Closings
}

// Closings are the users and contexts that were switched off while the store
// could not be asked.
type Closings interface {
	// Closed reports whether a user is refused; account: not only by the switch,
	// so that no override of the user's own lets him in.
	Closed(sn *cascade.Snapshot, su cascade.Subject) (account, closed bool)
}

// New returns the gate of an engine whose schema has the declarations of
// websockets; c refuses more, nil: nobody.
func New(e *cascade.Engine, c Closings) Gate {
	return Gate{e, e.Bool(websockets.PropEnabled), c}
}

// Allowed implements websockets.Gate.
func (g Gate) Allowed(context, user uint32) websockets.Verdict {
	su, sn := cascade.Subject{Context: context, User: user}, g.engine.Snapshot()
	reason := websockets.SwitchedOff
	switch sn.Account(su) {
	case cascade.AccountOpen:
		account, closed := false, false
		if g.closings != nil {
			account, closed = g.closings.Closed(sn, su)
		}
		if !closed && g.enabled.In(sn, su) {
			return websockets.Verdict{Allowed: true}
		}
		// An account that the store could not disable for good is not held either.
		hold := !account && cascade.ValueOf[string](sn, su, websockets.PropWhenDisabled) == websockets.WhenDisabledHold
		return websockets.Verdict{Reason: reason, Hold: hold}
	case cascade.ContextDisabled:
		reason = websockets.ContextDisabled
	case cascade.ContextDeleted, cascade.ContextUnknown:
		reason = websockets.ContextUnknown
	case cascade.UserDisabled:
		reason = websockets.UserDisabled
	case cascade.UserDeleted, cascade.UserUnknown:
		reason = websockets.UserUnknown
	case cascade.AccountUnread:
		reason = websockets.NotRead
	}
	return websockets.Verdict{Reason: reason}
}

// Unchanged reports whether it is certain that the gate answers for everybody as
// it did before a swap, without asking for anybody.
func Unchanged(old, now *cascade.Snapshot) bool {
	return now.Unchanged(old, websockets.PropEnabled, websockets.PropWhenDisabled)
}
