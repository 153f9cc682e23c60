package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/platform"
	"github.com/seed47708276/sluice/remote"
)

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) error {
	return s.answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// check is one line of the readiness.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning, degraded or held
	Detail string `json:"detail,omitempty"`
}

// readyz says whether to send requests here: files with errors are no reason
// not to, because their last good contents are in force.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	answer, checks := s.readiness()
	status := http.StatusOK
	switch s.state.Load() {
	case starting:
		status, answer = http.StatusServiceUnavailable, "starting"
	case draining:
		status, answer = http.StatusServiceUnavailable, "draining"
	}
	return s.answer(w, status, map[string]any{"status": answer, "checks": checks})
}

// StatusLine is the state of the server in one line, for a service manager:
// "12,345 sockets, degraded: files".
func (s *Server) StatusLine() string {
	n := s.Sockets.Count()
	line := thousands(n) + " socket" + plural(n)
	var bad []string
	_, checks := s.readiness()
	for _, c := range checks {
		if c.Status != "ok" && c.Status != "warning" {
			bad = append(bad, c.Name)
		}
	}
	if i := slices.Index(bad, "files"); i >= 0 {
		if n := badFiles(s.Engine.Status().Files); n > 0 {
			bad[i] = fmt.Sprintf("%d file%s", n, plural(int64(n)))
		}
	}
	if len(bad) > 0 {
		line += ", degraded: " + strings.Join(bad, ", ")
	}
	return line
}

// readiness is what /readyz says of a server that neither starts nor drains.
func (s *Server) readiness() (answer string, checks []check) {
	st := s.Engine.Status()
	checks = []check{s.filesCheck(st.Files, st.Folders), {Name: "watch", Status: "ok", Detail: st.Watch.Mode}, {Name: "lastGood", Status: "ok"}}
	if st.Watch.Problem != "" {
		checks[1].Status, checks[1].Detail = "degraded", st.Watch.Problem
	}
	if st.LastGood != "" {
		checks[2].Status, checks[2].Detail = "degraded", st.LastGood
	}
	if h := st.Held; h != nil {
		checks = append(checks, check{"gate", "held", fmt.Sprintf("change %s is held: it would close %s, and awaits `sluice reload --confirm %s`, or the files saved back", h.Digest, cascade.Closes(h.Sockets, h.Users), h.Digest)})
	} else if st.Brake != "" {
		checks = append(checks, check{"gate", "degraded", st.Brake})
	}
	answer = "ready"
	if st.Status != "ok" {
		answer = "degraded"
	}
	if s.Cluster != nil {
		members, status := s.Cluster.Members()
		c := check{"cluster", status, fmt.Sprintf("%d members", len(members))}
		if status != "ok" {
			c.Detail = s.Cluster.Problem() + "; sockets here are served"
			answer = "degraded"
		}
		checks = append(checks, c)
	}
	if p := s.evicts(); p != "" {
		checks, answer = append(checks, check{"redis", "degraded", remote.EvictionText(p)}), "degraded"
	}
	if s.RedisWarning != "" {
		checks = append(checks, check{"redisTLS", "warning", s.RedisWarning})
	}
	if s.Platform != nil {
		c := check{Name: "platform", Status: "ok"}
		if st := s.Platform.Status(); st.Status != platform.OK {
			c.Status, c.Detail, answer = "degraded", st.Text(), "degraded"
		} else if len(st.Problems) > 0 {
			c.Status, c.Detail = "warning", st.Text() // a row of one user is no reason to leave a member out
		}
		checks = append(checks, c)
	}
	if c, ok := s.registrar.check(); ok {
		checks = append(checks, c)
	}
	if c := s.storeCheck(); c.Status != "ok" {
		checks, answer = append(checks, c), "degraded"
	} else {
		checks = append(checks, c)
	}
	return answer, checks
}

// storeCheck tells whether decisions can be stored; those made count in any case.
func (s *Server) storeCheck() check {
	c := check{"store", "ok", s.Store.Head().String()}
	if err := s.Store.Standing(); err != nil {
		c.Status, c.Detail = "degraded", err.Error()
	}
	return c
}

// thousands writes a number as people read it: 12,345.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int64) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func badFiles(files []cascade.FileReport) int {
	bad := 0
	for _, f := range files {
		if f.Status == cascade.FileFailed || finding.HasErrors(f.Errors) {
			bad++
		}
	}
	return bad
}

// waitingFiles counts those whose change does not count yet.
func waitingFiles(files []cascade.FileReport) int {
	n := 0
	for _, f := range files {
		if f.Status == cascade.FileHeld || f.Status == cascade.FileMissing {
			n++
		}
	}
	return n
}

