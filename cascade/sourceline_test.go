package cascade

import (
	"context"
	"strings"
	"testing"
)

func TestSourceLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "bad.properties", "a=good\nb=\\uZZZZ\n")
	write(t, dir, "secret.properties", "com.example.password=\\uZZZZ\n")
	write(t, dir, "continued.properties", "com.example.password=one\\\n\\uZZZZ\n")
	write(t, dir, "long.properties", "a="+strings.Repeat("x", maxSourceLine)+"\\uZZZZ\n")
	write(t, dir, "contextSets/mixed.yml", "odd:\n  withTags: a | b & a | c\n  com.example.a: x\n")
	write(t, dir, "contextSets/secret.yml", "s:\n  com.example.password: [a]\n  withTags: a\n")
	e := openEngine(t, Options{Roots: []string{dir}, TolerateBadFiles: true})
	got := map[string][]SourceLine{}
	for _, l := range e.Snapshot().SourceLines([]string{t.TempDir(), dir}) {
		got[l.Path] = append(got[l.Path], l)
	}
	for path, want := range map[string]SourceLine{
		"bad.properties":         {"bad.properties", 2, `b=\uZZZZ`, ""},
		"secret.properties":      {"secret.properties", 1, "com.example.password=***", ""},
		"contextSets/mixed.yml":  {"contextSets/mixed.yml", 2, "  withTags: a | b & a | c", `  withTags: "a | (b & (a | c))"`},
		"contextSets/secret.yml": {"contextSets/secret.yml", 2, "  com.example.password: ***", ""},
	} {
		if l := got[path]; len(l) != 1 || l[0] != want {
			t.Errorf("%s: %+v, want %+v\n%v", path, l, want, e.Snapshot().Findings())
		}
	}
	// Neither the rest of a value of another line nor a part of one.
	if l := append(got["continued.properties"], got["long.properties"]...); len(l) > 0 && l[0].Line != 1 {
		t.Errorf("%+v", l)
	}
}

func TestMatchSets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "contextSets/a.yml", "premium:\n  withTags: premium\n  com.example.a: x\nnobody:\n  withTags: premium & !premium\n  com.example.b: x\nhalf:\n  withTags: rollout.autumn.50\n  com.example.a: y\nbroken:\n  withTags: (\n  com.example.a: z\n")
	e := openEngine(t, Options{Roots: []string{dir}, TolerateBadFiles: true})
	must(t, e.Apply(Batch{
		Contexts:  []Context{{ID: 1, Enabled: true, Tags: []string{"premium"}}, {ID: 2, Enabled: true}},
		Users:     []User{{Context: 1, ID: 1, Enabled: true}, {Context: 1, ID: 2, Enabled: true}, {Context: 2, ID: 1, Enabled: true}},
		Overrides: []Override{{Key: Key{Subject: Subject{Context: 2, User: 9}, Property: "com.example.b"}, Value: "o"}},
	}))
	m, err := e.Snapshot().MatchSets(t.Context(), "com.example.a", func(value string) bool { return value == "x" })
	if err != nil || m.Contexts != 2 || m.Users != 4 || len(m.Sets) != 4 {
		t.Fatalf("%+v %v", m, err)
	}
	sets := map[string]SetMatch{}
	for _, s := range m.Sets {
		sets[s.Set] = s
	}
	if s := sets["premium"]; s.Contexts != 1 || s.Users != 2 || *s.Value != "x" || len(s.Gives) != 1 || s.Line != 1 || s.File != "contextSets/a.yml" {
		t.Errorf("premium: %+v", s)
	}
	if s := sets["nobody"]; s.Contexts != 0 || s.Users != 0 || s.Value != nil || s.Expression == "" {
		t.Errorf("nobody: %+v", s)
	}
	if s := sets["broken"]; s.Users != 0 || s.Expression != "" {
		t.Errorf("broken: %+v", s)
	}
	// Each user has a bucket of its own.
	in := 0
	for _, su := range []Subject{{Context: 1, User: 1}, {Context: 1, User: 2}, {Context: 2, User: 1}, {Context: 2, User: 9}} {
		if rolloutBucket(rolloutSeed("autumn"), su.Context, su.User) <= 50 {
			in++
		}
	}
	if s := sets["half"]; s.Users != in || s.Gives != nil || len(s.Rollouts) != 1 || s.Rollouts[0] != "rollout.autumn.50" {
		t.Errorf("half: %+v, want %d users", s, in)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := e.Snapshot().MatchSets(ctx, "none", nil); err != nil || m.Sets[0].Value != nil {
		t.Errorf("%+v %v: few are counted at once", m, err)
	}
	if list, more := e.Snapshot().PlatformSwitches("com.example.a", nil, 1); list != nil || more {
		t.Errorf("without a platform: %v", list)
	}
}
