package cascade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/cascade/tables"
	"github.com/seed47708276/sluice/cascade/tree"
)

// Options say what an engine reads. Roots and Schema are required.
type Options struct {
	Roots  []string // --etc, later roots win
	Schema *Schema
	Source Source // directory and overrides; nil: empty, filled through Apply
	// Standby: another process has the state folder, which is written when Run
	// begins.
	Standby bool
	// State is the folder that keeps the last good tree for the next start;
	// "" keeps none.
	State string
	// TolerateBadFiles starts although a file that never was good is bad.
	TolerateBadFiles bool
	Logger           *slog.Logger                // nil: discard
	Getenv           func(string) (string, bool) // for tokens; nil: os.LookupEnv
	// Gate is the declared boolean that decides who is served; "": nothing is
	// ever held (see SetBrake).
	Gate string
	// Ready is asked before anything is written to the state folder; an error
	// ends Open. nil: it is not asked.
	Ready func(*Snapshot) error
	// Flags are the properties that the command line sets, by name: what files say
	// of them does not count.
	Flags map[string]Flag
}

// Flag is a value that the command line sets.
type Flag struct {
	Name  string // as it is written: --public
	Value any    // typed as the property is: string or int64
}

// Engine holds the current snapshot and replaces it when anything changes.
// Open reads everything once; Run watches.
type Engine struct {
	opt   Options
	log   *slog.Logger
	named []string // the roots as they were given
	cur   atomic.Pointer[Snapshot]
	wake  chan struct{} // tells Run that a timer may have to change

	// load is held for a whole reload, reading included; it is taken before mu.
	load     sync.Mutex
	set      *tree.Set
	source   FileReport
	slips    map[Key]slip // of the source
	lastGood *tree.LastGood
	hidden   *[]string // the patterns of secrets: see patterns
	noticed  *Noticed  // the last change since a reload that somebody asked for

	directory *tree.File // of a DirectoryFile, for kept

	people people.Index // of the directory; written under mu

	mu     sync.Mutex // one change of the snapshot at a time; never held over I/O
	writes uint64
	memo   tables.Memo // of the last snapshot that was made

	count        func(now, then *Snapshot) (Closing, error) // see SetBrake
	confirmed    map[string]time.Time                       // digest of a change -> until when it counts as confirmed
	holds        atomic.Uint64                              // changes that were held
	brakeProblem atomic.Pointer[string]                     // why the last change was not held; nil or "": it could be

	notify      sync.Mutex // taken before mu is given back, so that subscribers see swaps in order
	listen      sync.Mutex // guards subscribers; a subscriber may take it, never held over its call
	subscribers []*subscriber
	panics      atomic.Uint64

	watchMode atomic.Pointer[WatchMode]
	lastLoad  atomic.Pointer[loadStats]
}

// ErrReadOnly is returned by Apply where the directory comes from a Source.
var ErrReadOnly = errors.New("the directory is read from a file: change it there")

