package cascade

import (
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
)

// Status is the state of the engine as the API shows it.
type Status struct {
	Status   string       `json:"status"` // ok, degraded or held
	Identity Identity     `json:"identity"`
	Watch    WatchMode    `json:"watch"`
	Loaded   time.Time    `json:"loaded"`
	Took     string       `json:"took"`
	LastGood string       `json:"lastGood,omitempty"` // why it could not be saved for the next start
	Held     *Hold        `json:"held,omitempty"`     // a change of files that the gate does not follow yet
	Pending  []Pending    `json:"pending"`            // what a restart would bring
	Brake    string       `json:"brake,omitempty"`    // why the last change of files could not be held
	Files    []FileReport `json:"files"`
	// Folders are the errors of roots and folders that cannot be read, or are empty
	// where they held files.
	Folders []finding.Finding `json:"folders,omitempty"`
}

// Status reports the state of everything that was read.
func (e *Engine) Status() Status {
	// No lock: the brake asks, under mu, a link that may be asking for this.
	problem := ""
	if p := e.brakeProblem.Load(); p != nil {
		problem = *p
	}
	sn, load := e.Snapshot(), e.lastLoad.Load()
	s := Status{
		Held: sn.Held(), Brake: problem, Pending: sn.Pending(),
		Status: "ok", Identity: sn.Identity(), Watch: *e.watchMode.Load(),
		Loaded: sn.loaded.UTC(), Took: load.took.String(), LastGood: e.lastGood.Trouble(), Files: sn.Files(),
		Folders: sn.folderErrors(),
	}
	if sn.Degraded() || s.Watch.Problem != "" || s.LastGood != "" || s.Brake != "" {
		s.Status = "degraded"
	}
	if s.Held != nil {
		s.Status = "held"
	}
	return s
}

// UnreadableFor names the files that another user than the caller could not read:
// root, who checks a tree, may read what the user of the service may not.
func (e *Engine) UnreadableFor(uid uint32) []finding.Finding {
	e.load.Lock()
	defer e.load.Unlock()
	return e.set.UnreadableFor(uid)
}

// folderErrors are those of roots and folders, which no file has.
func (sn *Snapshot) folderErrors() (list []finding.Finding) {
	for _, f := range sn.tree.findings {
		if f.Severity != finding.Error || f.Path == "" {
			continue
		}
		ofFile := false
		for i := range sn.tree.reports {
			ofFile = ofFile || sn.tree.reports[i].Path == f.Path
		}
		if !ofFile {
			list = append(list, f)
		}
	}
	return list
}
