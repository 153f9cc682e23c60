package cli_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// However many descriptors clients take, the files can be read again, and who
// has a socket keeps it.
func TestFewDescriptors(t *testing.T) {
	for _, limit := range []int{64, 400} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) { fewDescriptors(t, limit) })
	}
}

func fewDescriptors(t *testing.T, limit int) {
	tree, state := newTree(t), t.TempDir()
	wrapper := filepath.Join(t.TempDir(), "sluice")
	put(t, filepath.Dir(wrapper), "sluice", fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", limit, binary(t)))
	if err := os.Chmod(wrapper, 0o755); err != nil {
		t.Fatal(err)
	}
	p := startCommand(t, exec.Command(wrapper, serveArgs(tree, state)...), tree, state)
	p.serving()
	witness := p.dial(p.login(17), "witness")

	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range limit + 200 {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.public, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	put(t, tree, "own.properties", plainKey+"=read\n")
	p.signal(syscall.SIGHUP)
	p.poll("the file was read", func() bool { return strings.Contains(p.log(), "configuration reloaded") })
	for _, c := range conns {
		_ = c.Close()
	}
	p.poll("the value is in force", func() bool { return p.value(plainKey) == "read" })
	if code := p.request("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n"}`, nil); code != http.StatusOK {
		t.Errorf("message: %d", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, data, err := witness.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(data) == `42["n"]` {
			break
		}
	}
	p.poll("the refusals are counted", func() bool {
		refused := p.metric("sluice_http_connections_refused_total")
		return refused != "0" && refused != ""
	})
	if strings.Contains(p.log(), "too many open files") {
		t.Errorf("descriptors ran out:\n%s", p.log())
	}
}
