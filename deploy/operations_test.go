package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/testkit"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// documentedPage is a page whose commands are run as they stand.
type documentedPage struct {
	file string
	// server starts one in the background, with a folder for its socket as the page
	// has it; "": the page starts it.
	server string
	// before is what the page takes for granted.
	before string
	// files are those that the page shows, by the language of their block, the first
	// of it.
	files map[string]string
	// left are lines that want more than this machine has, by a part of them, and
	// why.
	left map[string]string
	// replaced are parts of lines, old and new: what a reader puts in, or leaves
	// running in another terminal.
	replaced []string
}

// commandLine is one with those that continue it.
var commandLine = regexp.MustCompile(`(?m)^(?:.*\\\n)*.*\n`)

// answers are lines of commands that end with 1 where they have something to tell.
var answers = regexp.MustCompile(`(?m)^((\./)?sluice (?:doctor|plan|members|status)\b[^|#\n]*?)(\s*(?:#.*)?)$`)

const (
	installedServer = "sluice serve 2>/tmp/log &\n"
	localServer     = "ln -s /tmp/bin/sluice sluice; sluice init etc-copy; cp -r etc-copy etc; ./sluice serve --etc etc-copy --state var 2>/tmp/log &\n"
)

var documentedPages = []documentedPage{
	{file: "docs/operations.md", server: installedServer},
	{
		file: "README.md", before: "cp /tmp/bin/sluice sluice\n",
		left: map[string]string{
			"go run . demo": "the demo has a test of its own", "rust-just": "it runs this test", "go build": "it is built",
		},
		replaced: []string{"--state var\n", "--state var 2>/tmp/log &\nserver=$!\n" + untilServed},
	},
	{file: "docs/api.md", server: installedServer},
	{
		file: "docs/access.md", server: installedServer,
		left: map[string]string{"https://": "there is no server of that name"},
	},
	{file: "docs/sockets.md", server: installedServer, left: map[string]string{"SESSION": "a name that a reader puts in"}},
	{
		file: "docs/commands.md", server: localServer,
		before: "printf 'brand:\\n  withTags: brand\\n' >brand.yml\n", files: map[string]string{"wave2.yml": "yaml"},
		left: map[string]string{
			"mailpush": "there is no Dovecot", "database": "there is no MariaDB", "https://": "there is no server of that name", "LOGIN:PASSWORD": "names that a reader puts in",
			"--session ID": "a name that a reader puts in", "someone@example.com": "a name that a reader puts in",
			"shadow": "there is no middleware", "./sluice trace": "no message was sent",
		},
		replaced: []string{
			"./sluice watch\n", "./sluice watch --for 1s\n", "--kinds socket,override\n", "--kinds socket,override --for 1s\n",
			"--count 1 --for 1m -o json\n", "--count 1 --for 1s -o json || true\n",
		},
	},
}

// untilServed waits for the server of $server, however long that takes.
const untilServed = "until sluice get com.openexchange.websockets.enabled >/dev/null 2>&1; do kill -0 $server; done\n"

// checkedCurl fails where an answer is an error, and not where --max-time ends a
// stream.
const checkedCurl = `curl() { command curl --fail-with-body "$@" || test $? = 28; }
`

// TestDocumentedCommands runs the commands of pages as they stand, as root on a
// machine that has the package's files, and nothing else of this machine's state
// and network. TMPDIR is short: paths of sockets have 107 bytes.
func TestDocumentedCommands(t *testing.T) {
	root := unpacked(t)
	bwrap := testkit.Tool(t, "bwrap", "bubblewrap")
	testkit.Tool(t, "curl", "curl")
	for _, p := range documentedPages {
		t.Run(filepath.Base(p.file), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "page.sh")
			if err := os.WriteFile(file, []byte(p.script(t)), 0o644); err != nil {
				t.Fatal(err)
			}
			// The package's conffiles are copied, since pages write beside them.
			conf := t.TempDir()
			command(t, "cp", "-r", filepath.Join(root, "etc/sluice")+"/.", conf)
			out, err := exec.Command(bwrap,
				"--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
				"--tmpfs", "/root", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var/lib", "--tmpfs", "/etc", "--tmpfs", "/opt",
				"--dir", "/var/lib/sluice", "--ro-bind", "/etc/passwd", "/etc/passwd", "--bind", conf, "/etc/sluice",
				"--ro-bind", filepath.Join(root, "usr/bin/sluice"), "/tmp/bin/sluice", "--ro-bind", file, "/tmp/page.sh",
				"--clearenv", "--setenv", "PATH", "/tmp/bin:/usr/bin:/bin", "--setenv", "HOME", "/root", "--chdir", "/root",
				"--unshare-pid", "--unshare-net", "--die-with-parent", "sh", "/tmp/page.sh").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// script is what a reader of the page types.
func (p *documentedPage) script(t *testing.T) string {
	page, err := os.ReadFile(filepath.Join("..", p.file))
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of commands", p.file)
	}
	var text strings.Builder
	used := map[string]bool{}
	for _, b := range blocks {
		for _, line := range commandLine.FindAllString(string(b[1]), -1) {
			skipped := false
			for part := range p.left {
				if strings.Contains(line, part) {
					used[part], skipped = true, true
				}
			}
			if !skipped {
				text.WriteString(answers.ReplaceAllString(line, "${1} || test $$? = 1${3}"))
			}
		}
	}
	for part, why := range p.left {
		if !used[part] {
			t.Errorf("%s has no line with %q, which is left out because %s", p.file, part, why)
		}
	}
	body := text.String()
	for i := 0; i < len(p.replaced); i += 2 {
		if !strings.Contains(body, p.replaced[i]) {
			t.Errorf("%s has no %q", p.file, p.replaced[i])
		}
		body = strings.ReplaceAll(body, p.replaced[i], p.replaced[i+1])
	}
	start := "set -eux\nserver=\n" + checkedCurl + "trap 'cat /tmp/log >&2; kill $server' EXIT\n"
	if p.server != "" {
		start += "mkdir -p /run/sluice\n" + p.server + "server=$!\n" + untilServed
	}
	for name, language := range p.files {
		block := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindSubmatch(page)
		if block == nil {
			t.Fatalf("%s has no block of %s", p.file, language)
		}
		start += "cat >" + name + " <<'END OF FILE'\n" + string(block[1]) + "END OF FILE\n"
	}
	return start + p.before + body + "trap - EXIT\nkill $server\nwait $server\n"
}
