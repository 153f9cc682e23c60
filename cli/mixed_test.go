package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/remote/redistest"
)

// release is a line of the file RELEASES.
var release = regexp.MustCompile(`^(\d+\.\d+\.\d+) ([0-9a-f]{40})$`)

// lastRelease is the newest version of RELEASES and its commit.
func lastRelease(t *testing.T) (version, commit string) {
	t.Helper()
	b, err := os.ReadFile("../RELEASES")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		m := release.FindStringSubmatch(line)
		switch {
		case m != nil:
			version, commit = m[1], m[2]
		case !strings.HasPrefix(line, "#"):
			t.Errorf("RELEASES: %q is no version and commit", line)
		}
	}
	if version == "" {
		t.Fatal("RELEASES has no release")
	}
	return version, commit
}

// buildRelease builds that commit in a work tree of its own.
func buildRelease(t *testing.T, commit string) string {
	t.Helper()
	dir := t.TempDir()
	tree, path := filepath.Join(dir, "tree"), filepath.Join(dir, "sluice")
	do := func(in string, args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	do("..", "git", "worktree", "add", "--quiet", "--detach", tree, commit)
	t.Cleanup(func() { do("..", "git", "worktree", "remove", "--force", tree) })
	do(tree, "go", "build", "-trimpath", "-o", path, ".")
	return path
}

// exchange sends a message from each member to a socket on each other one.
func (f *fleet) exchange(round string) {
	f.t.Helper()
	for _, at := range f.members {
		for _, from := range f.members {
			if at == from {
				continue
			}
			// A session that one of them has made is good on the other.
			l := from.login(17)
			conn, err := at.dial(l, "mixed")
			if err != nil {
				f.t.Fatalf("%s: %s: %v", round, at.name, err)
			}
			body := `{"context":1337,"user":17,"name":"` + round + `","id":"` + round + from.name + `","sync":true}`
			if code := from.request("POST", "/admin/v1/messages", body, nil); code != 200 {
				f.t.Errorf("%s: %s answers %d", round, from.name, code)
			}
			_, data, err := conn.Read(f.t.Context())
			if err != nil || !strings.Contains(string(data), round) {
				f.t.Errorf("%s: %s got %q, %v", round, at.name, data, err)
			}
			from.request("DELETE", "/admin/v1/sessions/"+l.Session, "", nil)
			for err == nil { // it is told before it is closed
				_, _, err = conn.Read(f.t.Context())
			}
			if websocket.CloseStatus(err) != 4401 {
				f.t.Errorf("%s: %v after the session has ended on %s", round, err, from.name)
			}
		}
	}
}

// The last release and this build work in one cluster, and a member is upgraded
// and taken back with its state. The full round builds the release.
func TestMixedVersions(t *testing.T) {
	version, commit := lastRelease(t)
	if !*torture {
		t.Logf("the full round (-torture) runs %s, %s, beside this build", version, commit)
		return
	}
	old, own := buildRelease(t, commit), binary(t)
	for name, binaries := range map[string][2]string{"the old one keeps": {old, own}, "the new one keeps": {own, old}} {
		t.Run(name, func(t *testing.T) {
			f := newFleetOf(t, redistest.Start(t), binaries[:], delayProperty+"=0")
			keeper, other := f.members[0], f.members[1]
			f.exchange("first")
			f.one()
			for user, m := range map[int]*member{21: keeper, 22: other} {
				if code, problem := m.disable(user); code != 200 && code != 201 {
					t.Fatalf("%s: %d %s", m.name, code, problem)
				}
			}
			f.one()

			// Each takes the place of the other, one after the other.
			for i, m := range []*member{other, keeper} {
				m.signal(syscall.SIGTERM)
				if code := m.wait(); code != 0 {
					t.Errorf("%s exits with %d\n%s", m.name, code, m.log())
				}
				m.binary = binaries[i]
				f.launch(m)
				f.meet()
				f.one()
				f.exchange("after" + m.name)
				for _, user := range []int{21, 22} {
					if m.enabled(user) {
						t.Errorf("user %d is on at %s after its restart", user, m.name)
					}
				}
			}
			if code, problem := keeper.disable(23); code != 200 && code != 201 {
				t.Errorf("%s: %d %s", keeper.name, code, problem)
			}
			f.one()
		})
	}
}
