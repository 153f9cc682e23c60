package propfile

import (
	"testing"

	"go.uber.org/goleak"
)

// The library leaks a goroutine for every text that it refuses.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
