package follow

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A folder that another one replaces is watched once it is looked for again.
func TestFolderReplaced(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "tls")
	files := []string{filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	must(os.Mkdir(dir, 0o755))
	watcher, err := fsnotify.NewWatcher()
	must(err)
	defer watcher.Close()
	must(watchFolders(watcher, files))
	must(os.Rename(dir, dir+".old"))
	if err := watchFolders(watcher, files); err == nil {
		t.Error("a folder that is not there is watched")
	}
	must(os.Mkdir(dir, 0o755))
	must(watchFolders(watcher, files))
	for _, f := range files {
		must(os.WriteFile(f, []byte("x"), 0o600))
	}
	for deadline := time.After(time.Minute); ; {
		select {
		case e := <-watcher.Events:
			if e.Name == files[1] {
				return
			}
		case <-deadline:
			t.Fatal("nothing is heard of the new folder")
		}
	}
}
