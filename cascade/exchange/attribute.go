package exchange

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// Attribute is what one attribute of a context or a user means.
type Attribute struct {
	Override *cascade.Override // of config/NAME
	Tags     []string          // of taxonomy/types of a context
	Notes    []string          // what of it is not taken over
}

// DecodeAttribute reads an attribute as it is stored; one of another kind means
// nothing. Its error says what to do.
func DecodeAttribute(su cascade.Subject, name, value string) (a Attribute, err error) {
	if name == typesName && su.User == 0 {
		for tag := range strings.SplitSeq(value, ",") {
			switch tag = trim(tag); {
			case tag == "":
			case tagexpr.ValidTag(tag):
				a.Tags = append(a.Tags, tag)
			default:
				a.Notes = append(a.Notes, fmt.Sprintf("%q is no tag that an expression can name, and is left out", tag))
			}
		}
		return a, nil
	}
	property, is := strings.CutPrefix(name, configPrefix)
	switch {
	case !is && (strings.EqualFold(name[:min(len(name), len(configPrefix))], configPrefix) || su.User == 0 && strings.EqualFold(name, typesName)):
		a.Notes = append(a.Notes, "the platform does not read a name in this case, though its database finds it: correct or remove the row")
		return a, nil
	case !is:
		return a, nil
	case property == "" || strings.TrimSpace(property) != property || strings.ContainsFunc(property, unicode.IsControl):
		return a, errors.New("the name of the property is empty, or has control characters or white space around it: correct or remove the row")
	}
	decode := contextValue
	if su.User != 0 {
		decode = userValue
	}
	s, err := decode(value)
	if err != nil {
		return a, err
	}
	if err := checkText(s.value); err != nil {
		return a, err
	}
	o := cascade.Override{Key: cascade.Key{Subject: su, Property: property}, Value: s.value, Protected: s.protected}
	if s.final != "" {
		if err := cascade.CheckFinal(s.final); err != nil {
			a.Notes = append(a.Notes, err.Error())
		} else {
			o.Final = s.final
		}
	}
	if s.more {
		a.Notes = append(a.Notes, "of what stands behind the first ; only final and protected count: write %3B for a ; of the value")
	}
	b := bounds{}
	if err := b.override(o); err != nil {
		return a, err
	}
	a.Override = &o
	return a, nil
}

// checkText refuses a value that no file could hold: of the control characters
// only tab, form feed and line ends are text (docs/reference/cascade.md#files).
func checkText(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("the value is not UTF-8: set it anew or remove the row")
	}
	for i, r := range value {
		if unicode.IsControl(r) && !strings.ContainsRune("\t\f\r\n", r) {
			return fmt.Errorf("the value holds the control character %U behind %d bytes: set it anew or remove the row", r, i)
		}
	}
	return nil
}

// PermissionNames names the permissions of a user's bits; see permissionsOf.
func PermissionNames(bits string) ([]string, error) { return permissionsOf(bits) }
