package websockets

import (
	"math/rand/v2"
	"testing"
)

// However the stream is cut, each frame counts once.
func TestFrameCounter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		frames := r.IntN(20)
		for range frames {
			n := []int{0, 1, 125, 126, 300, 65_535, 65_536}[r.IntN(7)]
			stream = append(stream, clientFrame(finBit|opText, make([]byte, n))...)
		}
		var c frameCounter
		got := 0
		for len(stream) > 0 {
			n := min(1+r.IntN(400), len(stream))
			got += c.count(stream[:n])
			stream = stream[n:]
		}
		if got != frames {
			t.Fatalf("%d frames, counted %d", frames, got)
		}
	}
}
