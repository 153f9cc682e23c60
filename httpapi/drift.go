package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/events"
	"github.com/seed47708276/sluice/remote"
)

// memberEvent is the data of events.Member.
type memberEvent struct {
	What        string    `json:"what"` // joined, left, lost, back, drift or agrees
	Time        time.Time `json:"time"`
	Member      string    `json:"member"`
	Incarnation string    `json:"incarnation"`
	Generation  uint64    `json:"generation"`
	Digest      string    `json:"digest"`
}

// drifts remembers which members have another configuration than this one, so
// that it is told once.
type drifts struct {
	mu  sync.Mutex
	now map[string]bool // by incarnation
}

// Seen publishes what the link sees of other members (remote.Options).
func (s *Server) Seen(what string, m remote.Member) {
	if what != remote.SeenConfig {
		s.publishMember(what, m)
	}
	s.drifts.one(s, m, what != remote.SeenLeft && what != remote.SeenLost)
}

func (s *Server) publishMember(what string, m remote.Member) {
	s.Events.Publish(events.Member, cascade.Subject{}, memberEvent{what, time.Now().UTC(), m.Name, m.Incarnation, m.Generation, m.Digest})
}

// all compares each member with a configuration of this one that has changed.
func (d *drifts) all(s *Server) {
	if s.Cluster == nil {
		return
	}
	list, _ := s.Cluster.Members()
	known := make(map[string]bool, len(list))
	for _, m := range list {
		known[m.Incarnation] = true
		if !m.Self && m.Alive {
			d.one(s, m, true)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.now, func(id string, _ bool) bool { return !known[id] })
}

// one compares a member. One that is gone has no configuration in force.
func (d *drifts) one(s *Server, m remote.Member, alive bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, is := d.now[m.Incarnation], alive && differ(m.Digest, s.sharedDigest())
	switch {
	case is && !was:
		if d.now == nil {
			d.now = make(map[string]bool)
		}
		d.now[m.Incarnation] = true
		s.publishMember("drift", m)
	case was && !is:
		delete(d.now, m.Incarnation)
		if alive {
			s.publishMember("agrees", m)
		}
	}
}

// drifted counts the other members that are alive and have another configuration
// than this one.
func (s *Server) drifted() (n int) {
	list, _ := s.Cluster.Members()
	own := s.sharedDigest()
	for _, m := range list {
		if !m.Self && m.Alive && differ(m.Digest, own) {
			n++
		}
	}
	return n
}

const (
	// driftPatience bounds the wait for members whose configuration is another
	// one: the list of the members does not wait for long.
	driftPatience = 3 * time.Second
	// maxDriftTold bounds the names that are told of one member.
	maxDriftTold = 20
)

// driftQuestion has the sums of the asker's files. A member answers with those of
// its own that differ.
type driftQuestion struct {
	Files map[string]string `json:"files"`
}

// driftAnswer has the files that differ: of properties a sum of each value, of
// others nothing; a file that one of both does not have is null.
type driftAnswer struct {
	Files map[string]map[string]string `json:"files"`
	// More says that there are others, for which the answer had no room.
	More bool `json:"more,omitempty"`
}

// answerDrift answers another member.
func (s *Server) answerDrift(body []byte) ([]byte, error) {
	var q driftQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	sn := s.Engine.Snapshot()
	own, a := sn.SharedSums(), driftAnswer{Files: map[string]map[string]string{}}
	size := 0
	for path, sum := range own {
		if q.Files[path] == sum {
			continue
		}
		keys := sn.SharedKeySums(path)
		if keys == nil {
			keys = map[string]string{}
		}
		for k, v := range keys {
			size += len(k) + len(v)
		}
		if size > maxMemberAnswer/2 {
			a.More = true
			break
		}
		a.Files[path] = keys
	}
	for path := range q.Files {
		if _, has := own[path]; !has {
			a.Files[path] = nil
		}
	}
	return json.Marshal(a)
}

// driftKeys asks members for what differs from this one's files: the names of
// properties, and of files that differ otherwise, by member.
func (s *Server) driftKeys(ctx context.Context) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, driftPatience)
	defer cancel()
	sn := s.Engine.Snapshot()
	body, err := json.Marshal(driftQuestion{sn.SharedSums()})
	if err != nil || len(body) > maxMemberAnswer {
		s.Logger.Warn("the files are too many to be compared with those of other members", "bytes", len(body), "err", err)
		return nil
	}
	found := map[string][]string{}
	for _, a := range s.Cluster.Ask(ctx, opDrift, body) {
		var theirs driftAnswer
		if err := a.Err; err != nil || json.Unmarshal(a.Body, &theirs) != nil {
			s.Logger.Warn("a member did not tell how its configuration differs", "asked", a.Member, "err", err)
			continue
		}
		found[a.Incarnation] = theirs.names(sn)
	}
	return found
}

// names are what differs: properties first, then files that differ otherwise.
func (a *driftAnswer) names(sn *cascade.Snapshot) []string {
	keys, files := map[string]bool{}, map[string]bool{}
	for path, theirs := range a.Files {
		ours := sn.SharedKeySums(path)
		differs := false
		for k, v := range ours {
			if theirs[k] != v {
				keys[k], differs = true, true
			}
		}
		for k := range theirs {
			if _, has := ours[k]; !has {
				keys[k], differs = true, true
			}
		}
		if !differs {
			files[path] = true // its order or comments, or it is no properties file
		}
	}
	return append(slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(files))...)
}

// driftText names what differs in a sentence.
func driftText(names []string) string {
	switch n := len(names); {
	case n == 0:
		return ""
	case n > maxDriftTold:
		return fmt.Sprintf("; it differs in %s and %d more", strings.Join(names[:maxDriftTold], ", "), n-maxDriftTold)
	}
	return "; it differs in " + strings.Join(names, ", ")
}

// tellDrift adds what differs to a list that has members with another
// configuration.
func (s *Server) tellDrift(ctx context.Context, l *memberList) {
	if s.Cluster == nil || !slices.ContainsFunc(l.Members, func(m listedMember) bool { return m.Drift }) {
		return
	}
	found := s.driftKeys(ctx)
	for i := range l.Members {
		if m := &l.Members[i]; m.Drift {
			names := found[m.Incarnation]
			for j, w := range l.Warnings {
				if strings.HasPrefix(w, fmt.Sprintf("member %s has another configuration", m.Name)) {
					l.Warnings[j] += driftText(names)
				}
			}
			m.Differs = names[:min(len(names), maxDriftTold)]
		}
	}
}
