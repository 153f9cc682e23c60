package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// The property that all scopes define, and one that only the server does.
const (
	enabled = "com.openexchange.websockets.enabled"
	plain   = "com.openexchange.messaging.somewhat.long.property.name"
)

func schema(tb testing.TB) *cascade.Schema {
	s, err := cascade.NewSchema(nil, []cascade.Declaration{
		{Name: enabled, Kind: cascade.Bool, Default: "true"},
		{Name: plain, Kind: cascade.Bool, Default: "true"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// tree writes files .properties files with keys properties in all, and sets
// context sets, of which each fifth defines the enabled property.
func tree(tb testing.TB, files, keys, sets int) string {
	dir := tb.TempDir()
	for f := range files {
		var b strings.Builder
		for k := range keys / files {
			fmt.Fprintf(&b, "com.openexchange.component%d.some.property%d=value %d of file %d\n", f, k, k, f)
		}
		if f == 0 {
			fmt.Fprintf(&b, "%s=true\n%s=true\n", enabled, plain)
		}
		save(tb, filepath.Join(dir, fmt.Sprintf("part%d/file%d.properties", f%10, f)), b.String())
	}
	var b strings.Builder
	for s := range sets {
		fmt.Fprintf(&b, "set%d:\n  withTags: brand%d & (webmail | ucWebMail) & !beta%d\n  com.openexchange.set%d: x\n", s, s, s%7, s)
		if s%5 == 0 {
			fmt.Fprintf(&b, "  %s: false\n", enabled)
		}
		if s%20 == 0 {
			fmt.Fprintf(&b, "  addTags: extra%d\n", s)
		}
	}
	save(tb, filepath.Join(dir, "contextSets/brands.yml"), b.String())
	return dir
}

func save(tb testing.TB, path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, dir string) *cascade.Engine {
	e, err := cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

const (
	million  = 1_000_000
	contexts = 10_000
)

// subject is the i-th of a million users in ten thousand contexts.
func subject(i int) cascade.Subject {
	return cascade.Subject{Context: uint32(i%contexts) + 1, User: uint32(i/contexts) + 2}
}

// fill puts a million known users into the engine, through its public API.
// overridden tells which of them have an override of the enabled property.
func fill(tb testing.TB, e *cascade.Engine, overridden func(i int) bool) {
	b := cascade.Batch{}
	for c := range contexts {
		b.Contexts = append(b.Contexts, cascade.Context{
			ID: uint32(c) + 1, Name: fmt.Sprintf("tenant%d", c), Enabled: true,
			Tags: []string{fmt.Sprintf("brand%d", c%200), "webmail"},
		})
		if c%2 == 0 {
			b.Overrides = append(b.Overrides, cascade.Override{
				Key: cascade.Key{Subject: cascade.Subject{Context: uint32(c) + 1}, Property: enabled}, Value: "true",
			})
		}
	}
	for i := range million {
		su := subject(i)
		b.Users = append(b.Users, cascade.User{Context: su.Context, ID: su.User, Enabled: true, Permissions: []string{"WebMail", "Infostore"}})
		if overridden(i) {
			b.Overrides = append(b.Overrides, cascade.Override{Key: cascade.Key{Subject: su, Property: enabled}, Value: "false"})
		}
	}
	if err := e.Apply(b); err != nil {
		tb.Fatal(err)
	}
}

// shuffled are all subjects in random order.
func shuffled() []cascade.Subject {
	all := make([]cascade.Subject, million)
	for i := range all {
		all[i] = subject(i)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
