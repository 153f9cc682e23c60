package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// opUsers asks a member which users of some contexts have sockets there.
const opUsers = "sockets.users"

const (
	// usersPage is how many users one answer has: 32 bytes each at most, so that
	// they fit into maxMemberAnswer.
	usersPage = 15_000
	// countOthersTimeout is how long other members have to count: a write waits
	// for it, and a member that hangs is not in the count.
	countOthersTimeout = 5 * time.Second
)

// usersQuestion names the contexts, as many as one write changes at most, or asks
// for all, and says after which place the answer begins.
type usersQuestion struct {
	Contexts []uint32  `json:"contexts"`
	All      bool      `json:"all,omitempty"`
	After    userPlace `json:"after"`
}

// userPlace is a context and a user: the order of an answer.
type userPlace [2]uint32

func (a userPlace) compare(b userPlace) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
}

// usersAnswer is a page of them.
type usersAnswer struct {
	Users     [][3]uint32 `json:"users"` // context, user, sockets
	More      bool        `json:"more"`
	Connected int         `json:"connected"` // sockets of everybody
	Everybody int         `json:"everybody"` // users with sockets, of all contexts
	Recent    int         `json:"recent"`    // closed lately by writes of many records that this member was asked for
}

// connectedUsers answers opUsers.
func (s *Server) connectedUsers(body []byte) ([]byte, error) {
	var q usersQuestion
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	if len(q.Contexts) == 0 != q.All || len(q.Contexts) > store.MaxChanges {
		return nil, fmt.Errorf("a question names 1 to %d contexts", store.MaxChanges)
	}
	of := make(map[uint32]struct{}, len(q.Contexts))
	for _, id := range q.Contexts {
		of[id] = struct{}{}
	}
	a := usersAnswer{Users: [][3]uint32{}, Connected: int(s.Sockets.Count()), Recent: s.bulkClosed.recent()}
	s.Sockets.UserSockets(func(context, user uint32, sockets int) bool {
		a.Everybody++
		if _, in := of[context]; (in || q.All) && q.After.compare(userPlace{context, user}) < 0 {
			a.Users = append(a.Users, [3]uint32{context, user, uint32(sockets)})
		}
		return true
	})
	slices.SortFunc(a.Users, func(x, y [3]uint32) int { return userPlace(x[:2]).compare(userPlace(y[:2])) })
	if a.More = len(a.Users) > usersPage; a.More {
		a.Users = a.Users[:usersPage]
	}
	return json.Marshal(a)
}

// check refuses an answer that is no page after a place.
func (a *usersAnswer) check(after userPlace) error {
	if a.Connected < 0 || a.Recent < 0 || a.Everybody < 0 || a.More && len(a.Users) == 0 || len(a.Users) > usersPage {
		return errors.New("the answer is no page of users: run the same Sluice on all members")
	}
	for _, u := range a.Users {
		at := userPlace(u[:2])
		if min(u[0], u[1], u[2]) == 0 || max(u[0], u[1], u[2]) > cascade.MaxID || after.compare(at) >= 0 {
			return fmt.Errorf("the user %d of context %d is not one of this page", u[1], u[0])
		}
		after = at
	}
	return nil
}

// countOthers adds the sockets of the other members to what a write closes: this
// member decides with its own files whom it sends away. A member that does not
// say is named, and stops nothing.
func (s *Server) countOthers(ctx context.Context, c *bulkCount) {
	q := usersQuestion{Contexts: slices.Sorted(maps.Keys(c.contexts))}
	c.uncounted = s.askUsers(ctx, q, func(a *usersAnswer) {
		c.connected += a.Connected
		c.recent += a.Recent
	}, c.add)
}

// askUsers asks the other members which users they have, page by page: first gets
// the first page of each, each a user with the number of sockets there. It returns
// the members that did not say; of some of their users each may have been called.
func (s *Server) askUsers(ctx context.Context, q usersQuestion, first func(*usersAnswer), each func(member string, su cascade.Subject, sockets int)) (silent []string) {
	if s.Cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countOthersTimeout)
	defer cancel()
	told := map[string]bool{} // incarnations that have answered each time
	for begin := true; ; begin = false {
		body, err := json.Marshal(q)
		if err != nil {
			s.Logger.Error("question not encoded", "op", opUsers, "err", err)
			return silent
		}
		var pages []memberPage
		end, more := userPlace{}, false // the place up to which all have told all
		for _, answer := range s.Cluster.Ask(ctx, opUsers, body) {
			if !begin && !told[answer.Incarnation] {
				continue
			}
			a, err := usersOf(answer.Body, answer.Err, q.After)
			if told[answer.Incarnation] = err == nil; err != nil {
				s.Logger.Warn("a member did not answer", "op", opUsers, "asked", answer.Member, "incarnation", answer.Incarnation, "err", err)
				silent = append(silent, answer.Member)
				continue
			}
			if begin {
				first(a)
			}
			pages = append(pages, memberPage{answer.Member, a})
			if a.More {
				if last := userPlace(a.Users[len(a.Users)-1][:2]); !more || last.compare(end) < 0 {
					end, more = last, true
				}
			}
		}
		for _, p := range pages {
			for _, u := range p.Users {
				if more && userPlace(u[:2]).compare(end) > 0 {
					break // the next page has it
				}
				each(p.member, cascade.Subject{Context: uint32(u[0]), User: uint32(u[1])}, int(u[2]))
			}
		}
		if !more {
			return silent
		}
		q.After = end
	}
}

// recentOthers asks the other members once more what writes of many records
// close, or are about to: for a page without users.
func (s *Server) recentOthers(ctx context.Context, c *bulkCount) (sockets int) {
	ctx, cancel := context.WithTimeout(ctx, countOthersTimeout)
	defer cancel()
	q := usersQuestion{After: userPlace{math.MaxInt32, math.MaxInt32}}
	for id := range c.contexts {
		q.Contexts = []uint32{id} // a question names one
		break
	}
	body, err := json.Marshal(q)
	if err != nil {
		s.Logger.Error("question not encoded", "op", opUsers, "err", err)
		return 0
	}
	for _, answer := range s.Cluster.Ask(ctx, opUsers, body) {
		a, err := usersOf(answer.Body, answer.Err, q.After)
		if err != nil {
			s.Logger.Warn("a member did not answer", "op", opUsers, "asked", answer.Member, "incarnation", answer.Incarnation, "err", err)
			continue
		}
		sockets += a.Recent
	}
	return sockets
}

type memberPage struct {
	member string
	*usersAnswer
}

func usersOf(body []byte, err error, after userPlace) (*usersAnswer, error) {
	if err != nil {
		return nil, err
	}
	var a usersAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	return &a, a.check(after)
}
