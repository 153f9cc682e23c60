package tree

import (
	"testing"
	"time"
)

// TestCoarseStamps writes a file in pieces on a volume whose time stamps have
// whole seconds: it counts when two looks a moment apart find it the same.
func TestCoarseStamps(t *testing.T) {
	t.Parallel()
	fs := NewSet([]string{t.TempDir()})
	now := time.Unix(1000, 0).Add(600 * time.Millisecond)
	fs.Now = func() time.Time { return now }
	tf := &File{}
	st := stamp{size: 5, mtime: time.Unix(1000, 0), ctime: int64(1000 * time.Second)}
	one, two := Digest{1}, Digest{2}
	for i, step := range []struct {
		after time.Duration
		sum   Digest
		taken bool
	}{
		{0, one, false},
		{50 * time.Millisecond, one, false},
		{60 * time.Millisecond, one, true},
		{0, two, false},
		{90 * time.Millisecond, one, false},
		{90 * time.Millisecond, two, false},
		{100 * time.Millisecond, two, true},
	} {
		now = now.Add(step.after)
		if left := fs.lookTwice(tf, st, step.sum); (left <= 0) != step.taken {
			t.Errorf("step %d: %s left", i, left)
		}
	}
	fine := stamp{mtime: time.Unix(1000, 5), ctime: int64(1000*time.Second) + 5}
	if left := fs.lookTwice(&File{}, fine, one); left > 0 {
		t.Errorf("fine stamps wait %s", left)
	}
}
