package cascade

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// crowd is the connected users of a test: of context 7, with a socket each.
type crowd struct {
	users []Subject
	limit int
	err   error
}

func newCrowd(n, limit int) *crowd {
	c := &crowd{limit: limit}
	for i := range uint32(n) {
		c.users = append(c.users, Subject{Context: 7, User: i + 1})
	}
	return c
}

func (c *crowd) count(now, then *Snapshot) (Closing, error) {
	out := Closing{Connected: len(c.users), Limit: c.limit}
	for _, su := range c.users {
		if !then.Serves(su, enabledProp) && now.Serves(su, enabledProp) {
			out.Users++
			out.Sockets++
			out.Some = append(out.Some, su)
		}
	}
	return out, c.err
}

// braked opens a tree with a brake for a crowd.
func (k *lastGoodTree) braked(c *crowd, source Source) *Engine {
	k.t.Helper()
	k.log.Reset()
	e := openEngine(k.t, Options{
		Roots: []string{k.dir}, State: k.state, Gate: enabledProp, Source: source,
		Logger: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
	e.SetBrake(c.count)
	return e
}

func (k *lastGoodTree) serves(e *Engine, su Subject, want bool) {
	k.t.Helper()
	sn := e.Snapshot()
	v, _ := sn.Get(su, enabledProp)
	x := sn.Explain(su, enabledProp, ExplainOptions{})
	if got := sn.Serves(su, enabledProp); got != want || v.Effective != want || x.Effective != want || e.Bool(enabledProp).For(su) != want {
		k.t.Errorf("%v is served: %t (value %v, explained %v), want %t", su, got, v.Effective, x.Effective, want)
	}
}

// TestBrake saves a change that would send 50 users away where 10 may go: the
// gate keeps what it had with the present overrides, everything else of the
// change counts, until the change is confirmed, or put right, or another.
func TestBrake(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	const on, off = enabledProp + "=true\nother=1\n", "\n" + enabledProp + "=false\nother=2\n"
	write(t, k.dir, "a.properties", on)
	e := k.braked(newCrowd(50, 10), nil)
	one, two := Subject{Context: 7, User: 1}, Subject{Context: 7, User: 2}

	write(t, k.dir, "a.properties", off)
	r := reload(t, e)
	k.serves(e, one, true)
	k.want(e, one, "other", "2")
	h := e.Status().Held
	if r.Held == nil || h == nil || h.Users != 50 || h.Sockets != 50 || h.Limit != 10 || e.Status().Status != "held" {
		t.Fatalf("held %+v, status %+v", r.Held, e.Status())
	}
	if len(h.Causes) != 1 || h.Causes[0].String() != enabledProp+"=false (a.properties:2)" || h.Causes[0].Users != 50 {
		t.Errorf("causes %+v", h.Causes)
	}
	for _, c := range r.Changed {
		if (c.Property == enabledProp) != (c.Result == HeldBack) {
			t.Errorf("%+v", c)
		}
	}
	x := e.Snapshot().Explain(one, enabledProp, ExplainOptions{})
	if x.Held == nil || x.Held.Effective != false || x.Held.Origin.String() != "a.properties:2" || *x.Value != "true" || !strings.Contains(x.Summary, "Held: with change "+h.Digest) {
		t.Errorf("explained as %+v, held %+v", x, x.Held)
	}
	if log := k.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, h.Digest) || !strings.Contains(log, "a.properties:2") || !strings.Contains(log, "sockets=50") {
		t.Error(log)
	}

	// An administrator switches one user off: that is not held.
	must(t, e.Apply(Batch{Overrides: []Override{{Key: Key{Subject: two, Property: enabledProp}, Value: "false"}}}))
	k.serves(e, two, false)
	k.serves(e, one, true)

	// Another change, which is as bad: it is the one that counts.
	write(t, k.dir, "a.properties", off+"more=1\n")
	reload(t, e)
	newer := e.Status().Held
	if newer == nil || newer.Digest == h.Digest || newer.Users != 49 {
		t.Fatalf("the newer change is %+v", newer)
	}
	if got := e.Confirm(h.Digest, false); got != NotHeld {
		t.Errorf("the old digest is %s", got)
	}
	k.serves(e, one, true)
	if got := e.Confirm(newer.Digest, false); got != Confirmed {
		t.Errorf("the digest is %s", got)
	}
	k.serves(e, one, false)
	if got := e.Confirm(newer.Digest, false); got != NotHeld || e.Status().Held != nil {
		t.Errorf("confirmed twice: %s", got)
	}

	// Put right, and broken again in the same way: it was confirmed just now.
	write(t, k.dir, "a.properties", on)
	reload(t, e)
	k.serves(e, one, true)
	write(t, k.dir, "a.properties", off+"more=1\n")
	reload(t, e)
	k.serves(e, one, false)
	write(t, k.dir, "a.properties", on)
	reload(t, e)

	// Held, and saved back.
	write(t, k.dir, "a.properties", off)
	reload(t, e)
	write(t, k.dir, "a.properties", on)
	if r := reload(t, e); r.Held != nil || e.Status().Status != "ok" {
		t.Errorf("put right: %+v", e.Status())
	}
	k.serves(e, one, true)
	k.serves(e, two, false)
}

// TestBrakeOverRestart ends a server while a change is held. It is held again,
// also where the files were changed to something as bad meanwhile, and not where
// they were put right.
func TestBrakeOverRestart(t *testing.T) {
	t.Parallel()
	const on, off = enabledProp + "=true\n", enabledProp + "=false\n"
	for _, c := range []struct {
		name, meanwhile string
		held            bool
	}{
		{"unchanged", off, true},
		{"as bad", off + "x=1\n", true},
		{"saved back", on, false},
		{"put right in another way", on + "x=1\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newLastGoodTree(t)
			write(t, k.dir, "a.properties", on)
			e := k.braked(newCrowd(50, 10), nil)
			write(t, k.dir, "a.properties", off)
			reload(t, e)
			e.lastGood.Write() // what Run does at its end
			was := e.Status().Held
			if was == nil {
				t.Fatal("nothing is held")
			}
			write(t, k.dir, "a.properties", c.meanwhile)
			again := k.braked(newCrowd(0, 10), nil)
			if h := again.Status().Held; (h != nil) != c.held {
				t.Fatalf("held %+v\n%s", h, k.log.String())
			} else if c.held && (h.Users != 50 || (h.Digest == was.Digest) != (c.meanwhile == off)) {
				t.Errorf("held %+v, before %+v", h, was)
			}
			k.serves(again, Subject{Context: 7, User: 1}, true)
			if !c.held {
				return
			}
			again.lastGood.Write()
			third := k.braked(newCrowd(50, 10), nil)
			k.serves(third, Subject{Context: 7, User: 1}, true)
			if got := third.Confirm(third.Status().Held.Digest, false); got != Confirmed {
				t.Errorf("confirmed after two restarts: %s", got)
			}
			k.serves(third, Subject{Context: 7, User: 1}, false)
			third.lastGood.Write()
			last := k.braked(newCrowd(50, 10), nil)
			if last.Status().Held != nil {
				t.Error("a confirmed change is held after a restart")
			}
		})
	}
}

