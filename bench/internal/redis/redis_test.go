package redis

import "testing"

func TestWorkSince(t *testing.T) {
	got := Work{Commands: 5, Reads: 4, In: 3, Out: 2, Memory: 7}.Since(Work{Commands: 1, Reads: 1, In: 1, Out: 1, Memory: 1})
	if want := (Work{4, 3, 2, 1, 6}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
