package httpapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/websockets"
)

// confirmedOf reads ?confirm=N of a write of many records: how many sockets it
// may close.
func confirmedOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("confirm")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fail(http.StatusBadRequest, "bad_query", "confirm is the number of sockets that may be closed, as the answer would_close has it")
	}
	return int(n), nil
}

// concernsGate reports whether a change may decide who is served.
func concernsGate(c *store.Change) bool {
	switch c.Kind {
	case store.KindContext, store.KindUser:
		return true
	case store.KindOverride:
		return c.Name == websockets.PropEnabled || c.Name == cascade.PropTypes
	}
	return false
}

// checkClosing refuses a write of many records that would close more sockets in
// the cluster than a change may, unless the request confirms the number. One
// record is somebody's decision about one user or context, and is never refused.
// It returns what it has noted in bulkClosed, which undone takes back where the
// write is not done.
func (s *Server) checkClosing(r *http.Request, w store.Write) (*bulkClosing, error) {
	confirmed, err := confirmedOf(r)
	if err != nil {
		return nil, err
	}
	if len(w.Changes) < 2 || w.DryRun || !slices.ContainsFunc(w.Changes, func(c store.Change) bool { return concernsGate(&c) }) {
		return nil, nil
	}
	w.DryRun, w.Request = true, "" // the name is that of the write
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
	defer cancel()
	e, err := s.Store.Do(ctx, w)
	if err != nil {
		return nil, s.storeProblem(err)
	}
	then, _, err := s.Engine.Candidate(r.Context(), nil, e.Batch())
	if err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "bad_write", "%s", err)
	}
	c := newBulkCount(s.Engine.Snapshot(), then, &e)
	if err := s.countOwn(c); err != nil {
		s.Logger.Error("the brake cannot count sockets: the write is not refused", "actor", Actor(r.Context()), "err", err)
		return nil, nil
	}
	s.countOthers(r.Context(), c)
	if c.sockets == 0 {
		return nil, nil
	}
	limit := maxCloseOf(then, c.connected, 1)
	noted, recent := s.bulkClosed.take(c.sockets, c.allowed(limit, confirmed))
	if noted != nil {
		if limit < 0 || s.Cluster == nil {
			return noted, nil
		}
		// Another member that was asked at the same time has noted its own by now,
		// or sees what is noted here: at least one of the two refuses.
		before := c.recent
		c.recent = max(before, s.recentOthers(r.Context(), c))
		if c.recent == before || c.sockets+recent <= c.allowed(limit, confirmed) {
			return noted, nil
		}
		s.bulkClosed.undone(noted)
	}
	all := c.sockets + c.recent + recent
	before := ""
	if all > c.sockets {
		before = fmt.Sprintf(", and %d with those that writes of many records closed within %d minutes", all, int(bulkWindow/time.Minute))
	}
	why := ""
	if causes := then.Causes(c.some, websockets.PropEnabled); len(causes) > 0 {
		why = ", first " + causes[0].String()
	}
	return nil, fail(http.StatusConflict, "would_close", "this would close %s, of %d that are open%s%s; at most %d go unasked%s: repeat it with ?confirm=%d if that is meant",
		cascade.Closes(c.sockets, len(c.users)), c.connected, c.where(), before, limit, why, all)
}

// allowed is how many sockets this write and others that this member was asked
// for may close; below 0: any number.
func (c *bulkCount) allowed(limit, confirmed int) int {
	if limit < 0 {
		return -1
	}
	return max(max(limit, confirmed)-c.recent, 0)
}

// maxMembersTold bounds the members that a refusal lists.
const maxMembersTold = 10

// bulkCount is what a write of many records would close.
type bulkCount struct {
	now, then *cascade.Snapshot
	contexts  map[uint32]struct{} // that the write is about: no user of another is concerned
	ended     map[uint32]bool     // contexts that get a new owner: all of their sessions end

	sockets, connected int
	recent             int // closed lately by such writes, asked of other members
	users              map[cascade.Subject]struct{}
	some               []cascade.Subject // of the users, at most cascade.MaxCauses
	members            map[string]int    // how many of the sockets are there
	uncounted          []string          // members that did not say
}

func newBulkCount(now, then *cascade.Snapshot, e *store.Entry) *bulkCount {
	c := &bulkCount{
		now: now, then: then, contexts: map[uint32]struct{}{}, ended: map[uint32]bool{},
		users: map[cascade.Subject]struct{}{}, members: map[string]int{},
	}
	for i := range e.Changes {
		c.contexts[e.Changes[i].Context] = struct{}{}
	}
	for _, o := range e.EndedOwners() {
		if o.User == 0 {
			c.ended[o.Context] = true
		}
	}
	return c
}

// add counts a user with so many sockets on a member if the write closes them:
// it is served no more, or its context has a new owner.
func (c *bulkCount) add(member string, su cascade.Subject, sockets int) {
	if _, in := c.contexts[su.Context]; !in {
		return
	}
	if c.then.Serves(su, websockets.PropEnabled) {
		if !c.ended[su.Context] {
			return
		}
	} else if !c.now.Serves(su, websockets.PropEnabled) {
		return
	} else if len(c.some) < cascade.MaxCauses {
		c.some = append(c.some, su)
	}
	c.users[su] = struct{}{}
	c.sockets += sockets
	c.members[member] += sockets
}

// where says on which members they are, and whose were not counted.
func (c *bulkCount) where() string {
	text := ""
	if len(c.members) > 1 || len(c.uncounted) > 0 {
		var list []string
		for _, name := range slices.Sorted(maps.Keys(c.members)) {
			if len(list) == maxMembersTold {
				list = append(list, "...")
				break
			}
			list = append(list, fmt.Sprintf("%s %d", name, c.members[name]))
		}
		text = " (" + strings.Join(list, ", ") + ")"
	}
	if len(c.uncounted) > 0 {
		text += ", without those of " + strings.Join(c.uncounted[:min(len(c.uncounted), maxMembersTold)], ", ") + ", which did not say"
	}
	return text
}

// countOwn counts the sockets of this member.
func (s *Server) countOwn(c *bulkCount) error {
	c.connected = int(s.Sockets.Count())
	began, asked, late := time.Now(), 0, false
	s.Sockets.UserSockets(func(context, user uint32, sockets int) bool {
		if asked++; asked%countStride == 0 && time.Since(began) > countTimeout {
			late = true
			return false
		}
		c.add(s.Member, cascade.Subject{Context: context, User: user}, sockets)
		return true
	})
	if late {
		return fmt.Errorf("%d users took more than %s", asked, countTimeout)
	}
	return nil
}
