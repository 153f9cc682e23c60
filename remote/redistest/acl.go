package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/testkit"
)

// Every server has the user that docs/cluster.md describes, so that what runs as
// that user runs under what administrators are told to allow. A cluster of
// another name has a user of that name.
const Password = "of-the-tests"

// SuiteUser is a user who may read the sessions of App Suite as well, by the
// rules that the page adds for that.
const SuiteUser = "suite"

// clusters are the names of clusters in tests, and of their users.
var clusters = []string{"sluice", "test"}

// documented is how the page sets its user up, up to the rules.
const documented = "user sluice on >PASSWORD "

// documentedSuite is what the rules of SuiteUser begin with on the page.
const documentedSuite = "it needs beside these\n  `"

// rules are those of the page: for Sluice, and what App Suite's sessions need
// beside them.
func rules(t testing.TB) (own, suite string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "cluster.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n"+documented)
	line, _, _ := strings.Cut(rest, "\n")
	if !found || !strings.Contains(line, "~sluice:{sluice") {
		t.Fatalf("docs/cluster.md has no line %q with the rules of Sluice's user", documented)
	}
	_, rest, found = strings.Cut(rest, documentedSuite)
	suite, _, _ = strings.Cut(rest, "`")
	if !found || !strings.Contains(suite, "~ox-session:*") {
		t.Fatalf("docs/cluster.md does not say %q with the rules for App Suite's sessions", documentedSuite)
	}
	return line, suite
}

// users are the arguments that give a server the users.
func users(t testing.TB) (args []string) {
	t.Helper()
	line, suite := rules(t)
	for _, name := range clusters {
		args = append(args, "--user", name, "on", ">"+Password)
		args = append(args, strings.Fields(strings.ReplaceAll(line, "{sluice", "{"+name))...)
	}
	args = append(args, "--user", SuiteUser, "on", ">"+Password)
	return append(args, strings.Fields(line+" "+suite)...)
}

// denied are what the server has refused one of the users. It is empty where the
// server does not run.
func (s *Server) denied() (list []string) {
	s.mu.Lock()
	running := s.cmd != nil
	s.mu.Unlock()
	if !running || s.sentinel || s.bare {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true})
	defer c.Close()
	entries, err := c.ACLLog(ctx, 10).Result()
	if err != nil {
		return nil // it is paused, or has been given a password
	}
	for _, e := range entries {
		for _, name := range append(clusters, SuiteUser) {
			if e.Username == name && e.Reason != "auth" {
				list = append(list, fmt.Sprintf("%s: %s (%s)", e.Reason, e.Object, e.Context))
			}
		}
	}
	return list
}

// Bare has the server not be asked for what it has refused: a test makes it
// refuse.
func (s *Server) Bare() { s.bare = true }
