package httpapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed47708276/sluice/cascade"
)

// generations are those that a log has, the newest first.
func generations(t *testing.T, l *reloadLog) (list []uint64) {
	t.Helper()
	for _, b := range l.newest() {
		var e configEvent
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Generation)
	}
	return list
}

func TestReloadLog(t *testing.T) {
	dir := t.TempDir()
	l, err := readReloads(dir)
	if err != nil || len(l.newest()) != 0 {
		t.Fatal(err)
	}
	for i := range uint64(reloadsKept + 3) {
		l.add(configEvent{Generation: i})
	}
	if g := generations(t, l); len(g) != reloadsKept || g[0] != reloadsKept+2 {
		t.Errorf("%v", g)
	}
	// Long values take the room of older changes, never that of the newest.
	long := strings.Repeat("x", reloadsBytes/3)
	for i := range uint64(4) {
		l.add(configEvent{Generation: 100 + i, Changed: []cascade.Change{{Property: "a", New: &long}}})
	}
	if g := generations(t, l); len(g) != 2 || g[0] != 103 {
		t.Errorf("%v", g)
	}
	if err := l.write(); err != nil {
		t.Fatal(err)
	}
	again, err := readReloads(dir)
	if err != nil || len(generations(t, again)) != 2 {
		t.Errorf("after a restart: %v %v", generations(t, again), err)
	}
	if err := os.WriteFile(filepath.Join(dir, reloadsFile), []byte(`[{"generation":"x"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = readReloads(dir); err == nil || len(again.newest()) != 0 || !strings.Contains(err.Error(), reloadsFile) {
		t.Errorf("a file of something else: %v", err)
	}
}
