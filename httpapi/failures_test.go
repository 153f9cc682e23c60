package httpapi

import (
	"encoding/binary"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
		for i := range failureBurst {
			if wait := f.add(a); wait != 0 {
				t.Fatalf("failure %d must wait %v", i, wait)
			}
		}
		for range 3 { // which do not make it wait longer
			if wait := f.add(a); wait != failureRefill {
				t.Errorf("one more must wait %v", wait)
			}
		}
		if f.locked(a) != failureRefill || f.locked(b) != 0 || f.add(b) != 0 {
			t.Error("an address waits for another one's failures, or not for its own")
		}
		time.Sleep(failureRefill / 2)
		if wait := f.locked(a); wait != failureRefill/2 {
			t.Errorf("after half the time it must wait %v", wait)
		}
		time.Sleep(failureRefill / 2)
		if f.locked(a) != 0 || f.add(a) != 0 || f.add(a) != failureRefill {
			t.Error("not exactly one more after the wait")
		}
		time.Sleep(failureBurst * failureRefill)
		for range failureBurst {
			if f.add(a) != 0 {
				t.Error("it is not forgiven in the end")
			}
		}
		if f.add(a) == 0 {
			t.Error("more is forgiven than there was")
		}
	})
}

// However many addresses fail, few are kept: those that failed last.
func TestFailuresAreBounded(t *testing.T) {
	var f failures
	place := func(n int) netip.Prefix {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	for n := range maxFailing {
		f.add(place(n))
	}
	for range failureBurst {
		f.add(place(0))
	}
	for n := range 1000 {
		f.add(place(maxFailing + n))
	}
	if len(f.places) != maxFailing || f.order.Len() != maxFailing {
		t.Errorf("%d and %d are kept", len(f.places), f.order.Len())
	}
	if f.locked(place(0)) == 0 {
		t.Error("one that fails is forgotten before those that failed once")
	}
	if f.places[place(1)] != nil || f.places[place(maxFailing+999)] == nil {
		t.Error("not the oldest ones are forgotten")
	}
}

func TestClientNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":               "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":      "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"nonsense":                  "invalid Prefix",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		if got := clientNetwork(r).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// An address that sends wrong tokens must wait, but never who has a right one.
func TestTooManyFailures(t *testing.T) {
	w, headers := newGuarded(t)
	const path, wrong = "/admin/v1/config", "Authorization: Bearer slt_wrong"
	for range failureBurst {
		w.ask("GET", path, "", wrong).refused(t, 401, "unauthorized")
	}
	a := w.ask("GET", path, "", wrong)
	a.refused(t, 429, "too_many_failures")
	if s := a.header.Get("Retry-After"); s != "6" && s != "5" {
		t.Errorf("Retry-After: %q", s)
	}
	if n := w.failed(authLimited); n != 1 {
		t.Errorf("%d counted", n)
	}
	if a := w.ask("GET", path, "", headers[Viewer]); a.status != 200 {
		t.Errorf("a right token: %d %s", a.status, a.body)
	}
	w.ask("GET", path, "").refused(t, 401, "unauthorized")
}