// folderTrouble says which roots and folders cannot be read, or are empty where
// they held files.
func folderTrouble(list []finding.Finding) string {
	if len(list) == 0 {
		return ""
	}
	text := list[0].Path + ": " + list[0].Text
	if more := len(list) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more: GET /admin/v1/config lists them)", more)
	}
	return text
}

func (s *Server) filesCheck(files []cascade.FileReport, folders []finding.Finding) check {
	if trouble := folderTrouble(folders); trouble != "" {
		return check{"files", "degraded", trouble}
	}
	if bad := badFiles(files); bad > 0 {
		last := 0
		for _, f := range files {
			if f.Status == cascade.FileFailed && f.Digest != "" {
				last++
			}
		}
		text := fmt.Sprintf("%d of %d files have errors: GET /admin/v1/config lists them", bad, len(files))
		if last > 0 {
			text += fmt.Sprintf("; the last good contents of %d are in force", last)
		}
		return check{"files", "degraded", text}
	}
	// Of a root that cannot be read no file has the finding.
	for _, f := range s.Engine.Snapshot().Findings() {
		if f.Severity == finding.Error {
			return check{"files", "degraded", f.String()}
		}
	}
	if n := waitingFiles(files); n > 0 {
		return check{"files", "warning", fmt.Sprintf("%d of %d files look half-written or gone, and wait: their last contents are in force until then, or until `sluice reload`", n, len(files))}
	}
	return check{"files", "ok", fmt.Sprintf("%d files", len(files))}
}

// serverStatus is what a member tells of itself: its configuration, and what
// its process holds beside.
type serverStatus struct {
	cascade.Status
	Member    string    `json:"member"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Directory string    `json:"directory"` // where contexts and users are: "store", or "file"
	Sessions  *int      `json:"sessions"`  // held by this process; null: they are elsewhere
	Sockets   int64     `json:"sockets"`   // open here
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) error {
	out := serverStatus{
		Status: s.Engine.Status(), Member: s.Member, Version: s.Version, Started: s.started,
		Directory: "store", Sockets: s.Sockets.Count(),
	}
	if s.Fixed {
		out.Directory = "file"
	}
	if held, ok := s.Sessions.(interface{ Len() int }); ok {
		n := held.Len()
		out.Sessions = &n
	}
	return s.answer(w, http.StatusOK, out)
}

// sourceLines answers with the lines of files that findings are about, or with
// the one that ?file= and ?line= name.
func (s *Server) sourceLines(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "file", "line")
	if err != nil {
		return err
	}
	sn := s.Engine.Snapshot()
	if len(query) == 0 {
		return s.answer(w, http.StatusOK, map[string]any{"lines": sn.SourceLines(s.Roots)})
	}
	file := query.Get("file")
	line, err := strconv.Atoi(query.Get("line"))
	if err != nil || line < 1 || file == "" {
		return fail(http.StatusBadRequest, "bad_query", "file and line go together: a file as GET /admin/v1/config lists it, and a number from 1")
	}
	list := []cascade.SourceLine{}
	if slices.ContainsFunc(s.Engine.Status().Files, func(f cascade.FileReport) bool { return f.Path == file }) {
		if l, ok := sn.SourceLineAt(s.Roots, file, line); ok {
			list = append(list, l)
		}
	}
	return s.answer(w, http.StatusOK, map[string]any{"lines": list})
}

// reload reads the trees now, those of all members where the query says so; 422
// says that a file did not load, or a folder could not be read.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r)
	if err != nil {
		return err
	}
	for key, values := range query {
		switch {
		case key != "cluster" && key != "accept":
			return fail(http.StatusBadRequest, "bad_query", "the parameter %.100q is not known (cluster, accept)", key)
		case len(values) != 1 || values[0] != "true" && values[0] != "false":
			return fail(http.StatusBadRequest, "bad_query", "%s is true or false", key)
		}
	}
	if err := needsNoBody(w, r); err != nil {
		return err
	}
	accept := query.Get("accept") == "true"
	if query.Get("cluster") == "true" {
		return s.reloadAll(w, r, accept)
	}
	s.Logger.Info("reload asked for", "actor", Actor(r.Context()), "cluster", false)
	own, err := s.reloadOwn(r.Context(), accept)
	if err != nil {
		return err
	}
	return s.answer(w, statusOf(own.Status), own.ReloadResult)
}

// needsNoBody is for a write that says all by its path: a body, or a type, is
// that of every write.
func needsNoBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
		if _, err := mediaType(r, jsonType); err != nil {
			return err
		}
	}
	b, err := readBody(w, r)
	if err != nil || len(b) == 0 {
		return err
	}
	return decode(b, &struct{}{})
}
