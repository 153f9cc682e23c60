// Package follow tells when files change that are read again then: certificates and
// tokens.
package follow

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quietTime is how long files must be left alone before they are read:
	// whoever renews a certificate writes two.
	quietTime = 200 * time.Millisecond
	// rescanEvery finds what no event tells.
	rescanEvery = 30 * time.Second
)

// Files calls read when something has happened to the files, until ctx
// ends. Their folders are watched, because files are replaced: by renaming, or
// as Kubernetes does by a link beside them. Where that is not possible they are
// looked at now and then.
func Files(ctx context.Context, log *slog.Logger, read func(), files ...string) {
	var events chan fsnotify.Event
	var errs chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
		err = watchFolders(watcher, files)
	}
	if err != nil {
		log.Warn("a folder cannot be watched: its files are read again at an interval", "files", files, "every", rescanEvery, "err", err)
	}
	// What happened between the first read and the watch made no event.
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	rescan := time.NewTicker(rescanEvery)
	defer rescan.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			quiet.Reset(quietTime)
		case err := <-errs:
			log.Warn("watching files", "files", files, "err", err)
			quiet.Reset(quietTime)
		case <-quiet.C:
			read()
		case <-rescan.C:
			if watcher != nil {
				_ = watchFolders(watcher, files) // until that helps, this is how they are followed
			}
			read()
		}
	}
}

// watchFolders has the folders of the files reported. Again, it finds one that
// has taken the place of another, of which nothing is heard any more.
func watchFolders(w *fsnotify.Watcher, files []string) (err error) {
	for _, f := range files {
		err = errors.Join(err, w.Add(filepath.Dir(f)))
	}
	return err
}
