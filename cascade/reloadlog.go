package cascade

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

const (
	// maxLogged bounds the findings, files and properties that one reload logs:
	// the rest is counted, and the status and `sluice diff` have it.
	maxLogged = 20
	// maxLoggedValue bounds a value in the log, in bytes.
	maxLoggedValue = 200
)

func (e *Engine) logReload(r *ReloadResult, old, sn *Snapshot, took time.Duration) {
	files := changedFiles(old, sn)
	e.log.Info("configuration reloaded", "generation", r.Generation, "digest", sn.Digest()[:12],
		"files", shortened(files), "changed", len(r.Changed), "errors", len(r.Errors), "took", took)
	for i, c := range r.Changed {
		if i == maxLogged {
			e.log.Info("more properties changed than are logged", "changed", len(r.Changed)-i)
			break
		}
		e.log.Info("property changed", "property", c.Property, "old", loggedValue(c.Old), "new", loggedValue(c.New), "result", c.Result, "because", c.Because)
	}
	e.logErrors(r.Errors)
	e.logUnused(slices.DeleteFunc(slices.Clone(sn.tree.unused), func(u unusedFile) bool {
		return slices.ContainsFunc(old.tree.unused, func(o unusedFile) bool { return o.path == u.path && o.why == u.why })
	}))
}

func (e *Engine) logErrors(list []finding.Finding) {
	for i, f := range list {
		if i == maxLogged {
			e.log.Error("more errors than are logged", "errors", len(list)-i)
			break
		}
		e.log.Error("configuration error", "file", f.Path, "line", f.Line, "col", f.Col, "code", f.Code, "err", f.Text)
	}
}

// logStart names what a start found wrong: its errors, and the files of which
// the last good contents are in force.
func (e *Engine) logStart(sn *Snapshot) {
	e.logErrors(errorsOf(sn))
	e.logUnused(sn.tree.unused)
}

// logUnused names files of which the last good contents are in force.
func (e *Engine) logUnused(list []unusedFile) {
	for i, u := range list {
		if i == maxLogged {
			e.log.Warn("more files are not used as they are now than are logged", "files", len(list)-i)
			break
		}
		e.log.Warn("file is not used as it is now: its last good contents are in force", "file", u.path, "err", u.why)
	}
}

func loggedValue(v *string) string {
	switch {
	case v == nil:
		return "not defined"
	case len(*v) > maxLoggedValue:
		return strings.ToValidUTF8((*v)[:maxLoggedValue], "") + "..."
	}
	return *v
}

// changedFiles are the paths of what another load has found: those that are new
// with a plus, those that are gone with a minus, those with another state with
// it.
func changedFiles(old, sn *Snapshot) []string {
	list := []string{}
	before := make(map[string]*FileReport, len(old.tree.reports))
	for i := range old.tree.reports {
		before[old.tree.reports[i].Path] = &old.tree.reports[i]
	}
	for i := range sn.tree.reports {
		r := &sn.tree.reports[i]
		was := before[r.Path]
		delete(before, r.Path)
		switch {
		case was == nil:
			list = append(list, "+"+r.Path)
		case was.Status != r.Status:
			list = append(list, r.Path+" ("+r.Status+")")
		case was.Digest != r.Digest || !slices.Equal(was.Errors, r.Errors):
			list = append(list, r.Path)
		}
	}
	for path := range before {
		list = append(list, "-"+path)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Compare(strings.TrimLeft(a, "+-"), strings.TrimLeft(b, "+-")) })
	return list
}

// shortened is a list of at most maxLogged texts, the rest counted.
func shortened(list []string) []string {
	if len(list) <= maxLogged {
		return list
	}
	return append(slices.Clone(list[:maxLogged]), "and "+strconv.Itoa(len(list)-maxLogged)+" more")
}
