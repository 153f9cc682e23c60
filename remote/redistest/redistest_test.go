package redistest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	s := Start(t, "--maxmemory", "64mb")
	c := s.Client()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Set(t.Context(), "k", "v", 0).Err())
	if got, err := c.ConfigGet(t.Context(), "maxmemory").Result(); err != nil || got["maxmemory"] != "67108864" {
		t.Errorf("the arguments do not arrive: %v (%v)", got, err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Get(ctx, "k").Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	if v, err := c.Get(t.Context(), "k").Result(); v != "v" || err != nil {
		t.Errorf("after Resume: %q (%v)", v, err)
	}
	for _, end := range []func(){s.Kill, s.Stop} {
		end()
		if err := c.Ping(t.Context()).Err(); err == nil {
			t.Error("a server that ended answers")
		}
		s.Restart()
		if n, err := c.Exists(t.Context(), "k").Result(); n != 0 || err != nil {
			t.Errorf("after Restart: %d keys (%v), want none", n, err)
		}
	}
}