// Open reads the roots and the source, and returns an engine that serves them.
// It fails where a root or the schema is missing, and with a *BadFilesError.
// The engine has no goroutine of its own: until Run is called files are read
// again by Reload alone, and overrides that have an end stay beyond it.
func Open(opt Options) (*Engine, error) {
	if len(opt.Roots) == 0 {
		return nil, errors.New("no root: name a folder with --etc")
	}
	if opt.Schema == nil {
		return nil, errors.New("no schema: set Options.Schema, made by NewSchema")
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Getenv == nil {
		opt.Getenv = os.LookupEnv
	}
	named := opt.Roots
	opt.Roots = slices.Clone(opt.Roots)
	for i, r := range opt.Roots {
		abs, err := filepath.Abs(r)
		if err != nil {
			return nil, err
		}
		opt.Roots[i] = abs
	}
	e := &Engine{opt: opt, named: named, log: opt.Logger, set: tree.NewSet(opt.Roots), wake: make(chan struct{}, 1)}
	e.watchMode.Store(&WatchMode{Mode: WatchOff})
	e.lastGood = tree.OpenLastGood(opt.State, opt.Logger)

	if err := e.checkRoots(); err != nil {
		return nil, err
	}
	start := time.Now()
	e.set.Scan(true)
	e.lastGood.Restore(e.set)
	e.lastGood.RestoreFolders(e.set)
	if err := rootsReadable(e.set); err != nil {
		return nil, err
	}
	var badSource []BadFile
	names, t := tables.NewNames(opt.Schema.names()), tables.New(len(opt.Schema.decls))
	sn := &Snapshot{schema: opt.Schema, names: names, tables: t, revision: "0"}
	if opt.Source != nil {
		if d, ok := opt.Source.(*DirectoryFile); ok {
			e.directory = d.restoreFrom(e.lastGood)
		}
		l := opt.Source.Load(opt.Schema, true)
		e.source, e.slips = l.Report, l.slips
		if l.Batch == nil {
			badSource = append(badSource, BadFile{l.Report.Errors, "no context, user or override is known"})
		}
		if err := sn.load(l, time.Now()); err != nil {
			return nil, err
		}
		e.renameAll(&l)
	}
	ed := sn.names.Edit()
	before := lastGoodCarry(e.lastGood, e.set, opt.Schema, ed, opt.Getenv)
	e.build(sn, ed, nil, before, start)
	if bad := append(e.badFiles(sn), badSource...); len(bad) > 0 && !opt.TolerateBadFiles {
		return nil, &BadFilesError{bad}
	}
	if opt.Ready != nil {
		if err := opt.Ready(sn); err != nil {
			return nil, err
		}
	}
	sn.memo, sn.started, sn.flags = e.nextMemo(sn), sn.startValues(), opt.Flags
	e.restoreHold(sn)
	e.logStart(sn)
	e.cur.Store(sn)
	e.keepLastGood(sn)
	if !opt.Standby {
		e.lastGood.Write()
	}
	return e, nil
}

// rootsReadable refuses roots that cannot be read and of which nothing is kept.
func rootsReadable(fs *tree.Set) error {
	for _, f := range fs.Unreadable {
		if f.Dir != "" || fs.HasLastGood(f) {
			continue
		}
		for _, x := range fs.Findings {
			if x.Code == "root" && x.Path == filepath.ToSlash(fs.Roots[f.Root]) {
				return fmt.Errorf("%s: %s", x.Path, x.Text)
			}
		}
	}
	return nil
}

// Snapshot returns the current state.
func (e *Engine) Snapshot() *Snapshot { return e.cur.Load() }

// Schema returns the declarations that the engine serves.
func (e *Engine) Schema() *Schema { return e.opt.Schema }

// Apply changes the directory and the overrides: all of the batch, or nothing
// and an error. It is visible to every look-up when Apply returns.
func (e *Engine) Apply(b Batch) error {
	if e.opt.Source != nil {
		return ErrReadOnly
	}
	e.mu.Lock()
	old := e.cur.Load()
	ed, base := old.names.Edit(), old.tables
	if b.Reset {
		base = tables.New(len(e.opt.Schema.decls))
	}
	t, err := base.Apply(&b, ed, time.Now())
	if err != nil {
		e.mu.Unlock()
		return err
	}
	e.rename(&b)
	sn := *old
	e.writes++
	if sn.tables, sn.names, sn.revision = t, ed.Table(), b.Revision; b.Revision == "" {
		sn.revision = strconv.FormatUint(e.writes, 10)
	}
	sn.generation++
	sn.held = old.held.follow(e, &sn)
	e.publish(old, &sn)
	return nil
}

// publish makes a snapshot the current one and tells the subscribers. The caller
// holds mu, which publish gives back.
func (e *Engine) publish(old, sn *Snapshot) {
	if sn.memo == old.memo {
		sn.memo = e.nextMemo(sn)
	}
	e.cur.Store(sn)
	e.notify.Lock()
	e.mu.Unlock()
	defer e.notify.Unlock()
	e.tell(old, sn)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// expire drops what has expired and returns when the next override will.
func (e *Engine) expire() {
	e.mu.Lock()
	old := e.cur.Load()
	t, err := old.tables.Expire(time.Now())
	if err != nil {
		e.mu.Unlock()
		return
	}
	sn := *old
	sn.tables = t
	sn.generation++
	sn.held = old.held.follow(e, &sn)
	e.publish(old, &sn)
}

// Reload reads everything again, now: what somebody asked for waits for no
// hold. It is the one way for a file event, a signal, the API and the command
// line.
func (e *Engine) Reload(ctx context.Context) (ReloadResult, error) {
	if err := ctx.Err(); err != nil {
		return ReloadResult{}, err
	}
	r, _ := e.reload(true, false)
	return r, nil
}

// Accept is Reload, and takes folders that held files and are empty or missing
// as they are.
func (e *Engine) Accept(ctx context.Context) (ReloadResult, error) {
	if err := ctx.Err(); err != nil {
		return ReloadResult{}, err
	}
	r, _ := e.reload(true, true)
	return r, nil
}

// Identity names a state: Files and Overrides are comparable across members,
// Generation counts the swaps of this one.
type Identity struct {
	Files      string `json:"files"`
	Overrides  string `json:"overrides"`
	Generation uint64 `json:"generation"`
}

// Identity names the snapshot.
func (sn *Snapshot) Identity() Identity {
	return Identity{sn.Digest(), sn.Revision(), sn.generation}
}
