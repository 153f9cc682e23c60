package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// The words that PropMaxClose takes beside numbers.
const (
	maxCloseAuto = "auto"
	maxCloseOff  = "off"
)

const (
	// maxClosePercent and maxCloseCluster make the limit that auto is: the
	// greater of 2 % of the sockets here, and this member's share of 100.
	maxClosePercent = 2
	maxCloseCluster = 100
	// countTimeout bounds counting, which a reload waits for; 100,000 users take
	// tens of milliseconds.
	countTimeout = 10 * time.Second
	// countStride is how many users are counted between two looks at the clock.
	countStride = 1024
)

// CountClosing counts whom a change would close here, and how many sockets it
// may (cascade.Engine.SetBrake). A user whom the change refuses is asked for a
// second time; all others cost what they cost at a re-check.
func (s *Server) CountClosing(now, then *cascade.Snapshot) (cascade.Closing, error) {
	c := cascade.Closing{Connected: int(s.Sockets.Count())}
	c.Limit = s.maxClose(then, c.Connected)
	if c.Connected == 0 || c.Limit < 0 || then.Unchanged(now, websockets.PropEnabled) {
		return c, nil
	}
	serves, served := then.Serving(websockets.PropEnabled), now.Serving(websockets.PropEnabled)
	began, asked, late := time.Now(), 0, false
	s.Sockets.UserSockets(func(context, user uint32, sockets int) bool {
		if asked++; asked%countStride == 0 && time.Since(began) > countTimeout {
			late = true
			return false
		}
		su := cascade.Subject{Context: context, User: user}
		if serves(su) || !served(su) {
			return true
		}
		c.Users++
		c.Sockets += sockets
		if len(c.Some) < cascade.MaxCauses {
			c.Some = append(c.Some, su)
		}
		return true
	})
	if late {
		return c, fmt.Errorf("%d users took more than %s", asked, countTimeout)
	}
	return c, nil
}

// maxClose is how many sockets a change of files may close here; below 0: any
// number.
func (s *Server) maxClose(sn *cascade.Snapshot, sockets int) int {
	live := 0
	if s.Cluster != nil {
		members, _ := s.Cluster.Members()
		for _, m := range members {
			if m.Alive {
				live++
			}
		}
	}
	return maxCloseOf(sn, sockets, max(live, 1))
}

// maxCloseOf is what PropMaxClose allows, of so many sockets that are open, to
// one of so many members; below 0: any number.
func maxCloseOf(sn *cascade.Snapshot, sockets, members int) int {
	switch v := cascade.ValueOf[any](sn, cascade.Subject{}, PropMaxClose).(type) {
	case int64:
		return int(v)
	case string:
		if v == maxCloseOff {
			return -1
		}
	}
	return max(sockets*maxClosePercent/100, maxCloseCluster/members)
}

// memberConfirmation is what came of a confirmation on one member. A member
// answers another one with it.
type memberConfirmation struct {
	Member string `json:"member"`
	Status string `json:"status"` // confirmed, noted, or unreachable
}

// noted is the status of a member that does not have the change: the
// confirmation counts there for cascade.ConfirmFor.
const noted = "noted"

type confirmation struct {
	Digest  string               `json:"digest"`
	Members []memberConfirmation `json:"members"`
}

// confirm lets a held change through, on every member that has it now or gets it
// soon.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Digest string `json:"digest"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	if in.Digest == "" {
		return fail(http.StatusUnprocessableEntity, "no_digest", "name the change: digest is that of `held` in GET /admin/v1/config")
	}
	own := s.Engine.Confirm(in.Digest, false) == cascade.Confirmed
	list, unreachable := s.confirmOthers(r, in.Digest, own)
	if !own && slices.ContainsFunc(list, func(m memberConfirmation) bool { return m.Status == cascade.Confirmed }) {
		// Another member had it: the rest is told in a second round.
		own = s.Engine.Confirm(in.Digest, true) == cascade.Confirmed
		again, lost := s.confirmOthers(r, in.Digest, true)
		for i, m := range list {
			if m.Status != cascade.Confirmed {
				continue
			}
			again = slices.DeleteFunc(again, func(x memberConfirmation) bool { return x.Member == m.Member })
			again = append(again, list[i])
		}
		list, unreachable = again, lost
	} else if !own {
		return s.notHeld(in.Digest, unreachable)
	}
	mine := memberConfirmation{s.Member, noted}
	if own {
		mine.Status = cascade.Confirmed
	}
	list = append(list, mine)
	for _, name := range unreachable {
		list = append(list, memberConfirmation{name, reloadFailed})
	}
	slices.SortFunc(list, func(a, b memberConfirmation) int {
		if a.Member < b.Member {
			return -1
		}
		return 1
	})
	s.Logger.Warn("held change confirmed", "digest", in.Digest, "actor", Actor(r.Context()), "members", list)
	return s.answer(w, http.StatusOK, confirmation{in.Digest, list})
}

func (s *Server) confirmOthers(r *http.Request, digest string, note bool) (list []memberConfirmation, unreachable []string) {
	wait := s.ask(r.Context(), opConfirm, memberQuestion{From: s.Member, Actor: Actor(r.Context()), Digest: digest, Note: note}, func(a remote.Answer) error {
		var m memberConfirmation
		if err := json.Unmarshal(a.Body, &m); err != nil {
			return err
		}
		if m.Status != cascade.Confirmed && m.Status != cascade.NotHeld && m.Status != noted {
			return errors.New("the answer has no result: run the same Sluice on all members")
		}
		list = append(list, memberConfirmation{a.Member, m.Status})
		return nil
	})
	return list, wait()
}

// answerConfirm is what this member does when another one was asked.
func (s *Server) answerConfirm(q memberQuestion) ([]byte, error) {
	m := memberConfirmation{Member: s.Member, Status: s.Engine.Confirm(q.Digest, q.Note)}
	if m.Status == cascade.Confirmed {
		s.Logger.Warn("held change confirmed", "digest", q.Digest, "actor", q.Actor, "from", q.From)
	} else if q.Note {
		m.Status = noted
	}
	return json.Marshal(m)
}

// notHeld tells what is held instead.
func (s *Server) notHeld(digest string, unreachable []string) error {
	now := "nothing is held"
	var held []string
	if h := s.Engine.Snapshot().Held(); h != nil {
		held = append(held, fmt.Sprintf("%s holds %s", s.Member, h.Digest))
	}
	if s.Cluster != nil {
		members, _ := s.Cluster.Members()
		for _, m := range members {
			if !m.Self && m.Alive && m.Held != nil {
				held = append(held, fmt.Sprintf("%s holds %s", m.Name, m.Held.Digest))
			}
		}
	}
	if len(held) > 0 {
		now = strings.Join(held, ", ")
	}
	if len(unreachable) > 0 {
		now += fmt.Sprintf("; %v did not answer", unreachable)
	}
	return fail(http.StatusConflict, "not_held", "no member holds a change %.40q: it was confirmed already, was put right, or the files have changed again (%s)", digest, now)
}
