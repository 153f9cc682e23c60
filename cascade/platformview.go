package cascade

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
)

// PlatformView is the state as the platform's own middleware has it, as far as
// its database and the files here tell: without what Sluice decides itself, and
// without roll-outs, which the middleware does not know. It is nil where the
// database is not read.
func (sn *Snapshot) PlatformView() *Snapshot {
	if sn.platform == nil {
		return nil
	}
	v := *sn
	v.tables, v.held, v.theirs = tables.New(len(sn.schema.decls)), nil, true
	v.memo = tables.Memo{}.Next(len(sn.schema.decls), 0) // none of its answers is one of sn's
	return &v
}

// PlatformAccount is the state of a subject in the platform's database alone.
func (sn *Snapshot) PlatformAccount(su Subject) Account {
	if sn.platform == nil {
		return AccountOpen
	}
	return sn.platform.account(su)
}

// PlatformAnswer is what the platform's middleware has for a property.
type PlatformAnswer struct {
	Value     *string `json:"value"`
	Effective any     `json:"effective,omitempty"`
	Scope     *string `json:"scope"`
	Origin    *Origin `json:"origin"`
	Agrees    bool    `json:"agrees"` // the value is that of Sluice
	Decides   string  `json:"decides"`
	Text      string  `json:"text"` // whether both agree, as a sentence
}

// ownPrefix is that of properties which the platform does not know.
const ownPrefix = "sluice."

// platformAnswer compares an explanation with what the middleware has.
func (sn *Snapshot) platformAnswer(x *Explanation, su Subject, d *Declaration, opt ExplainOptions) *PlatformAnswer {
	if sn.platform == nil || sn.theirs || sn.supposed(su) != nil || su.Context == 0 || strings.HasPrefix(x.Property, ownPrefix) || d != nil && d.Server {
		return nil
	}
	there := sn.PlatformView().Explain(su, x.Property, ExplainOptions{ShowSecrets: opt.ShowSecrets})
	a := &PlatformAnswer{Value: there.Value, Effective: there.Effective, Scope: there.Scope, Origin: there.Origin, Decides: there.Decides()}
	// Of a secret only masks are shown: whether they hide the same is not told.
	a.Agrees = reflect.DeepEqual(x.Value, there.Value)
	if d != nil {
		a.Agrees = fmt.Sprint(x.Effective) == fmt.Sprint(there.Effective)
	}
	switch {
	case !a.Agrees && there.Scope == nil:
		a.Text = "The platform has none."
	case !a.Agrees && there.Value == nil:
		a.Text = fmt.Sprintf("The platform has %s: %s.", quoteEmpty(*there.Default), a.Decides)
	case !a.Agrees:
		a.Text = fmt.Sprintf("The platform has %s: %s.", there.shown(), a.Decides)
	case a.Decides == x.Decides():
		a.Text = "The platform agrees."
	default:
		a.Text = fmt.Sprintf("The platform agrees: %s.", a.Decides)
	}
	return a
}

// PlatformValue is what the platform's database has of a property for the
// subject itself: for its user, or for its context where no user is named.
func (sn *Snapshot) PlatformValue(su Subject, property string) (text string, ok bool) {
	p, known := sn.names.ID(property)
	if sn.platform == nil || !known {
		return "", false
	}
	o := overrideScope{user: su.User != 0}
	h, ok := o.in(sn.platform.tables, su, p)
	if !ok {
		return "", false
	}
	return o.text(sn, p, h), true
}