// TestBrakeOfDirectoryFile holds a directory file that disables a context, over
// a restart too.
func TestBrakeOfDirectoryFile(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	path := in(k.dir, "../directory.yml")
	write(t, k.dir, "../directory.yml", "contexts:\n  - {id: 7, enabled: true}\n")
	e := k.braked(newCrowd(50, 10), NewDirectoryFile(path))
	write(t, k.dir, "../directory.yml", "contexts:\n  - {id: 7, enabled: false}\n")
	reload(t, e)
	k.serves(e, Subject{Context: 7, User: 1}, true)
	h := e.Status().Held
	if h == nil || len(h.Causes) != 1 || !strings.HasSuffix(h.Causes[0].String(), "directory.yml)") || h.Causes[0].Value != "contextDisabled" {
		t.Fatalf("held %+v", h)
	}
	e.lastGood.Write()
	again := k.braked(newCrowd(50, 10), NewDirectoryFile(path))
	k.serves(again, Subject{Context: 7, User: 1}, true)
	if got := again.Confirm(h.Digest, false); got != Confirmed {
		t.Errorf("after a restart: %s", got)
	}
	if again.Snapshot().Serves(Subject{Context: 7, User: 1}, enabledProp) {
		t.Error("a confirmed change does not count")
	}
}

// TestBrakeThatCannotCount holds nothing, and says so until it can count again.
func TestBrakeThatCannotCount(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", enabledProp+"=true\n")
	c := newCrowd(50, 10)
	e := k.braked(c, nil)
	c.err = errors.New("no number")
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	reload(t, e)
	k.serves(e, Subject{Context: 7, User: 1}, false)
	if st := e.Status(); st.Status != "degraded" || !strings.Contains(st.Brake, "no number") || !strings.Contains(k.log.String(), "no number") {
		t.Errorf("status %+v\n%s", st, k.log.String())
	}
	c.err = nil
	write(t, k.dir, "a.properties", enabledProp+"=true\n")
	reload(t, e)
	if st := e.Status(); st.Status != "ok" {
		t.Errorf("status %+v", st)
	}
	e.SetBrake(func(_, _ *Snapshot) (Closing, error) { panic("a mistake") })
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	reload(t, e)
	if st := e.Status(); !strings.Contains(st.Brake, "a mistake") {
		t.Errorf("status %+v", st)
	}
}

// TestConfirmationOfAnotherMember lets a change through that comes within the
// time of a confirmation, and not one that comes after it.
func TestConfirmationOfAnotherMember(t *testing.T) {
	t.Parallel()
	k := newLastGoodTree(t)
	write(t, k.dir, "a.properties", enabledProp+"=true\n")
	e := k.braked(newCrowd(50, 10), nil)
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	digest := reload(t, e).Held.Digest
	write(t, k.dir, "a.properties", enabledProp+"=true\n")
	reload(t, e)
	if got := e.Confirm(digest, true); got != NotHeld {
		t.Fatal(got)
	}
	e.mu.Lock()
	if left := time.Until(e.confirmed[digest]); left <= ConfirmFor-time.Minute || left > ConfirmFor {
		t.Errorf("counts for %s", left)
	}
	e.confirmed[digest] = time.Now()
	e.mu.Unlock()
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	if reload(t, e).Held == nil {
		t.Error("an old confirmation counts")
	}
	write(t, k.dir, "a.properties", enabledProp+"=true\n")
	reload(t, e)
	for i := range 2 * maxConfirmed {
		e.Confirm(digest+strings.Repeat("0", i), true)
	}
	e.Confirm(digest, true)
	if len(e.confirmed) > maxConfirmed {
		t.Errorf("%d confirmations are remembered", len(e.confirmed))
	}
	write(t, k.dir, "a.properties", enabledProp+"=false\n")
	if reload(t, e).Held != nil {
		t.Error("a confirmed change is held")
	}
}
