package remote

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// snapshot reads a tree of one file.
func snapshot(t *testing.T, properties string) *cascade.Snapshot {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "redis.properties"), []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	schema, err := cascade.NewSchema(Prefixes, Properties)
	if err != nil {
		t.Fatal(err)
	}
	e, err := cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema, TolerateBadFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	return e.Snapshot()
}

// TestRedisOptions holds the effective options of go-redis, its own defaults
// included, to the golden cases: testdata/redis/*.txtar have redis.properties
// and the options, or the error, in want.
func TestRedisOptions(t *testing.T) {
	cases, err := filepath.Glob("testdata/redis/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			if err != nil || len(ar.Files) != 2 || ar.Files[0].Name != "redis.properties" || ar.Files[1].Name != "want" {
				t.Fatalf("%v: a case has redis.properties and want", err)
			}
			got := effective(t, string(ar.Files[0].Data))
			if *update {
				ar.Files[1].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(ar), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(ar.Files[1].Data); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func effective(t *testing.T, properties string) string {
	r, enabled, err := ReadRedis(snapshot(t, properties))
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	if !enabled {
		return "disabled\n"
	}
	c, err := NewClient(r)
	if err != nil {
		t.Fatalf("ReadRedis has let through what NewClient refuses: %v", err)
	}
	defer c.Close()
	switch c := c.(type) {
	case *redis.Client:
		return options(c.Options())
	case *redis.ClusterClient:
		return options(c.Options())
	default:
		t.Fatalf("a client of type %T", c)
		return ""
	}
}

// options are the fields of go-redis's options that are not zero.
func options(o any) string {
	v := reflect.ValueOf(o).Elem()
	lines := []string{v.Type().String()}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		x := v.Field(i)
		if !f.IsExported() || x.IsZero() {
			continue
		}
		switch x.Kind() {
		case reflect.Func, reflect.Interface:
			lines = append(lines, f.Name+": set")
		case reflect.Pointer:
			lines = append(lines, fmt.Sprintf("%s.Mode: %v", f.Name, x.Elem().FieldByName("Mode")))
		default:
			lines = append(lines, fmt.Sprintf("%s: %v", f.Name, x))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestRedisAddresses(t *testing.T) {
	for _, c := range []struct {
		mode, host, want string // want "": an error
	}{
		{Standalone, "redis", "redis:6379"},
		{Standalone, "redis:1", "redis:1"},
		{Sentinel, "redis", "redis:26379"},
		{Sentinel, "redis:6379", "redis:6379"},
		{Cluster, "10.0.0.1", "10.0.0.1:6379"},
		{Standalone, "::1", "[::1]:6379"},
		{Standalone, "[::1]", "[::1]:6379"},
		{Standalone, "[::1]:7000", "[::1]:7000"},
		{Standalone, "redis:", ""},
		{Standalone, "redis:0", ""},
		{Standalone, "redis:65536", ""},
		{Standalone, "redis:port", ""},
		{Standalone, ":6379", ""},
		{Standalone, "", ""},
	} {
		r := Redis{Mode: c.mode, Hosts: []string{c.host}}
		got, err := r.addresses()
		if (err != nil) != (c.want == "") || err == nil && !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s %q: %v (%v), want %s", c.mode, c.host, got, err, c.want)
		}
	}
}

// ping makes a client as the product does and asks it.
func ping(t *testing.T, properties string) error {
	t.Helper()
	r, enabled, err := ReadRedis(snapshot(t, properties))
	if err != nil || !enabled {
		t.Fatalf("enabled %v: %v", enabled, err)
	}
	c, err := NewClient(r)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Set(ctx, "{k}1", "v", 0).Err(); err != nil {
		return err
	}
	v, err := c.Get(ctx, "{k}1").Result()
	if err == nil && v != "v" {
		t.Errorf("read %q", v)
	}
	return err
}

// Each mode against a real server of its kind.
func TestRedisModes(t *testing.T) {
	plain := redistest.Start(t)
	secured := redistest.Start(t, "--requirepass", "s3cret")
	sentinel := redistest.StartSentinel(t, plain)
	cluster := redistest.StartCluster(t)
	hosts := func(s *redistest.Server, more ...string) string {
		return redisPrefix + "hosts=" + s.Addr + "\n" + redisPrefix + strings.Join(more, "\n"+redisPrefix) + "\n"
	}
	for name, c := range map[string]struct {
		properties string
		fails      string // "": it works
	}{
		"standalone":            {hosts(plain, "mode=standalone"), ""},
		"database 3":            {hosts(plain, "database=3"), ""},
		"database 99":           {hosts(plain, "database=99"), "ERR"},
		"password":              {hosts(secured, "password=s3cret"), ""},
		"user and password":     {hosts(secured, "username=default", "password=s3cret"), ""},
		"wrong password":        {hosts(secured, "password=wrong"), "WRONGPASS"},
		"no password":           {hosts(secured, "mode=standalone"), "NOAUTH"},
		"sentinel":              {hosts(sentinel, "mode=SENTINEL"), ""},
		"sentinel, another":     {hosts(sentinel, "mode=sentinel", "sentinel.masterId=other"), "sentinels"},
		"cluster":               {hosts(cluster, "mode=cluster"), ""},
		"cluster as standalone": {hosts(cluster, "mode=standalone"), ""},
		"standalone as cluster": {hosts(plain, "mode=cluster", "commandTimeoutMillis=500"), "cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ping(t, c.properties)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

// TLS takes any certificate unless it is told to look, as the existing system
// does, and then refuses one that nobody vouches for.
func TestRedisTLS(t *testing.T) {
	cert, key, _ := testkit.Certificate(t)
	plain := redistest.Start(t)
	host, _, err := net.SplitHostPort(plain.Addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	secure := redisPrefix + "hosts=" + net.JoinHostPort(host, port) + "\n" + redisPrefix + "ssl=true\n"
	if err := ping(t, secure); err != nil {
		t.Errorf("without verifyPeer: %v", err)
	}
	if err := ping(t, secure+redisPrefix+"verifyPeer=true\n"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with verifyPeer: %v", err)
	}
	checked := secure + redisPrefix + "verifyPeer=true\n"
	if err := ping(t, checked+PropCA+"="+cert+"\n"); err != nil {
		t.Errorf("with the authority of its certificate: %v", err)
	}
	other, _, _ := testkit.Certificate(t)
	if err := ping(t, checked+PropCA+"="+other+"\n"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with another authority: %v", err)
	}
	for tree, want := range map[string]string{
		secure: "verifyPeer=true, and " + PropCA, secure + PropCA + "=" + cert + "\n": "has no effect", checked: "", redisPrefix + "hosts=a\n": "",
	} {
		r, _, err := ReadRedis(snapshot(t, tree))
		if got := r.Warning(); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %v, warning %q, want %q", tree, err, got, want)
		}
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none.pem"), key, t.TempDir(), "/dev/zero"} {
		r, _, err := ReadRedis(snapshot(t, checked+PropCA+"="+bad+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewClient(r); err == nil || !strings.Contains(err.Error(), PropCA) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := ping(t, redisPrefix+"hosts="+plain.Addr+"\n"+redisPrefix+"ssl=true\n"); err == nil {
		t.Error("TLS is spoken with a server that has none")
	}
	if err := ping(t, redisPrefix+"hosts="+net.JoinHostPort(host, port)+"\n"+redisPrefix+"commandTimeoutMillis=300\n"); err == nil {
		t.Error("a server with TLS is spoken to without")
	}
}

// A context ends its command although the server says nothing.
func TestRedisContext(t *testing.T) {
	s := redistest.Start(t)
	c, err := NewClient(Redis{Mode: Standalone, Hosts: []string{s.Addr}, CommandTimeout: time.Minute, ConnectTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Ping(ctx).Err() }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a paused server answers")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command goes on after its context")
	}
}

// Of a burst of lines one is written, and the next says how many were not.
func TestRedisLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &redisLogger{log: slog.New(slog.NewTextHandler(&out, nil))}
		for i := range 100 {
			l.Printf(t.Context(), "line %d", i)
		}
		time.Sleep(redisLogInterval)
		l.Printf(t.Context(), "%s", "last")
		text := out.String()
		if strings.Count(text, "\n") != 2 || !strings.Contains(text, `text="line 0" suppressed=0`) || !strings.Contains(text, "text=last suppressed=99") {
			t.Errorf("logged:\n%s", text)
		}
	})
}
