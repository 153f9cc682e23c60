package cascade

import (
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
)

type loadStats struct {
	at    time.Time
	took  time.Duration
	loads uint64
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

// build compiles the files into sn, which is not shared yet. from is the tree before
// with the same numbers of properties; nil: there is none.
func (e *Engine) build(sn *Snapshot, ed *tables.NameEdit, from *compiled, before carry, start time.Time) {
	b := newBuilder(e.set, e.opt.Schema, ed, before, e.opt.Getenv)
	if b.since(from) {
		e.opt.Schema.patterns.Store(e.hidden)
		sn.tree = b.again(e.set)
	} else {
		e.patterns()
		sn.tree = b.build(e.set)
	}
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
// Numbers of properties change then; those of declared ones do not.
func (sn *Snapshot) forgetNames() (anew bool) {
	used := sn.tree.server.used // at least
	if len(sn.names.List) <= spareNames+2*used || len(sn.names.List) <= spareNames+2*len(sn.AllNames()) {
		return false
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
	return true
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

// LastLoad tells when the state in force was read, how long that took, and how
// many times a change was read since the start.
func (e *Engine) LastLoad() (at time.Time, took time.Duration, loads uint64) {
	l := e.lastLoad.Load()
	return l.at, l.took, l.loads
}

// reload returns when a file that has not settled is to be looked at again.
func (e *Engine) reload(force, accept bool) (ReloadResult, time.Duration) {
	r, again, _ := e.reloadOf(nil, false, force, accept)
	return r, again
}

// reloadOf is reload where events named files, and with only nothing else. all tells
// that it looked at everything.
func (e *Engine) reloadOf(files []string, only, force, accept bool) (r ReloadResult, again time.Duration, all bool) {
	e.load.Lock()
	defer e.load.Unlock()
	start := time.Now()
	some, changed := false, false
	if only && !force && e.watchMode.Load().Mode == WatchInotify {
		changed, again, some = e.set.ScanSome(files)
	}
	if all = !some; all {
		changed, again = e.set.ScanAll(force, accept)
	}
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
		r = ReloadResult{Generation: old.generation, Changed: []Change{}, Errors: errorsOf(old), Held: old.Held()}.count(old)
		e.notice(&r, force, start)
		return r, again, all
	}
	from := old.tree
	if sn.forgetNames() {
		from = nil
	}
	e.build(&sn, sn.names.Edit(), from, old.tree.carry, start)
	e.brake(old, &sn)
	r = ReloadResult{Changed: changes(old, &sn), Errors: errorsOf(&sn), Generation: sn.generation, Held: sn.Held()}.count(&sn)
	e.keepHold(sn.held)
	e.keepLastGood(&sn)
	e.publish(old, &sn)
	e.logReload(&r, old, &sn, time.Since(start))
	e.notice(&r, force, start)
	return r, again, all
}
