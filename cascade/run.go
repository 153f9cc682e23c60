package cascade

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
)

// Run watches the roots and the source until ctx ends. Any event arms a quiet
// timer, after which everything is read again; a slow rescan finds what the
// kernel does not report. It also ends overrides when their time has come. It is
// called once.
func (e *Engine) Run(ctx context.Context) error {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { e.lastGood.Run(ctx) })
	helpers.Go(func() { e.expireOnTime(ctx) })
	helpers.Go(func() { e.people.SettleOnTime(ctx) })
	w := tree.NewWatcher(e.opt.Roots, &e.watchMode, e.log)
	defer w.Close()
	helpers.Go(func() {
		if err := w.WatchMounts(ctx); err != nil {
			e.log.Warn("mounts cannot be watched: what is mounted over a file or folder counts at the next rescan", "err", err)
		}
	})
	defer e.putBy(w.Whole)()
	kicks := w.Kicks
	w.Sync(e.watchDirs())
	// A change between Open and the first watch made no event.
	quiet := time.NewTimer(tree.QuietTime)
	every := e.rescanEvery()
	again, rescan := newStoppedTimer(), time.NewTimer(every)
	defer func() {
		for _, t := range []*time.Timer{quiet, again, rescan} {
			t.Stop()
		}
	}()
	var first time.Time
	load := func() {
		first = time.Time{}
		files, only := w.NextBurst()
		_, wait, all := e.reloadOf(files, only, false, false)
		// Without a look at all of them the folders are as they were, and the rescan
		// keeps its time.
		if all && w.Sync(e.watchDirs()) {
			// New folders may have changed before they were watched.
			wait = tree.QuietTime
		}
		if wait > 0 {
			again.Reset(wait)
		}
		if now := e.rescanEvery(); all || now != every {
			every = now
			rescan.Reset(every)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-kicks:
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			quiet.Reset(max(0, min(w.Quiet(), first.Add(tree.QuietMax).Sub(now))))
		case <-quiet.C:
			load()
		case <-again.C:
			load()
		case <-rescan.C:
			e.readAll()
			load()
		}
	}
}

func newStoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// maxExpirySleep bounds the wait for the next expiry, so that a clock that is
// set does not delay one for ever.
const maxExpirySleep = time.Minute

// expireOnTime ends overrides when their time has come, until ctx ends. An
// expiry is a swap, never a clock read in a look-up.
func (e *Engine) expireOnTime(ctx context.Context) {
	timer := newStoppedTimer()
	defer timer.Stop()
	for {
		at := time.UnixMilli(e.Snapshot().tables.NextExpiry)
		timer.Reset(max(0, min(time.Until(at), maxExpirySleep)))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			e.expire()
		case <-e.wake:
		}
	}
}

func (e *Engine) rescanEvery() time.Duration {
	v, _ := e.Snapshot().Get(Subject{}, PropRescan)
	every, _ := v.Effective.(time.Duration)
	e.load.Lock()
	defer e.load.Unlock()
	// A mount makes no event.
	if len(e.set.Findings) > 0 || e.watchMode.Load().Mode == WatchRescan {
		return min(every, tree.FallbackScan)
	}
	return every
}

// readAll has the next load read every file: a write through a mapping makes no
// event, and may leave the time stamps as they were.
func (e *Engine) readAll() {
	e.load.Lock()
	defer e.load.Unlock()
	e.set.ReadAll = true
}

// putBy has the trees and the source ask whole for files that were put into
// place, until done.
func (e *Engine) putBy(whole func(path string, links []string) bool) (done func()) {
	set := func(f func(string, []string) bool) {
		e.load.Lock()
		defer e.load.Unlock()
		e.set.Whole = f
		if d, ok := e.opt.Source.(*DirectoryFile); ok {
			d.set.Whole = f
		}
	}
	set(whole)
	return func() { set(nil) }
}

// watchDirs lists the folders to watch, and the paths of which only events
// that name them count.
func (e *Engine) watchDirs() (folders, names []string) {
	e.load.Lock()
	dirs, links, files := e.set.Watched()
	e.load.Unlock()
	paths := slices.Clone(e.opt.Roots)
	if e.opt.Source != nil {
		paths = append(paths, e.opt.Source.Paths()...)
	}
	return append(dirs, tree.MountedFiles(files)...), append(links, tree.WaysTo(paths)...)
}
