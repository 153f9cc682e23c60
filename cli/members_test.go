package cli

import "testing"

// The first line of `sluice members` says no member away that is there.
func TestCanaryLine(t *testing.T) {
	other := listedMember{Member: "b", Alive: true}
	type canary = struct {
		From, Age, Took string
		Late            bool
		Missed          int64
	}
	for want, l := range map[string]memberList{
		"":                                 {Status: "alone"},
		"canary: no other member is alive": {Status: "ok", Members: []listedMember{{Self: true, Alive: true}, {Member: "b"}}},
		"canary: nothing has come from the other members yet": {Status: "ok", Members: []listedMember{{Self: true, Alive: true}, other}},
		"canary MISSED: nothing from b for 4s":                {Status: "ok", Members: []listedMember{other}, Canaries: []canary{{From: "b", Age: "4s", Late: true}}},
		"canary: ok, from 1 member, slowest 2ms":              {Status: "ok", Members: []listedMember{other}, Canaries: []canary{{From: "b", Took: "2ms"}}},
	} {
		if got := l.canary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
