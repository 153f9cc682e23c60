package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/remote/redistest"
)

// oldStores writes the store files of an earlier build into state folders.
func oldStores(t *testing.T, name string) (states map[string]string) {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "stores", name))
	if err != nil {
		t.Fatal(err)
	}
	states = make(map[string]string)
	for _, f := range a.Files {
		dir := t.TempDir()
		db, err := bbolt.Open(filepath.Join(dir, store.FileName), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			var b *bbolt.Bucket
			for _, line := range strings.Split(strings.TrimSpace(string(f.Data)), "\n") {
				pair, isPair := strings.CutPrefix(line, "\t")
				if !isPair {
					var err error
					if b, err = tx.CreateBucket([]byte(line)); err != nil {
						return err
					}
					continue
				}
				quoted, err := strconv.QuotedPrefix(pair)
				if err != nil {
					return err
				}
				key, err := strconv.Unquote(quoted)
				if err != nil {
					return err
				}
				value, err := strconv.Unquote(strings.TrimSpace(pair[len(quoted):]))
				if err != nil {
					return err
				}
				if err := b.Put([]byte(key), []byte(value)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		states[f.Name] = dir
	}
	return states
}

// What an earlier build's cluster has decided stays in force, whatever is
// configured; then one member's file is named the truth, and the others take it.
func TestStoreOldCluster(t *testing.T) {
	states := oldStores(t, "4d34bde.txtar")
	redis := redistest.Start(t)
	f := &fleet{t: t, redis: redis, lines: []string{store.PropKeeper + "="}}
	for _, name := range []string{"m0", "m1", "m2"} {
		m := &member{name: name, proxy: redistest.NewProxy(t, redis.Addr), process: &process{}}
		m.tree, m.state = newTree(t), states[name]
		f.members = append(f.members, m)
		f.launch(m)
	}
	f.meet()
	a, b, c := f.members[0], f.members[1], f.members[2]
	type answers map[int]bool // by user of context 1337: enabled
	cluster := answers{17: true, 19: false, 20: true, 30: true, 31: false}
	alone := answers{17: true, 19: false, 20: true, 30: false, 31: true}
	check := func(when string, want map[*member]answers) {
		t.Helper()
		for m, users := range want {
			for user, enabled := range users {
				if m.enabled(user) != enabled {
					t.Errorf("%s: user %d on %s is enabled: %v", when, user, m.name, !enabled)
				}
			}
			var e struct{ Enabled bool }
			if m.request("GET", "/admin/v1/contexts/1338/websockets", "", &e); e.Enabled {
				t.Errorf("%s: context 1338 on %s is enabled", when, m.name)
			}
			if n := m.audited(); n != 10 {
				t.Errorf("%s: %s has %d entries of the audit log", when, m.name, n)
			}
		}
	}
	for _, m := range f.members {
		m.poll("nothing is written", m.refuses(40, 409, "no_store"))
	}
	if code, out, _ := run("store", "--server", b.admin); code != 1 || !strings.Contains(out, store.PropKeeper) || !strings.Contains(out, store.PropDatabaseHosts) {
		t.Errorf("sluice store: %d %s", code, out)
	}
	before := map[*member]answers{a: cluster, b: cluster, c: alone}
	check("without a keeper", before)

	for _, m := range f.members {
		m.signal(syscall.SIGTERM)
		<-m.exited
	}
	f.lines = []string{store.PropKeeper + "=m0"}
	for _, m := range f.members {
		f.launch(m)
	}
	f.meet()
	b.poll("who holds the same follows", func() bool { return b.metric("sluice_store_ok") == "1" })
	c.poll("who holds something else does not", c.refuses(40, 409, "no_store"))
	check("with a keeper", before)

	code, out, errs := run("store", "adopt", "--server", a.admin)
	for _, want := range []string{"m2: the override of com.openexchange.websockets.enabled for user 30 in context 1337 is only there", "m2: the override of com.openexchange.websockets.enabled for user 31 in context 1337 is not there"} {
		if code != 1 || !strings.Contains(out, want) || strings.Contains(out, "m1:") {
			t.Errorf("store adopt: %d %s%s", code, out, errs)
		}
	}
	if code, out, errs := run("store", "adopt", "--yes", "--server", a.admin); code != 0 {
		t.Fatalf("store adopt --yes: %d %s%s", code, out, errs)
	}
	f.one()
	check("adopted", map[*member]answers{a: cluster, b: cluster, c: cluster})
	if kept, err := filepath.Glob(filepath.Join(c.state, store.FileName+".replaced-10-*")); err != nil || len(kept) != 1 {
		t.Errorf("what it had is not kept: %v %v", kept, err)
	} else if fi, err := os.Stat(kept[0]); err != nil || fi.Size() == 0 {
		t.Errorf("%v", err)
	}
	if code, problem := c.disable(41); code != 201 {
		t.Errorf("a write afterwards: %d %s", code, problem)
	}
}
