package cascade_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// tree makes a root with the given files and returns it with its engine.
func tree(files map[string]string) (*cascade.Engine, string) {
	root, err := os.MkdirTemp("", "sluice-example")
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		save(root, name, text)
	}
	schema, err := cascade.NewSchema(nil, []cascade.Declaration{
		{Name: "com.example.chat", Kind: cascade.Bool, Default: "false", Doc: "Whether the user may chat."},
		{Name: "com.example.quota", Kind: cascade.Int, Default: "100", Max: 1_000_000, Doc: "Megabytes of the user."},
	})
	if err != nil {
		log.Fatal(err)
	}
	e, err := cascade.Open(cascade.Options{Roots: []string{root}, Schema: schema})
	if err != nil {
		log.Fatal(err)
	}
	return e, root
}

func save(root, name, text string) {
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
}

// A value comes from the most specific scope that has one. A context set counts
// for the users whose tags match its expression.
func Example() {
	e, root := tree(map[string]string{
		"chat.properties":       "com.example.chat=false\ncom.example.quota=500\n",
		"contextSets/brand.yml": "gold:\n  withTags: gold & !trial\n  com.example.chat: true\n",
	})
	defer os.RemoveAll(root)
	err := e.Apply(cascade.Batch{Contexts: []cascade.Context{
		{ID: 1, Enabled: true, Tags: []string{"gold"}},
		{ID: 2, Enabled: true, Tags: []string{"gold", "trial"}},
	}})
	if err != nil {
		log.Fatal(err)
	}

	chat := e.Bool("com.example.chat") // the cheapest way to a boolean; made once, safe for concurrent use
	sn := e.Snapshot()                 // look-ups in one snapshot never mix two states
	for context := range uint32(2) {
		su := cascade.Subject{Context: context + 1, User: 17}
		v, _ := sn.Get(su, "com.example.chat")
		fmt.Println(su.Context, chat.In(sn, su), v.Scope, cascade.ValueOf[int64](sn, su, "com.example.quota"))
	}
	// Output:
	// 1 true contextSets 500
	// 2 false server 500
}

// Subscribers are called for changes of the effective value, after the new
// snapshot is in force. Run calls Reload when a file changes.
func ExampleEngine_Subscribe() {
	e, root := tree(map[string]string{"chat.properties": "com.example.quota=500\n"})
	defer os.RemoveAll(root)
	cancel := e.Subscribe([]string{"com.example.quota"}, func(changes []cascade.EffectiveChange) {
		for _, c := range changes {
			fmt.Println(c.Property, "was", c.Old, "and is", c.New)
		}
	})
	defer cancel()

	for _, quota := range []string{"500 ", "many", "800"} { // the same; no number, so that the last good one stays; another
		save(root, "chat.properties", "com.example.quota="+quota+"\n")
		result, err := e.Reload(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		for _, f := range result.Errors {
			fmt.Printf("%s:%d: %s\n", f.Path, f.Line, f.Code)
		}
	}
	// Output:
	// chat.properties:1: bad-value
	// com.example.quota was 500 and is 800
}

// An explanation says why a value is what it is, scope by scope.
func ExampleSnapshot_Explain() {
	e, root := tree(map[string]string{"chat.properties": "# chat\ncom.example.chat=true\n"})
	defer os.RemoveAll(root)
	su := cascade.Subject{Context: 1, User: 17}
	err := e.Apply(cascade.Batch{Overrides: []cascade.Override{{
		Key:    cascade.Key{Subject: su, Property: "com.example.chat"},
		Value:  "false",
		Actor:  "alice",
		Reason: "ticket 4711",
		Time:   time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC),
	}}})
	if err != nil {
		log.Fatal(err)
	}
	x := e.Snapshot().Explain(su, "com.example.chat", cascade.ExplainOptions{})
	fmt.Println(x.Summary)
	for _, step := range x.Steps {
		fmt.Println(step.Scope, step.Status)
	}
	// Output:
	// com.example.chat is false for user 17 in context 1: an override of the user by alice on 2026-12-01T09:00:00Z (ticket 4711) sets it.
	// user wins
	// context undefined
	// contextSets undefined
	// server shadowed
}
