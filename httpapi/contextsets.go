package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// countShare bounds what counting costs: an answer is given again for as many
	// times as long as it took, so that counting takes 1 % of a processor at most.
	countShare = 100
	// maxPlatformSwitches bounds those that are listed: more than anybody reads.
	maxPlatformSwitches = 200
)

// setCount is whom the context sets match, and what the platform's database
// switches.
type setCount struct {
	Property string    `json:"property"` // empty: of all
	Switch   string    `json:"switch"`   // which values were asked for: on, off, any; empty: none
	Counted  time.Time `json:"counted"`
	cascade.SetMatches
	// Platform are values that the platform's own database has, of those whom this
	// member knows; More says that there are others.
	Platform []cascade.PlatformSwitch `json:"platform"`
	More     bool                     `json:"more"`
}

// setCounts keeps the last count. One is made at a time: the lock guards that
// alone, and who waits for it gets what the one before has counted.
type setCounts struct {
	counting chan struct{} // has room for who counts
	mu       sync.Mutex
	last     setCount
	until    time.Time // for which it is good
}

func (c *setCounts) known(property, to string, now time.Time) (setCount, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.last.Property == property && c.last.Switch == to && now.Before(c.until)
}

// switchOf reads ?switch=: which values are meant, of those that switch something.
// keep is nil where it was not given.
func switchOf(query url.Values) (to string, keep func(value string) bool, err error) {
	to = query.Get("switch")
	switch {
	case !query.Has("switch"):
		return "", nil, nil
	case to != "on" && to != "off" && to != "any":
		return "", nil, fail(http.StatusBadRequest, "bad_query", "switch is on, off or any")
	}
	return to, func(value string) bool {
		value = strings.TrimSpace(value)
		return to != "off" && strings.EqualFold(value, "true") || to != "on" && strings.EqualFold(value, "false")
	}, nil
}

// contextSets answers with all context sets and how many they match.
func (s *Server) contextSets(w http.ResponseWriter, r *http.Request) error {
	query, err := knownQuery(r, "property", "switch")
	if err != nil {
		return err
	}
	to, keep, err := switchOf(query)
	if err != nil {
		return err
	}
	property := websockets.PropEnabled
	if keep != nil {
		property = ""
	}
	if query.Has("property") {
		if property = query.Get("property"); property == "" {
			return fail(http.StatusBadRequest, "bad_query", "property is empty: name one, or leave it out")
		}
	}
	c := &s.setCounts
	select {
	case c.counting <- struct{}{}:
		defer func() { <-c.counting }()
	case <-r.Context().Done():
		return requestEnded(r.Context().Err())
	}
	began := time.Now()
	n, ok := c.known(property, to, began)
	if !ok {
		sn := s.Engine.Snapshot()
		n = setCount{Property: property, Switch: to, Counted: began.UTC()}
		if n.SetMatches, err = sn.MatchSets(r.Context(), property, keep); err != nil {
			return requestEnded(err)
		}
		n.Platform, n.More = sn.PlatformSwitches(property, keep, maxPlatformSwitches)
		if n.Platform == nil {
			n.Platform = []cascade.PlatformSwitch{}
		}
		c.mu.Lock()
		c.last, c.until = n, time.Now().Add(time.Since(began)*countShare)
		c.mu.Unlock()
	}
	return s.answer(w, http.StatusOK, n)
}
