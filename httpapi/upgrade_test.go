package httpapi

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// starts is an Upgrader that starts nothing.
type starts struct {
	up   Upgrading
	err  error
	last *Upgraded
}

func (s *starts) Start() (Upgrading, error) { return s.up, s.err }
func (s *starts) Last() *Upgraded           { return s.last }

// An upgrade is begun on the machine, and what came of it is told.
func TestUpgradeAnswers(t *testing.T) {
	w := newWorld(t, tree)
	w.want("POST /admin/v1/upgrade", 409, "")
	w.want("GET /admin/v1/upgrade", 200, "")
	s := &starts{up: Upgrading{Way: UpgradeDrain, Because: "it has to", Version: "2"}}
	w.server.Upgrader = s
	if a := w.want("POST /admin/v1/upgrade", 202, ""); !strings.Contains(a.body, `"because":"it has to"`) {
		t.Error(a.body)
	}
	s.err = &UpgradeError{errors.New("not now")}
	if a := w.want("POST /admin/v1/upgrade", 409, ""); !strings.Contains(a.body, "not now") {
		t.Error(a.body)
	}
	s.last = &Upgraded{Time: time.Now(), From: "1", To: "2", Error: "it died"}
	if a := w.want("GET /admin/v1/upgrade", 200, ""); !strings.Contains(a.body, `"error":"it died"`) {
		t.Error(a.body)
	}
}

// What one server remembers another one knows: a message that was taken before is
// a duplicate, and whom this member alone refuses stays refused.
func TestRemember(t *testing.T) {
	one, two := newWorld(t, tree), newWorld(t, tree)
	body := `{"context":7,"user":3,"name":"n","args":[],"id":"once"}`
	one.want("POST /admin/v1/messages", 200, body)
	one.server.Closings.add(cascade.Subject{Context: 7, User: 3}, "", closing{Actor: "a", Reason: "r", Until: time.Now().Add(time.Hour), made: time.Now(), whole: true})
	one.server.Closings.add(cascade.Subject{}, "token", closing{Actor: "a", Until: time.Now().Add(time.Hour)})
	r := one.server.Remembered()
	two.server.Remember(&r)
	if a := two.want("POST /admin/v1/messages", 200, body); !strings.Contains(a.body, `"duplicate":true`) {
		t.Error(a.body)
	}
	x, ok := two.server.Closings.of(two.engine.Snapshot(), cascade.Subject{Context: 7, User: 3})
	if !ok || x.Actor != "a" || !x.whole || time.Until(x.Until) < time.Minute {
		t.Errorf("%+v, %v", x, ok)
	}
	if !two.server.Closings.revoked("token") {
		t.Error("a token that was revoked is good")
	}
}
