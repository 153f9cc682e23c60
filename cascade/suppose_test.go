package cascade

import (
	"slices"
	"testing"
)

// TestSupposeConcernsOneSubject supposes tags of each subject in turn: what all
// others get stays what it was, by every way to a value, and so does what the
// memo has for the look-ups that follow.
func TestSupposeConcernsOneSubject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const enabled = "com.openexchange.websockets.enabled"
	write(t, dir, "a.properties", enabled+"=false\np=server\n")
	write(t, dir, "contextSets/s.yml", "s:\n  withTags: beta\n  "+enabled+": true\n  p: set\n")
	e := openEngine(t, Options{Roots: []string{dir}})
	subjects := []Subject{{}, {Context: 1}, {Context: 1, User: 1}, {Context: 1, User: 2}, {Context: 2, User: 1}}
	on := e.Bool(enabled)
	for _, supposed := range subjects {
		sn := e.Snapshot().Suppose(supposed, WhatIf{Tags: []string{"beta"}})
		for _, su := range subjects {
			want, has := "server", su == supposed
			if has {
				want = "set"
			}
			v, _ := sn.Get(su, "p")
			x := sn.Explain(su, "p", ExplainOptions{})
			tagged := slices.ContainsFunc(sn.Tags(su), func(tag Tag) bool { return tag.Tag == "beta" })
			if v.Text != want || *x.Value != want || on.In(sn, su) != has || tagged != has {
				t.Errorf("with beta supposed of %v, %v has %s, %s, %v, tagged %v", supposed, su, v.Text, *x.Value, on.In(sn, su), tagged)
			}
			if on.For(su) {
				t.Errorf("what is supposed of %v is true of %v", supposed, su)
			}
		}
	}
}
