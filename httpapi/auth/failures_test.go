package auth

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Failures
		a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
		for i := range FailureBurst {
			if wait := f.Add(a); wait != 0 {
				t.Fatalf("failure %d must wait %v", i, wait)
			}
		}
		for range 3 { // which do not make it wait longer
			if wait := f.Add(a); wait != failureRefill {
				t.Errorf("one more must wait %v", wait)
			}
		}
		if f.Locked(a) != failureRefill || f.Locked(b) != 0 || f.Add(b) != 0 {
			t.Error("an address waits for another one's failures, or not for its own")
		}
		time.Sleep(failureRefill / 2)
		if wait := f.Locked(a); wait != failureRefill/2 {
			t.Errorf("after half the time it must wait %v", wait)
		}
		time.Sleep(failureRefill / 2)
		if f.Locked(a) != 0 || f.Add(a) != 0 || f.Add(a) != failureRefill {
			t.Error("not exactly one more after the wait")
		}
		time.Sleep(FailureBurst * failureRefill)
		for range FailureBurst {
			if f.Add(a) != 0 {
				t.Error("it is not forgiven in the end")
			}
		}
		if f.Add(a) == 0 {
			t.Error("more is forgiven than there was")
		}
	})
}

// However many addresses fail, few are kept: those that failed last.
func TestFailuresAreBounded(t *testing.T) {
	var f Failures
	place := func(n int) netip.Prefix {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	for n := range maxFailing {
		f.Add(place(n))
	}
	for range FailureBurst {
		f.Add(place(0))
	}
	for n := range 1000 {
		f.Add(place(maxFailing + n))
	}
	if len(f.places) != maxFailing || f.order.Len() != maxFailing {
		t.Errorf("%d and %d are kept", len(f.places), f.order.Len())
	}
	if f.Locked(place(0)) == 0 {
		t.Error("one that fails is forgotten before those that failed once")
	}
	if f.places[place(1)] != nil || f.places[place(maxFailing+999)] == nil {
		t.Error("not the oldest ones are forgotten")
	}
}
