package httpapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// maxPendingTold bounds the properties that a heartbeat names.
const maxPendingTold = 10

// Self is what this member tells of itself with each heartbeat.
func (s *Server) Self() remote.Member {
	st := s.Engine.Status()
	m := remote.Member{
		Name: s.Member, Incarnation: s.incarnation, Version: s.Version, Started: s.started,
		Sockets: s.Sockets.Count(), Draining: s.state.Load() == draining, Generation: st.Identity.Generation,
		Digest: s.sharedDigest(), Salt: saltSum(s.Config().Cookie.Salt), Degraded: st.Status != "ok", Alive: true, Self: true,
	}
	for _, p := range st.Pending[:min(len(st.Pending), maxPendingTold)] {
		m.Restart = append(m.Restart, p.Short())
	}
	m.DoveAdm = s.registrar.failing()
	if h := st.Held; h != nil {
		m.Held = &remote.Held{Digest: h.Digest, Users: h.Users, Sockets: h.Sockets}
	}
	if s.Fixed {
		return m
	}
	head := s.Store.Head()
	m.Keeper = s.StoreSetup.Keeper
	m.Store, m.Degraded = &head, m.Degraded || s.Store.Standing() != nil
	return m
}

// saltSum is enough of a salt to tell two apart. Whoever has a session can compare
// a salt with the names of its cookies, so that this gives nothing away.
func saltSum(salt string) string {
	sum := sha256.Sum256([]byte(salt))
	return hex.EncodeToString(sum[:4])
}

// sharedDigest is that of what all members are to have alike; empty while the
// members have not agreed upon its key.
func (s *Server) sharedDigest() string {
	sn := s.Engine.Snapshot()
	if s.Cluster != nil && s.DigestsAgreed != nil && !s.DigestsAgreed() {
		return ""
	}
	if s.Fixed {
		return sn.SharedDigest() + "+" + sn.Identity().Overrides
	}
	return sn.SharedDigest()
}

// differ reports whether two members have other configurations. Of one that does
// not know the key of the cluster yet nothing can be told.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// listedMember is what an administrator sees of a member.
type listedMember struct {
	remote.Member
	Alive bool   `json:"alive"`
	Self  bool   `json:"self"`
	Age   string `json:"age"`   // since its last heartbeat
	Drift bool   `json:"drift"` // it is alive and has another configuration than this one
	// Differs are properties, and files that differ otherwise, of one with drift.
	Differs []string `json:"differs,omitempty"`
}

// canary is how messages of another member come to this one, measured with one
// each second.
type canary struct {
	From   string `json:"from"`
	Late   bool   `json:"late"`   // none has come for too long
	Age    string `json:"age"`    // since the last one
	Took   string `json:"took"`   // of the last one, from member to member
	Missed int64  `json:"missed"` // seconds without one
}

type memberList struct {
	Cluster  string         `json:"cluster"`
	Status   string         `json:"status"`   // alone, ok or degraded
	Problem  string         `json:"problem"`  // of the link, with what to look at
	Canaries []canary       `json:"canaries"` // of the other members that are alive
	Members  []listedMember `json:"members"`
	Warnings []string       `json:"warnings"`
}

// members answers who is in the cluster, and what is wrong among them.
func (s *Server) members(w http.ResponseWriter, r *http.Request) error {
	list := memberList{Status: "alone", Canaries: []canary{}}
	ms := []remote.Member{s.Self()}
	if s.Cluster != nil {
		list.Cluster = s.Cluster.Name()
		ms, list.Status = s.Cluster.Members()
		if list.Status != "ok" {
			list.Problem = s.Cluster.Problem()
		}
		for _, c := range s.Cluster.Canaries() {
			list.Canaries = append(list.Canaries, canary{
				From: c.From, Late: c.Late, Age: c.Age.Round(100 * time.Millisecond).String(), Took: c.Took.Round(10 * time.Microsecond).String(), Missed: c.Missed,
			})
		}
	}
	list.fill(ms, s.Self())
	s.tellDrift(r.Context(), &list)
	list.Warnings = append(list.Warnings, SaltWarnings(ms, s.Self())...)
	if p := s.evicts(); p != "" {
		list.Warnings = append(list.Warnings, remote.EvictionText(p))
	}
	return s.answer(w, http.StatusOK, list)
}

// fill lists members by their names. own is this member where it is not among
// them: it may have lost its lease.
func (l *memberList) fill(ms []remote.Member, own remote.Member) {
	for _, m := range ms {
		if m.Self {
			own = m
		}
	}
	l.Members, l.Warnings = []listedMember{}, []string{}
	for _, m := range ms {
		m.Salt = ""
		l.Members = append(l.Members, listedMember{
			Member: m, Alive: m.Alive, Self: m.Self, Age: m.Age.Round(100 * time.Millisecond).String(),
			// A member that ended has no configuration in force.
			Drift: m.Alive && !m.Self && differ(m.Digest, own.Digest),
		})
	}
	slices.SortFunc(l.Members, func(a, b listedMember) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Started.Compare(b.Started), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	for _, m := range l.Members {
		if m.Held != nil && m.Alive {
			l.Warnings = append(l.Warnings, fmt.Sprintf(
				"member %s holds a change of its files that would close %s: `sluice reload --confirm %s` lets it through, saving the files back drops it",
				m.Name, cascade.Closes(m.Held.Sockets, m.Held.Users), m.Held.Digest))
		}
		if m.Drift {
			l.Warnings = append(l.Warnings, fmt.Sprintf(
				"member %s has another configuration (generation %d, digest %s) than this one, %s (generation %d, digest %s): compare their files, then `sluice reload --cluster`",
				m.Name, m.Generation, ShortDigest(m.Digest), own.Name, own.Generation, ShortDigest(own.Digest)))
		}
	}
	live := slices.DeleteFunc(slices.Clone(l.Members), func(m listedMember) bool { return !m.Alive })
	for i := 1; i < len(live); i++ {
		if a, b := live[i-1], live[i]; a.Name == b.Name {
			l.Warnings = append(l.Warnings, fmt.Sprintf(
				"two live processes are called %s (incarnations %s and %s): give each its own sluice.remote.member, or wait if one was just restarted",
				a.Name, a.Incarnation, b.Incarnation))
		}
	}
}

// SaltWarnings name the members that are alive and have another salt of the
// cookies' names than own.
func SaltWarnings(ms []remote.Member, own remote.Member) (warnings []string) {
	for _, m := range ms {
		if m.Alive && !m.Self && m.Salt != "" && m.Salt != own.Salt {
			warnings = append(warnings, fmt.Sprintf(
				"member %s has another salt for the names of cookies than this one, %s, so that each refuses sessions of the other: set %s alike on both, or on neither",
				m.Name, own.Name, websockets.PropCookieSalt))
		}
	}
	return warnings
}

// evicts is the maxmemory-policy of a Redis that drops keys, or "".
func (s *Server) evicts() string {
	if s.Cluster == nil {
		return ""
	}
	if p := s.Cluster.Policy(); p != remote.PolicyKeep {
		return p
	}
	return ""
}

// ShortDigest is enough of each part of a member's digest to tell two apart.
func ShortDigest(d string) string {
	const enough = 12
	files, overrides, both := strings.Cut(d, "+")
	files, overrides = files[:min(enough, len(files))], overrides[:min(enough, len(overrides))]
	if !both {
		return files
	}
	return files + "+" + overrides
}
