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

	"github.com/seed47708276/sluice/cascade/finding"
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
	noticed  *Noticed // the last change since a reload that somebody asked for

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

type loadStats struct {
	at    time.Time
	took  time.Duration
	loads uint64
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
	e.build(sn, ed, before, start)
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

// load replaces the directory and the overrides by a source's. What a partial
// load does not have keeps its last good form.
func (sn *Snapshot) load(l SourceLoad, now time.Time) error {
	if l.Batch == nil {
		return nil
	}
	ed, base := sn.names.Edit(), tables.New(len(sn.schema.decls))
	switch {
	case l.Base != nil:
		var err error
		if base, err = base.Apply(l.Base, ed, now); err != nil {
			return err
		}
	case l.Partial:
		base = sn.tables
	}
	lastGoodOverrides(sn.schema, l.Batch, base, sn.names)
	t, err := base.Apply(l.Batch, ed, now)
	if err != nil {
		return err
	}
	sn.tables, sn.names, sn.revision = t, ed.Table(), l.Revision
	return nil
}

// lastGoodOverrides puts the override that is there in the place of one whose value does
// not fit its type.
func lastGoodOverrides(schema *Schema, b *Batch, base *tables.Tables, names *tables.Names) {
	for i := range b.Overrides {
		o := &b.Overrides[i]
		p, known := names.ID(o.Property)
		if !o.Unfit || !known {
			continue
		}
		sh, at := base.Find(o.Context, o.User, p)
		if at >= 0 && schema.CheckValue(o.Property, sh.Text(at)) == nil {
			*o = sh.Override(at, o.Property)
		}
	}
}

// build compiles the files into sn, which is not shared yet.
func (e *Engine) build(sn *Snapshot, ed *tables.NameEdit, before carry, start time.Time) {
	e.patterns()
	sn.tree = build(e.set, e.opt.Schema, ed, before, e.opt.Getenv)
	sn.tree = sn.tree.withReseller(sn)
	sn.names = ed.Table()
	sn.loaded = time.Now()
	sn.generation++
	e.addSource(sn)
	if v, ok := sn.Get(Subject{}, PropShrinkHold); ok {
		e.set.ShrinkHold, _ = v.Effective.(time.Duration)
		if h, ok := e.opt.Source.(interface{ setHold(time.Duration) }); ok {
			h.setHold(e.set.ShrinkHold)
		}
	}
	loads := uint64(1)
	if last := e.lastLoad.Load(); last != nil {
		loads += last.loads
	}
	e.lastLoad.Store(&loadStats{sn.loaded, sn.loaded.Sub(start), loads})
}

// spareNames is how many names nobody uses any more may be kept beside twice
// those in use, so that files whose keys always change do not fill the memory.
const spareNames = 1 << 16

// forgetNames drops the names that nothing uses any more, once there are many.
// Numbers of properties change; those of declared ones do not.
func (sn *Snapshot) forgetNames() {
	used := 0 // at least
	for p := range sn.tree.server {
		if sn.tree.server[p].file != 0 {
			used++
		}
	}
	if len(sn.names.List) <= spareNames+2*used || len(sn.names.List) <= spareNames+2*len(sn.AllNames()) {
		return
	}
	ed := tables.NewNames(sn.schema.names()).Edit()
	sn.tables = sn.tables.Renumber(sn.names, ed)
	if sn.platform != nil {
		next := *sn.platform
		next.tables = next.tables.Renumber(sn.names, ed)
		for _, r := range next.resellers {
			for name := range r.Config {
				ed.Add(name)
			}
		}
		sn.platform = &next
	}
	sn.names = ed.Table()
}

// addSource puts the report of the directory file beside those of the trees.
func (e *Engine) addSource(sn *Snapshot) {
	if e.opt.Source == nil {
		return
	}
	sn.source, sn.slips = e.source.Path, e.slips
	sn.tree.reports = append(sn.tree.reports, e.source)
	sn.tree.findings = append(sn.tree.findings, e.source.Errors...)
	finding.Sort(sn.tree.findings)
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

// reload returns when a file that has not settled is to be looked at again.
func (e *Engine) reload(force, accept bool) (ReloadResult, time.Duration) {
	e.load.Lock()
	defer e.load.Unlock()
	start := time.Now()
	changed, again := e.set.ScanAll(force, accept)
	var l SourceLoad
	if e.opt.Source != nil {
		l = e.opt.Source.Load(e.opt.Schema, force)
	}
	e.mu.Lock()
	old := e.cur.Load()
	sn := *old
	if e.opt.Source != nil {
		if err := sn.load(l, start); err != nil {
			l.Report.Errors = append(l.Report.Errors, finding.Finding{
				Path: l.Report.Path, Severity: finding.Error, Code: "bad-entry", Text: err.Error(),
			})
		} else {
			e.renameAll(&l)
		}
		e.source = l.Report
		if l.Batch != nil {
			e.slips = l.slips
		}
		changed = changed || l.Changed
		if l.Again > 0 && (again == 0 || l.Again < again) {
			again = l.Again
		}
	}
	if !changed {
		e.mu.Unlock()
		// What nobody asked for and changed nothing is nothing to tell.
		tell := e.log.Debug
		if force {
			tell = e.log.Info
		}
		tell("reload found nothing changed", "generation", old.generation, "files", len(old.tree.reports), "errors", len(errorsOf(old)), "took", time.Since(start))
		r := ReloadResult{Generation: old.generation, Changed: []Change{}, Errors: errorsOf(old), Held: old.Held()}.count(old)
		e.notice(&r, force, start)
		return r, again
	}
	sn.forgetNames()
	e.build(&sn, sn.names.Edit(), old.tree.carry, start)
	e.brake(old, &sn)
	r := ReloadResult{Changed: changes(old, &sn), Errors: errorsOf(&sn), Generation: sn.generation, Held: sn.Held()}.count(&sn)
	e.keepHold(sn.held)
	e.keepLastGood(&sn)
	e.publish(old, &sn)
	e.logReload(&r, old, &sn, time.Since(start))
	e.notice(&r, force, start)
	return r, again
}

// LastLoad tells when the state in force was read, how long that took, and how
// many times a change was read since the start.
func (e *Engine) LastLoad() (at time.Time, took time.Duration, loads uint64) {
	l := e.lastLoad.Load()
	return l.at, l.took, l.loads
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
