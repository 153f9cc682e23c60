package cascade

import (
	"fmt"
	"strings"
	"time"
)

// String is the origin in a sentence: file:line, or who set an override.
func (o *Origin) String() string {
	switch {
	case o == nil:
		return ""
	case o.Platform != nil:
		return o.Platform.String()
	case o.Override != nil:
		return "override" + o.Override.details()
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// details tells who set an override, when, why and until when, as far as that
// is known; it starts with a blank or is empty.
func (o *OverrideOrigin) details() string {
	s := ""
	if o.Actor != "" {
		s += " by " + o.Actor
	}
	if o.Time != nil {
		s += " on " + o.Time.Format(time.RFC3339)
	}
	if o.Expires != nil {
		s += " until " + o.Expires.Format(time.RFC3339)
	}
	if o.Reason != "" {
		s += fmt.Sprintf(" (%s)", o.Reason)
	}
	return s
}

// summary is the one sentence that answers the question, one template for
// each kind of winner.
func (x *Explanation) summary(su Subject) string {
	who, is := su.String(), ""
	switch {
	case x.flag != "":
		is = shownAny(x.Effective)
	case x.Scope == nil:
		is = "not defined"
	case *x.Scope == ScopeDefault:
		is = quoteEmpty(*x.Default)
	default:
		is = x.shown()
	}
	s := fmt.Sprintf("%s is %s for %s: %s.", x.Property, is, who, x.Decides())
	if x.Platform != nil {
		s += " " + x.Platform.Text
	}
	return s + x.rolloutNote() + x.lockNote()
}

// Decides tells what sets the value, as the rest of a sentence.
func (x *Explanation) Decides() string {
	switch {
	case x.flag != "":
		return x.flag + " of the command line sets it"
	case x.Scope == nil:
		return "no scope sets it, and it has no default"
	case *x.Scope == ScopeDefault:
		return "no scope sets it, so its default applies"
	case x.Origin.Override != nil:
		return fmt.Sprintf("an override of the %s%s sets it", *x.Scope, x.Origin.Override.details())
	case x.Origin.Set != "":
		return fmt.Sprintf("context set %s (%s) matches its tags", x.Origin.Set, x.Origin)
	}
	return fmt.Sprintf("%s sets it in the %s scope", x.Origin, *x.Scope)
}

// shown is the value that counts, with the text where that is another.
func (x *Explanation) shown() string {
	text := quoteEmpty(*x.Value)
	switch {
	case x.Pending != nil:
		return fmt.Sprintf("%s (%s after a restart)", shownAny(x.Effective), text)
	case x.together:
		return fmt.Sprintf("%v (%s does not count)", x.Effective, text)
	}
	for _, st := range x.Steps {
		if st.Status == Wins && st.Invalid {
			return fmt.Sprintf("%v (%s does not fit its type)", x.Effective, text)
		}
	}
	return text
}

func quoteEmpty(v string) string {
	if v == "" {
		return `"" (empty)`
	}
	return v
}

// lockNote tells of a lock that hides something.
func (x *Explanation) lockNote() string {
	var hidden []string
	for _, st := range x.Steps {
		if st.Status == Locked {
			hidden = append(hidden, st.Scope)
		}
	}
	if x.Final == nil || len(hidden) == 0 {
		return ""
	}
	return fmt.Sprintf(" A final (%s) locks it to the %s scope, which hides the value of scope %s.",
		x.Final.Origin, x.Final.Scope, strings.Join(hidden, " and "))
}
