package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The package has a server that runs go on as the new binary, and restarts one that
// does not. What it calls is here what writes down that it was called.
func TestPostinstUpgrades(t *testing.T) {
	for name, c := range map[string]struct {
		active, policy, upgrade string // exit codes
		want                    string
	}{
		"it runs":         {"0", "104", "0", "sluice upgrade\n"},
		"it cannot":       {"0", "0", "1", "sluice upgrade\ndeb-systemd-invoke try-restart sluice.service\n"},
		"it may not":      {"0", "101", "0", "deb-systemd-invoke try-restart sluice.service\n"}, // which refuses
		"it does not run": {"3", "0", "0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "called")
			for tool, text := range map[string]string{
				"systemctl":          "exit " + c.active,
				"policy-rc.d":        "exit " + c.policy,
				"sluice":             `echo sluice "$@" >>` + log + "\nexit " + c.upgrade,
				"deb-systemd-invoke": `echo deb-systemd-invoke "$@" >>` + log,
			} {
				if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("sh", "-c", ". debian/postinst; upgrade_server", "postinst", "no-action")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			called, err := os.ReadFile(log)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if string(called) != c.want {
				t.Errorf("it calls\n%swant\n%s", called, c.want)
			}
		})
	}
	text, err := os.ReadFile("debian/postinst")
	if err != nil || strings.Count(string(text), "\n\t\t\tupgrade_server\n") != 1 {
		t.Errorf("a package that is configured again does not upgrade its server (%v)", err)
	}
}
