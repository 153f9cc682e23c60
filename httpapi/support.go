package httpapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
)

// supportReadme says what an archive is, in it.
const supportReadme = `What the member %s of Sluice %s knew of itself at %s.

build.json        the binary, and the limits that it runs with
readyz.json       the checks of readiness
status.json       configuration: files, their errors, what is held or pending
findings.txt      what sluice check says of the files
properties.json   each property of the server with its source
store.json, members.json, recent.json, reloads.json, platform.json
metrics.txt, goroutines.txt, log.txt
handshakes.json   the last handshakes, where they were asked for

Secret values are ***. Of handshakes there are names of cookies and of unknown
headers and parameters, and no values. Names of users, addresses and host names are
in it. What could not be had says so in its place.
`

// support answers with an archive of what somebody needs who is to find out what is
// wrong with this member.
func (s *Server) support(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "handshakes")
	if err != nil {
		return err
	}
	handshakes := query.Get("handshakes")
	if query.Has("handshakes") && handshakes != "true" && handshakes != "false" {
		return fail(http.StatusBadRequest, "bad_query", "handshakes is true or false")
	}
	// It goes through all properties and files.
	if !s.supporting.TryLock() {
		return fail(http.StatusTooManyRequests, "too_many", "another archive is being made: ask again when it is done")
	}
	defer s.supporting.Unlock()
	now := time.Now().UTC()
	s.Logger.Info("archive for support asked for", "actor", Actor(r.Context()), "handshakes", handshakes == "true")
	a := &archive{now: now, folder: "sluice-support-" + fileName(s.Member) + now.Format("-20060102T150405Z") + "/"}
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	a.tar = tar.NewWriter(zip)
	a.add("README.txt", fmt.Appendf(nil, supportReadme, s.Member, s.Version, now.Format(time.RFC3339)))
	a.addJSON("build.json", buildFacts(s.started))
	for _, part := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) error
	}{
		{"readyz.json", s.readyz},
		{"status.json", s.config},
		{"store.json", s.storeStatus},
		{"members.json", s.members},
		{"recent.json", s.recently},
		{"reloads.json", s.listReloads},
		{"platform.json", s.platformStatus},
		{"metrics.txt", s.showMetrics},
	} {
		a.add(part.name, within(r, part.answer))
	}
	sn := s.Engine.Snapshot()
	var findings bytes.Buffer
	for _, list := range [][]finding.Finding{s.Engine.Status().Folders, sn.Findings(), sn.LintAll(), s.Engine.LooseSecrets()} {
		for _, f := range list {
			findings.WriteString(f.String() + "\n")
		}
	}
	a.add("findings.txt", findings.Bytes())
	properties := []cascade.Explanation{}
	for _, name := range sn.AllNames() {
		if _, defined := sn.Get(cascade.Subject{}, name); defined {
			properties = append(properties, s.explainHere(sn, cascade.Subject{}, name, cascade.ExplainOptions{}))
		}
	}
	a.addJSON("properties.json", properties)
	var stacks bytes.Buffer
	a.err = errors.Join(a.err, pprof.Lookup("goroutine").WriteTo(&stacks, 1)) // functions and lines, no values
	a.add("goroutines.txt", stacks.Bytes())
	if s.Log != nil {
		a.add("log.txt", s.Log.Last())
	}
	if handshakes == "true" {
		a.addJSON("handshakes.json", s.Sockets.Handshakes())
	}
	if err := errors.Join(a.err, a.tar.Close(), zip.Close()); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Disposition", `attachment; filename="`+strings.TrimSuffix(a.folder, "/")+`.tar.gz"`)
	secure(h)
	_, _ = w.Write(b.Bytes()) // a client that has left gets none
	return nil
}

// archive collects files. Its first error stays.
type archive struct {
	tar    *tar.Writer
	folder string
	now    time.Time
	err    error
}

func (a *archive) add(name string, text []byte) {
	if a.err != nil {
		return
	}
	a.err = a.tar.WriteHeader(&tar.Header{Name: a.folder + name, Mode: 0o600, Size: int64(len(text)), ModTime: a.now, Format: tar.FormatPAX})
	if a.err == nil {
		_, a.err = a.tar.Write(text)
	}
}

func (a *archive) addJSON(name string, v any) {
	text, err := json.MarshalIndent(v, "", " ")
	a.err = errors.Join(a.err, err)
	a.add(name, append(text, '\n'))
}

// buildFacts are what the binary is, and what it may use.
func buildFacts(started time.Time) map[string]any {
	facts := map[string]any{
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "started": started,
		"processors": runtime.GOMAXPROCS(0), "goroutines": runtime.NumGoroutine(), "memoryLimit": debug.SetMemoryLimit(-1),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		settings, modules := map[string]string{}, map[string]string{}
		for _, set := range info.Settings {
			if !strings.HasPrefix(set.Key, "-") && !strings.HasPrefix(set.Key, "CGO_") { // flags name folders of the machine that built it
				settings[set.Key] = set.Value
			}
		}
		for _, m := range info.Deps {
			modules[m.Path] = m.Version
		}
		facts["module"], facts["version"], facts["settings"], facts["modules"] = info.Main.Path, info.Main.Version, settings, modules
	}
	return facts
}

// within has a handler answer into memory; one that fails, with its problem.
func within(r *http.Request, h func(http.ResponseWriter, *http.Request) error) []byte {
	asked := r.Clone(r.Context())
	asked.URL.RawQuery = ""
	asked.Header = http.Header{}
	m := &inMemory{header: http.Header{}}
	if err := h(m, asked); err != nil {
		m.Reset()
		text, _ := json.Marshal(asProblem(err)) // which has nothing but texts
		m.Buffer.Write(text)
	}
	return m.Bytes()
}

type inMemory struct {
	bytes.Buffer
	header http.Header
}

func (m *inMemory) Header() http.Header { return m.header }
func (m *inMemory) WriteHeader(int)     {}

// fileName is a text of which nothing means anything in a path.
func fileName(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, text)
}
